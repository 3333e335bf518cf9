"""Compressor: groups of 64 FP16 or BF16 values become a shared exponent, signs and planes."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.aligner import SerialAligner, SerialAlignerParameters
from lamina.anda.max_exponent import MaxExponent, MaxExponentParameters
from lamina.cell import Cell
from lamina.copies import copies
from lamina.formats.anda import (
    EXPONENT_BITS,
    FORMATS,
    GROUP,
    compressed_plane_layout,
    group_values_layout,
)
from lamina.parameters import check_choice, check_range

__all__ = ["Compressor", "CompressorParameters"]

#: Registers that say to so many aligners each whether a group begins.
_LOADS = 8

#: What a group has beside its significands until it is put out.
_BESIDE = data.StructLayout(
    {
        "signs": unsigned(GROUP),
        "exponent": unsigned(EXPONENT_BITS),
        "mantissa_bits": unsigned(5),
        "rounding": unsigned(1),
    }
)


@dataclass(frozen=True, kw_only=True)
class CompressorParameters:
    """``format`` of the values: "fp16" or "bf16".

    ``stages_per_rank``: registers in the search for the exponent, as in `PipelineParameters`, and
    in the rounding, as in `SerialAlignerParameters`.
    """

    format: str = "fp16"
    stages_per_rank: int = 1

    def __post_init__(self):
        check_choice("format", self.format, tuple(FORMATS))
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def maximum(self) -> MaxExponentParameters:
        """Parameters of the search for the group's exponent."""
        return MaxExponentParameters(format=self.format, stages_per_rank=self.stages_per_rank)

    @property
    def aligner(self) -> SerialAlignerParameters:
        """Parameters of each element's aligner."""
        return SerialAlignerParameters(format=self.format, stages_per_rank=self.stages_per_rank)

    def cycles(self, mantissa_bits: int) -> int:
        """Cycles that a group takes in steady state: one per mantissa plane, and at least two."""
        return max(mantissa_bits, 2)

    @property
    def latency(self) -> int:
        """Cycles from a group accepted to its first plane valid."""
        return self.maximum.latency + self.aligner.latency

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one group in M cycles, M = 1 in 2"

    @property
    def storage_bits(self) -> int:
        """The search, the aligners, and in each rank what a group has beside its significands."""
        beside = _BESIDE.size * (1 + self.aligner.ranks) + 1 + self.aligner.ranks
        started = GROUP + EXPONENT_BITS + 5 + 1 + 1 + 1 + 1
        aligners = GROUP * self.aligner.storage_bits + self.aligner.half_place_shape.width
        return self.maximum.storage_bits + aligners + beside + started + 1 + 1 + _LOADS


class Compressor(wiring.Component):
    """Encode groups of 64 values: common exponent, signs, and M mantissa planes.

    Members
    -------
    i : In(stream of `group_values_layout`)
        One group a beat, with its mantissa length and rounding.
    o : Out(stream of `compressed_plane_layout`)
        M beats a group, most significant plane first.

    Timing
    ------
    ``parameters.cycles(M)`` = M cycles per group in steady state: the exponent of the next groups
    is found, and their significands rounded, while this one is put out.

    Numerics
    --------
    E_g is the largest exponent (a field of 0 counts as 1, so 0 is never put out), m_i the
    significand cut, or rounded to nearest even and saturated, at M bits below it. Inf and NaN count
    as their bits say: the group's exponent is then all ones, which marks it.

    Source: Anda, HPCA 2025, section IV: bit-plane compressor with serial aligner; rounding to
    nearest is Lamina's.
    """

    def __init__(self, parameters: CompressorParameters):
        self.parameters = parameters
        super().__init__(
            {
                "i": In(stream.Signature(group_values_layout())),
                "o": Out(stream.Signature(compressed_plane_layout())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.maximum = maximum = MaxExponent(self.parameters.maximum)
        advance, going, full = Signal(init=1), Signal(), Signal()
        # Groups come where all moves. Registers of whoever sends them wait for that: so it starts
        # at one of its own, and not at that of the aligners, nor where the search has a gap.
        m.d.comb += [
            maximum.i.payload.group.eq(self.i.payload),
            maximum.i.valid.eq(self.i.valid & ~full),
            self.i.ready.eq(~full),
        ]
        found = maximum.o.payload
        remaining = Signal(5)
        load, shift, ends, ends_next = Signal(), Signal(), Signal(init=1), Signal()
        first, ready, coming, valid = self._delayed(m, maximum.o, advance)
        m.d.comb += [
            shift.eq(self.o.valid & self.o.ready),
            # The next group starts as the last plane leaves: no cycle is lost between groups.
            load.eq(valid & (~self.o.valid | (shift & self.o.payload.last))),
            maximum.o.ready.eq(advance),
        ]
        # What moves the ranks of 64 aligners has far to go, so it starts at a register: they move
        # once the last is seen to be empty.
        m.d.comb += going.eq(Mux(advance, ~coming, ~valid | load))
        m.d.sync += [advance.eq(going), full.eq(~going)]
        with m.If(load):
            m.d.sync += [
                valid.eq(0),
                self.o.valid.eq(1),
                self.o.payload.signs.eq(ready.signs),
                self.o.payload.exponent.eq(ready.exponent),
                self.o.payload.last.eq(ready.mantissa_bits == 1),
                remaining.eq(ready.mantissa_bits),
            ]
        with m.Elif(shift):
            m.d.sync += [
                self.o.valid.eq(~self.o.payload.last),
                self.o.payload.last.eq(remaining == 2),
                remaining.eq(remaining - 1),
            ]
        with m.If(load | shift):
            m.d.sync += self.o.payload.first.eq(load)
        # No plane is there, or the last one is: what comes next begins a group. All bits of the
        # aligners are chosen by it, so it is a register, and has copies.
        m.d.comb += ends_next.eq(
            Mux(
                load,
                ready.mantissa_bits == 1,
                Mux(shift, self.o.payload.last | (remaining == 2), ends),
            )
        )
        m.d.sync += ends.eq(ends_next)
        loads = copies(m, "ends", [ends_next], Const(1), _LOADS)
        # Without a next group, what moves behind the last plane is anything.
        moves = Mux(self.o.valid, self.o.ready, valid)
        self._align(m, found, first.rounding, advance, moves, loads)
        return m

    def _align(self, m, found, rounding, advance, moves, loads):
        """Shift the significands to the group's exponent, and put a plane of them out."""
        p = self.parameters.aligner
        # Taken from M before it goes to all aligners.
        half_place = Signal(p.half_place_shape, reset_less=True)
        with m.If(advance):
            m.d.sync += half_place.eq(p.form.precision - 1 - found.group.mantissa_bits)
        for index, value in enumerate(found.group.values):
            m.submodules[f"aligner_{index}"] = aligner = Cell(SerialAligner, p)
            m.d.comb += [
                aligner.value.eq(value),
                aligner.exponent.eq(found.exponent),
                aligner.take.eq(advance),
                aligner.half_place.eq(half_place),
                aligner.rounding.eq(rounding),
                aligner.moves.eq(moves),
                aligner.load.eq(loads[index * _LOADS // GROUP]),
                self.o.payload.plane[index].eq(aligner.plane_bit),
            ]

    def _delayed(self, m, found, advance):
        """Delay what is beside the significands as the aligners' ranks do.

        Return it in the first rank and in the last, and whether what comes to the last and what is
        there is valid.
        """
        group = found.payload.group
        beside, valid = Signal(_BESIDE), found.valid
        m.d.comb += [
            beside.signs.eq(Cat(value[-1] for value in group.values)),
            beside.exponent.eq(found.payload.exponent),
            beside.mantissa_bits.eq(group.mantissa_bits),
            beside.rounding.eq(group.rounding),
        ]
        ranks = []
        for rank in range(1 + self.parameters.aligner.ranks):
            before, beside = beside, Signal(_BESIDE, name=f"beside_{rank}", reset_less=True)
            coming, valid = valid, Signal(name=f"valid_{rank}")
            with m.If(advance):
                m.d.sync += [beside.eq(before), valid.eq(coming)]
            ranks.append(beside)
        return ranks[0], ranks[-1], coming, valid
