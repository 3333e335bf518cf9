"""The whole way of the data: store -> fetch -> compute -> output. Wiring only."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from lamina.anda.accumulator import Accumulator, AccumulatorParameters
from lamina.anda.element import Element, ElementParameters
from lamina.arith.scale_accumulate import ScaleAccumulate, ScaleAccumulateParameters
from lamina.bus.axi4 import read_pins
from lamina.formats.anda import group_sum_layout, group_word_layout, output_layout
from lamina.formats.packed import (
    WORD_COLUMNS_MAX,
    dot_step_layout,
    row_group_layout,
)
from lamina.formats.planes import (
    TILE_COLUMNS,
    run_layout,
    tile_layout,
    tile_scales_layout,
)
from lamina.pacq.dot import Dot, DotParameters
from lamina.pacq.operand_buffer import OperandBuffer, OperandBufferParameters
from lamina.parameters import check_choice, check_range
from lamina.store.assembler import Assembler, AssemblerParameters
from lamina.store.fetcher import Fetcher, FetcherParameters
from lamina.stream.buffer import SkidBufferParameters, sliced

__all__ = ["System", "SystemParameters"]

ENGINES = ("anda", "pacq", "both")


@dataclass(frozen=True, kw_only=True)
class SystemParameters:
    """What a system is built for.

    ``engine``: what computes, "anda", "pacq" or "both". ``weight_bits`` of an operand, 2 to 8; PacQ
    needs 4. ``row_bits``: 2^row_bits rows of outputs are in flight. ``trees``: columns that PacQ's
    dot product unit retires a cycle. ``address_bits``, ``buffer_beats``, ``blocks_per_row``: the
    fetcher's.
    """

    engine: str = "both"
    weight_bits: int = 4
    row_bits: int = 6
    trees: int = 2
    address_bits: int = 48
    buffer_beats: int = 512
    blocks_per_row: int = 128

    def __post_init__(self):
        check_choice("engine", self.engine, ENGINES)
        check_range("row_bits", self.row_bits, 1, 10)
        if self.has_pacq and self.weight_bits != 4:
            raise ValueError(f"weight_bits must be 4 for PacQ, not {self.weight_bits}.")
        _ = (self.fetcher, self.element, self.dot)  # whose own checks hold here too

    @property
    def has_anda(self) -> bool:
        """Whether Anda computes."""
        return self.engine != "pacq"

    @property
    def has_pacq(self) -> bool:
        """Whether PacQ computes."""
        return self.engine != "anda"

    @property
    def fetcher(self) -> FetcherParameters:
        """Parameters of the fetcher."""
        return FetcherParameters(
            address_bits=self.address_bits,
            buffer_beats=self.buffer_beats,
            blocks_per_row=self.blocks_per_row,
            planes_max=8,
        )

    @property
    def assembler(self) -> AssemblerParameters:
        """Parameters of the assembler."""
        return AssemblerParameters(code_bits=self.weight_bits)

    @property
    def element(self) -> ElementParameters:
        """Parameters of Anda's elements: one for each column of a tile."""
        return ElementParameters(
            columns=TILE_COLUMNS, weight_bits=self.weight_bits, index_bits=self.row_bits
        )

    @property
    def accumulator(self) -> AccumulatorParameters:
        """Parameters of the accumulator that Anda's elements share."""
        return AccumulatorParameters(
            columns=TILE_COLUMNS, weight_bits=self.weight_bits, index_bits=self.row_bits
        )

    @property
    def scales(self) -> SkidBufferParameters:
        """Parameters of the register slice from which scales are taken, as tiles are."""
        return SkidBufferParameters(shape=tile_scales_layout(self.weight_bits))

    @property
    def sums(self) -> SkidBufferParameters:
        """Parameters of the register slice between elements and accumulator."""
        p = self.element
        return SkidBufferParameters(shape=group_sum_layout(p.columns, p.weight_bits, p.index_bits))

    @property
    def anda_results(self) -> SkidBufferParameters:
        """Parameters of the register slice from which Anda's results leave: whoever takes them has
        no way to the accumulator's stages.
        """
        return SkidBufferParameters(shape=self.accumulator.accumulate.output_layout)

    @property
    def operand_buffer(self) -> OperandBufferParameters:
        """Parameters of PacQ's operand buffer."""
        return OperandBufferParameters(row_bits=self.row_bits)

    @property
    def steps(self) -> SkidBufferParameters:
        """Parameters of the register slice between operand buffer and dot product unit."""
        return SkidBufferParameters(shape=dot_step_layout(self.operand_buffer.index_bits))

    @property
    def dot(self) -> DotParameters:
        """Parameters of PacQ's dot product unit."""
        return DotParameters(trees=self.trees, index_bits=self.operand_buffer.index_bits)

    @property
    def scale_accumulate(self) -> ScaleAccumulateParameters:
        """Parameters of the accumulator behind the dot product unit."""
        outputs = WORD_COLUMNS_MAX << self.operand_buffer.index_bits
        return ScaleAccumulateParameters(outputs=outputs)

    @property
    def pacq_results(self) -> SkidBufferParameters:
        """The same of PacQ's."""
        return SkidBufferParameters(shape=self.scale_accumulate.output_layout)

    @property
    def engines(self) -> dict:
        """Parameters of each engine's parts, in the order in which data goes through them."""
        parts = {}
        if self.has_anda:
            parts["anda"] = (self.element, self.sums, self.accumulator, self.anda_results)
        if self.has_pacq:
            steps = (self.operand_buffer, self.steps)
            parts["pacq"] = (*steps, self.dot, self.scale_accumulate, self.pacq_results)
        return parts

    @property
    def latency(self) -> int:
        """Cycles from a run accepted to the first result of its first tile, one plane and one step.

        The longest of the engines; add those of the memory, and the planes and groups beyond the
        first.
        """
        engines = max(sum(part.latency for part in parts) for parts in self.engines.values())
        return self.fetcher.latency + self.assembler.latency + engines

    @property
    def throughput(self) -> str:
        """What each engine computes."""
        anda = "Anda: 8 x 64 MAC in max(M + 1, 8) cycles"
        pacq = f"PacQ: {4 * self.trees} MAC per cycle"
        return "; ".join([anda] * self.has_anda + [pacq] * self.has_pacq)

    @property
    def storage_bits(self) -> int:
        """Of all parts."""
        engines = [part for parts in self.engines.values() for part in parts]
        parts = (self.fetcher, self.assembler, self.scales, *engines)
        return sum(part.storage_bits for part in parts)


class System(wiring.Component):
    """Weight planes out of memory, activations in, FP32 results out.

    Parameters
    ----------
    parameters : SystemParameters

    Members
    -------
    i_run : In(stream of run_layout)
        Which blocks to fetch, and how many planes of them. One block is one weight tile, 64 along k
        by 8 along n.
    m_axi_* : AXI4 read master, 512-bit
        The plane store.
    i_scales : In(stream of tile_scales_layout)
        For each tile in turn its scale groups; Anda has one for a tile.
    i_anda : In(stream of group_word_layout), o_anda : Out(stream of output_layout)
        Activations as groups of planes, and results, index = row * 8 + column; if Anda is there.
    i_pacq : In(stream of row_group_layout), o_pacq : Out(stream of output_layout)
        FP16 activations, and results, index = (row * 2 + word of columns) * 8 + column of the word;
        if PacQ is there.
    select : In(1)
        Which engine takes the tiles, 0 Anda, 1 PacQ; there if both are. Steady while tiles flow.
    error : Out(1)
        Sticky until reset: memory answered a fetch with an error, or a run was refused.

    Timing
    ------
    A tile is used while the next one is fetched and assembled. Back-pressure on any stream stalls
    what is before it and loses nothing.
    """

    def __init__(self, parameters: SystemParameters):
        self.parameters = p = parameters
        fetcher = p.fetcher
        ports = {
            "i_run": In(stream.Signature(run_layout(p.address_bits, fetcher.planes_max))),
            "i_scales": In(stream.Signature(tile_scales_layout(p.weight_bits))),
            "error": Out(1),
        }
        if p.has_anda:
            results = output_layout(p.accumulator.output_index_bits)
            ports["i_anda"] = In(stream.Signature(group_word_layout(p.row_bits)))
            ports["o_anda"] = Out(stream.Signature(results))
        if p.has_pacq:
            results = output_layout(p.scale_accumulate.index_bits)
            ports["i_pacq"] = In(stream.Signature(row_group_layout(p.row_bits)))
            ports["o_pacq"] = Out(stream.Signature(results))
        if p.has_anda and p.has_pacq:
            ports["select"] = In(1)
        super().__init__(ports | read_pins("m_axi", fetcher.axi))

    def elaborate(self, platform):
        p = self.parameters
        m = Module()
        m.submodules.fetcher = fetcher = Fetcher(p.fetcher)
        m.submodules.assembler = assembler = Assembler(p.assembler)
        for name in read_pins("m_axi", p.fetcher.axi):
            inner, outer = getattr(fetcher, name), getattr(self, name)
            inward = self.signature.members[name].flow == In
            m.d.comb += inner.eq(outer) if inward else outer.eq(inner)
        connect(m, flipped(self.i_run), fetcher.i)
        connect(m, fetcher.o, assembler.i)
        m.d.comb += assembler.planes.eq(fetcher.planes)
        # Asked behind the assembler, which has what it took in registers; every beat is in a tile.
        with m.If(assembler.o.valid & assembler.o.p.error):
            m.d.sync += self.error.eq(1)

        weights = []
        if p.has_anda:
            weights.append(self._anda(m))
        if p.has_pacq:
            weights.append(self._pacq(m))
        tiles, scales = zip(*weights, strict=True)
        self._steer(m, assembler.o, tiles)
        self._steer(m, sliced(m, "scales", flipped(self.i_scales), p.scales), scales)
        return m

    def _anda(self, m):
        """Add the elements and their accumulator; return where tiles and scales go."""
        p = self.parameters
        m.submodules.element = element = Element(p.element)
        m.submodules.accumulator = accumulator = Accumulator(p.accumulator)
        connect(m, flipped(self.i_anda), element.i)
        # An element sees one cycle late that its sums are taken; here they are taken early.
        connect(m, sliced(m, "sums", element.o, p.sums), accumulator.i)
        results = sliced(m, "anda_results", accumulator.o, p.anda_results)
        connect(m, results, flipped(self.o_anda))
        # A set of weights is a tile and its scales, once both are there; only then it is taken.
        tile = stream.Signature(tile_layout(p.weight_bits)).flip().create()
        scales = stream.Signature(tile_scales_layout(p.weight_bits)).flip().create()
        weights = element.i_weights
        m.d.comb += [
            Value.cast(weights.p.codes).eq(Value.cast(tile.p.codes)),
            weights.p.scales.eq(scales.p.scales),
            weights.p.zeros.eq(scales.p.zeros),
            weights.valid.eq(tile.valid & scales.valid),
            tile.ready.eq(weights.ready & scales.valid),
            scales.ready.eq(weights.ready & tile.valid),
        ]
        return tile, scales

    def _pacq(self, m):
        """Add the dot product unit and what stands around it; return where tiles and scales go."""
        p = self.parameters
        m.submodules.operand_buffer = operands = OperandBuffer(p.operand_buffer)
        m.submodules.dot = dot = Dot(p.dot)
        m.submodules.scale_accumulate = accumulate = ScaleAccumulate(p.scale_accumulate)
        connect(m, flipped(self.i_pacq), operands.i)
        connect(m, sliced(m, "steps", operands.o, p.steps), dot.i)
        connect(m, dot.o, accumulate.i)
        results = sliced(m, "pacq_results", accumulate.o, p.pacq_results)
        connect(m, results, flipped(self.o_pacq))
        return operands.i_tile, operands.i_scales

    def _steer(self, m, source, sinks):
        """Connect ``source`` to the engine that is there, or to the selected one of two.

        A beat leaves a cycle after it was taken: the registers behind a tile, 2,048 of them, wait
        for that. No engine takes one in each cycle.
        """
        taken = Signal()
        m.d.comb += taken.eq(Cat(sink.valid & sink.ready for sink in sinks).any())
        m.d.sync += source.ready.eq(taken)
        for number, sink in enumerate(sinks):
            chosen = 1 if len(sinks) == 1 else self.select == number
            shown = source.valid & ~source.ready & chosen
            m.d.comb += [sink.p.eq(source.p), sink.valid.eq(shown)]
