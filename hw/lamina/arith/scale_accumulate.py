"""Scaled accumulation in FP32: the floating-point end of a dot product, shared by many outputs."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.fp32_add import Fp32Add, Fp32AddParameters
from lamina.arith.fp32_multiply import Fp32Multiply, Fp32MultiplyParameters
from lamina.arith.pipeline import delayed
from lamina.formats.anda import output_layout
from lamina.formats.ieee import FP16, FP32
from lamina.parameters import check_range
from lamina.stream.buffer import SkidBufferParameters, sliced
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = ["ScaleAccumulate", "ScaleAccumulateParameters"]


@dataclass(frozen=True, kw_only=True)
class ScaleAccumulateParameters:
    """``outputs`` (1 to 2^20) sums are kept; ``stages_per_rank`` as in `PipelineParameters`."""

    outputs: int = 64
    stages_per_rank: int = 1

    def __post_init__(self):
        check_range("outputs", self.outputs, 1, 1 << 20)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def index_bits(self) -> int:
        """Width of an output's index."""
        return max(1, (self.outputs - 1).bit_length())

    @property
    def place_layout(self) -> data.StructLayout:
        """Which output a product belongs to: ``index``; its first (``begin``) or last (``end``)."""
        return data.StructLayout(
            {"index": unsigned(self.index_bits), "begin": unsigned(1), "end": unsigned(1)}
        )

    @property
    def input_layout(self) -> data.StructLayout:
        """Payload of ``i``: ``value`` (FP32), ``scale`` (FP16), and the fields of the place."""
        operands = {"value": unsigned(FP32.width), "scale": unsigned(FP16.width)}
        return data.StructLayout(operands | self.place_layout.members)

    @property
    def output_layout(self) -> data.StructLayout:
        """Payload of ``o``."""
        return output_layout(self.index_bits)

    @property
    def multiply(self) -> Fp32MultiplyParameters:
        """Parameters of the scaling."""
        return Fp32MultiplyParameters(
            b_format="fp16", tag_bits=self.place_layout.size, stages_per_rank=self.stages_per_rank
        )

    @property
    def products(self) -> SkidBufferParameters | None:
        """Of the register slice behind the scaling, where every stage has a rank."""
        if self.stages_per_rank > 1:
            return None
        return SkidBufferParameters(shape=self.multiply.output_layout)

    @property
    def add(self) -> Fp32AddParameters:
        """Parameters of the addition; the place travels beside it, see `ScaleAccumulate`."""
        return Fp32AddParameters(stages_per_rank=self.stages_per_rank)

    @property
    def memory(self) -> BlockMemoryParameters:
        """Parameters of the memory of sums."""
        return BlockMemoryParameters(width=FP32.width, depth=max(2, self.outputs))

    @property
    def fetch_ranks(self) -> int:
        """Ranks that fetch a sum: a block RAM's output is so slow that it has one for itself."""
        return 2 if self.stages_per_rank > 1 or self.memory.shallow else 3

    @property
    def ranks_under_way(self) -> int:
        """Ranks that a product passes after the interlock: some fetch its sum, then the adder."""
        return self.fetch_ranks + self.add.latency

    @property
    def accumulate_latency(self) -> int:
        """Cycles after which the same index can come again without being stalled."""
        return self.ranks_under_way + 1

    @property
    def latency(self) -> int:
        """Cycles from an input beat with ``end`` to its sum on ``o``, if nothing stalls it."""
        products = self.products.latency if self.products else 0
        return self.multiply.latency + products + 1 + self.ranks_under_way

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return f"1 beat a cycle, the same index every {self.accumulate_latency} cycles"

    @property
    def storage_bits(self) -> int:
        """Both units, slice, memory, interlock, and operands and places under way."""
        parts = (self.multiply, self.products, self.add, self.memory)
        interlock = self.multiply.output_layout.size + 1 + self.ranks_under_way
        under_way = self.ranks_under_way * (1 + self.place_layout.size)
        under_way += (2 * self.fetch_ranks - 1) * FP32.width
        return sum(part.storage_bits for part in parts if part) + interlock + under_way


class ScaleAccumulate(wiring.Component):
    """Multiply by a scale and add to one of many sums: acc[index] = FP32(acc[index] + r).

    Members
    -------
    i : In(stream of ``parameters.input_layout``)
        ``value`` FP32, ``scale`` FP16: r = FP32(value * scale). ``begin``: the sum starts anew from
        +0. ``end``: the sum leaves on ``o``.
    o : Out(stream of `output_layout`)
        Finished sums with their index, in the order of the beats with ``end``.

    Timing
    ------
    ``parameters.latency`` cycles, one beat a cycle. A beat whose index is still being added to
    waits until that sum is written back, with all beats behind it: the same index may come every
    ``parameters.accumulate_latency`` cycles; sooner, it is stalled, never wrong.

    Numerics: two roundings to nearest even, in the order of the beats; see `Fp32Multiply` and
    `Fp32Add`. Sums not begun since reset start from whatever is stored.
    """

    def __init__(self, parameters: ScaleAccumulateParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(p.input_layout)),
                "o": Out(stream.Signature(p.output_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.multiply = multiply = Fp32Multiply(p.multiply)
        m.submodules.add = add = Fp32Add(p.add)
        m.submodules.sums = sums = BlockMemory(p.memory)
        products = sliced(m, "products", multiply.o, p.products)
        held, under_way = self._interlock(m, products, add.i.ready)
        (_, reading), (fetched, _) = under_way[p.fetch_ranks - 2 : p.fetch_ranks]
        _, written = under_way[-1]
        advance = add.i.ready
        addend = delayed(m, held.value, advance, p.fetch_ranks, "addend")
        found = delayed(m, sums.read_data, advance, p.fetch_ranks - 2, "found")
        augend = Signal(FP32.width, reset_less=True)
        with m.If(advance):
            m.d.sync += augend.eq(Mux(reading.begin, 0, found))
        given = self.i.payload
        m.d.comb += [
            multiply.i.payload.a.eq(given.value),
            multiply.i.payload.b.eq(given.scale),
            multiply.i.payload.tag.eq(Cat(given.index, given.begin, given.end)),
            multiply.i.valid.eq(self.i.valid),
            self.i.ready.eq(multiply.i.ready),
            sums.read_enable.eq(add.i.ready),
            sums.read_address.eq(data.View(p.place_layout, held.tag).index),
            add.i.valid.eq(fetched),
            add.i.payload.a.eq(augend),
            add.i.payload.b.eq(addend),
            sums.write_enable.eq(add.o.valid & add.o.ready),
            sums.write_address.eq(written.index),
            sums.write_data.eq(add.o.payload.value),
            add.o.ready.eq(self.o.ready | ~written.end),
            self.o.valid.eq(add.o.valid & written.end),
            self.o.payload.value.eq(add.o.payload.value),
            self.o.payload.index.eq(written.index),
        ]
        return m

    def _interlock(self, m: Module, products, advance: Value):
        """Hold each product until its sum is in memory; all moves with ``advance`` only.

        Return the product held and where it and those before it are. Indices are compared one rank
        early, while a product comes in: the conflicts found move along with the beats that cause
        them, and end with the last. So the ready path starts at a register.
        """
        p = self.parameters
        held = Signal(p.multiply.output_layout, reset_less=True)
        valid, stalled = Signal(), Signal()  # whether a product is held; whether it may not go yet
        place = data.View(p.place_layout, held.tag)
        under_way = self._under_way(m, advance, valid & ~stalled, place)
        index = data.View(p.place_layout, products.payload.tag).index
        ahead = [(valid & ~stalled, place), *under_way[:-1]]
        conflicts, remaining = Signal(len(under_way)), Signal(len(under_way))
        m.d.comb += [stalled.eq(conflicts.any()), products.ready.eq(advance & ~stalled)]
        with m.If(stalled):
            m.d.comb += remaining.eq(conflicts << 1)
        with m.Elif(products.valid):
            m.d.comb += remaining.eq(Cat(busy & (at.index == index) for busy, at in ahead))
        with m.If(advance):
            m.d.sync += conflicts.eq(remaining)
            with m.If(~stalled):
                m.d.sync += [valid.eq(products.valid), held.eq(products.payload)]
        return held, under_way

    def _under_way(
        self, m: Module, advance: Value, issue: Value, place: data.View
    ) -> list[tuple[Signal, data.View]]:
        """Return ``(valid, place)`` beside each rank from the memory's on, newest first.

        Places travel here and not in the adder's tag, because the interlock looks at all of them.
        """
        entries = []
        for rank in range(self.parameters.ranks_under_way):
            valid = Signal(name=f"valid_{rank}")
            at = Signal(self.parameters.place_layout, name=f"place_{rank}", reset_less=True)
            with m.If(advance):
                m.d.sync += [valid.eq(issue), at.eq(place)]
            entries.append((valid, at))
            issue, place = valid, at
        return entries
