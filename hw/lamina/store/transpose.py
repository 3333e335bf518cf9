"""Turns blocks of 512 codes into bit-planes, or bit-planes back into codes."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.planes import code_format_layout, formatted_beat_layout
from lamina.parameters import check_choice
from lamina.store.rounding import guard_bit, round_float, round_integer
from lamina.store.transpose_array import TransposeArray, TransposeArrayParameters

__all__ = ["Transpose", "TransposeParameters"]

#: Container of an INTn code; the other width holds floats.
INTEGER_CONTAINER_BITS = 8

_TAG = data.StructLayout({"error": unsigned(1), "end": unsigned(1), "format": code_format_layout()})


@dataclass(frozen=True, kw_only=True)
class TransposeParameters:
    """``container_bits``: of a code in the host's memory, 8 (INT2 to INT8) or 16 (FP16, BF16).

    ``direction``: "to_planes" or "from_planes".
    """

    container_bits: int = 8
    direction: str = "to_planes"

    def __post_init__(self):
        check_choice("container_bits", self.container_bits, (8, 16))
        check_choice("direction", self.direction, ("to_planes", "from_planes"))

    @property
    def array(self) -> TransposeArrayParameters:
        """Of the register square: as many lines as a container has bits."""
        return TransposeArrayParameters(side=self.container_bits, tag_bits=_TAG.size)

    @property
    def latency(self) -> int:
        """Cycles from the first beat of a block accepted to its first beat out, if N is the
        container's width; INTn below 8 bits adds 8 - N to planes, and takes off 8 - N from them.
        """
        return self.container_bits + (self.direction == "from_planes")

    @property
    def throughput(self) -> str:
        """Of whole blocks, without a gap between them."""
        return f"1 block per {self.container_bits} cycles: 1 container line per cycle"

    @property
    def storage_bits(self) -> int:
        """The square, what is known of the block that enters, and from planes a beat going out."""
        entering = (self.container_bits - 1).bit_length() + 2
        if self.direction == "from_planes":
            entering += code_format_layout().size + 1
            entering += formatted_beat_layout().size + 1
        return self.array.storage_bits + entering


class Transpose(wiring.Component):
    """Turns blocks of 512 codes into bit-planes, or bit-planes back into codes.

    A block is S = ``container_bits`` container lines: line l holds codes 512 / S * l and on, each
    in S bits, little-endian. Its planes are one beat each: plane 0 is the most significant bit.

    Members
    -------
    i, o : streams of formatted_beat_layout
        To planes: S lines in, N = ``format.planes`` planes out. From planes: ``format.keep`` planes
        in (and a guard plane, see below), S lines out. ``format`` goes along unchanged. ``error``
        and ``end`` of a block's beats, ORed, come with all its beats, with its last beat. ``last``
        ends a block of planes coming in; lines are counted.

    Timing
    ------
    A line in and a line out every cycle, the next block without a gap; a block never waits for the
    one behind it.

    Numerics
    --------
    From k planes an n-bit code comes back as code_k * 2^(n-k), sign-extended to the container.
    ``format.nearest`` with k < n: the block carries k + 1 planes and is rounded by the last one,
    integers half up and saturating, floats as `round_float` says. A NaN of whose mantissa no set
    bit was read cannot be told from Inf and comes back as Inf. A format that contradicts its beats
    gives meaningless codes; nothing hangs.

    Source: the transpose/reconstruct stage of a bit-plane memory controller (SmartQuant, TRACE).
    """

    def __init__(self, parameters: TransposeParameters):
        self.parameters = parameters
        super().__init__(
            {
                "i": In(stream.Signature(formatted_beat_layout())),
                "o": Out(stream.Signature(formatted_beat_layout())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.array = array = TransposeArray(self.parameters.array)
        side, beat = self.parameters.container_bits, self.i.p.beat
        to_planes = self.parameters.direction == "to_planes"

        step, error, end = Signal(range(side)), Signal(), Signal()
        tag, turned = data.View(_TAG, array.i.p.tag), data.View(_TAG, array.o.p.tag)
        taken = self.i.valid & self.i.ready
        m.d.comb += [
            tag.error.eq(error | (taken & beat.error)),
            tag.end.eq(end | (taken & beat.end)),
            tag.format.eq(self.i.p.format),
        ]
        with m.If(array.i.valid & array.i.ready):
            m.d.sync += [step.eq(step + 1), error.eq(tag.error), end.eq(tag.end)]
            with m.If(step == side - 1):
                m.d.sync += [error.eq(0), end.eq(0)]
        if to_planes:
            self._lines_in(m, array)
            self._planes_out(m, array, turned)
        else:
            self._planes_in(m, array, step, tag)
            self._lines_out(m, array, turned)
        return m

    def _lines_in(self, m, array):
        side, bits = self.parameters.container_bits, self.i.p.beat.bits
        planes = self.i.p.format.planes
        m.d.comb += [
            array.i.valid.eq(self.i.valid),
            self.i.ready.eq(array.i.ready),
            array.i.p.count.eq(Mux(planes > side, side, planes)),
            *(array.i.p.cells[s].eq(Cat(bits[s::side])) for s in range(side)),
        ]

    def _planes_out(self, m, array, turned):
        m.d.comb += [
            self.o.valid.eq(array.o.valid),
            array.o.ready.eq(self.o.ready),
            self.o.p.beat.bits.eq(array.o.p.cells),
            self.o.p.beat.error.eq(turned.error),
            self.o.p.beat.last.eq(array.o.p.last),
            self.o.p.beat.end.eq(turned.end & array.o.p.last),
            self.o.p.format.eq(turned.format),
        ]

    def _planes_in(self, m, array, step, tag):
        """Fill the square's S words: plane 0 for the sign extension, the planes, zeros below."""
        side, beat = self.parameters.container_bits, self.i.p.beat
        lanes = self.parameters.array.lanes
        extension, below = Signal(range(side)), Signal()
        form, held = self.i.p.format, Signal(code_format_layout())
        with m.Switch(form.planes):
            for planes in range(1, side):
                with m.Case(planes):
                    m.d.comb += extension.eq(side - planes)
        m.d.comb += [
            array.i.valid.eq(self.i.valid | below),
            self.i.ready.eq(array.i.ready & ~below & (step >= extension)),
            array.i.p.count.eq(side),
        ]
        with m.If(below):
            # The next block's beats may be waiting already.
            m.d.comb += tag.format.eq(held)
        with m.Else():
            m.d.comb += [
                array.i.p.cells[side - 1 - line].eq(beat.bits.word_select(line, lanes))
                for line in range(side)
            ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [held.eq(form), below.eq(beat.last)]
        with m.If(array.i.valid & array.i.ready & (step == side - 1)):
            m.d.sync += below.eq(0)

    def _lines_out(self, m, array, turned):
        side, lanes = self.parameters.container_bits, self.parameters.array.lanes
        form = turned.format
        guard, top = guard_bit(m, form, side), Signal(side)
        m.d.comb += [
            top.eq((1 << form.planes) >> 1),
            array.o.ready.eq(self.o.ready | ~self.o.valid),
        ]
        codes = [
            Cat(array.o.p.cells[side - 1 - bit][lane] for bit in range(side))
            for lane in range(lanes)
        ]
        if side == INTEGER_CONTAINER_BITS:
            codes = [round_integer(m, code, guard, top) for code in codes]
        else:
            codes = [round_float(m, code, guard, form.bfloat) for code in codes]
        with m.If(array.o.ready):
            m.d.sync += [
                self.o.valid.eq(array.o.valid),
                self.o.p.beat.bits.eq(Cat(codes)),
                self.o.p.beat.error.eq(turned.error),
                self.o.p.beat.last.eq(array.o.p.last),
                self.o.p.beat.end.eq(turned.end & array.o.p.last),
                self.o.p.format.eq(form),
            ]
