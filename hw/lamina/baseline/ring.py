"""Accumulators that live in the registers of the adder that they are added by."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.fp32_add import Fp16Add, Fp16AddParameters, Fp32Add, Fp32AddParameters
from lamina.formats.baseline import lane_step_layout
from lamina.formats.ieee import Format
from lamina.parameters import check_choice, check_range

__all__ = ["Ring", "RingParameters"]


@dataclass(frozen=True, kw_only=True)
class RingParameters:
    """``stages_per_rank``: registers in the adder, as in `PipelineParameters`; 9 leave one.

    ``sums``: format of terms and sums, "fp32" or "fp16".
    """

    stages_per_rank: int = 1
    sums: str = "fp32"

    def __post_init__(self):
        check_choice("sums", self.sums, ("fp32", "fp16"))
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def add(self) -> Fp32AddParameters:
        """Parameters of the adder; its tag says that a sum is finished."""
        kind = Fp32AddParameters if self.sums == "fp32" else Fp16AddParameters
        return kind(tag_bits=1, stages_per_rank=self.stages_per_rank)

    @property
    def format(self) -> Format:
        """Of terms and sums."""
        return self.add.format

    @property
    def selects(self) -> bool:
        """Whether a rank of its own brings term and sum together: with ranks after all stages."""
        return self.stages_per_rank == 1

    @property
    def slots(self) -> int:
        """Sums under way: one in each rank of the ring."""
        return self.add.latency + self.selects

    @property
    def index_bits(self) -> int:
        """Width of a sum's index."""
        return max(1, (self.slots - 1).bit_length())

    @property
    def input_layout(self) -> data.StructLayout:
        """Payload of ``i``."""
        return lane_step_layout({"value": unsigned(self.format.width)}, self.index_bits)

    @property
    def output_layout(self) -> data.StructLayout:
        """Payload of ``o``: a finished sum and its index."""
        return data.StructLayout(
            {"value": unsigned(self.format.width), "index": unsigned(self.index_bits)}
        )

    @property
    def latency(self) -> int:
        """Cycles from a term taken to its sum valid: once round the ring."""
        return self.slots

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return f"one term a cycle, of {self.slots} sums in turn"

    @property
    def storage_bits(self) -> int:
        """The adder, the rank before it, and which sum is due."""
        selected = (2 * self.format.width + 1) * self.selects
        return self.add.storage_bits + selected + (self.slots - 1).bit_length()


class Ring(wiring.Component):
    """Add terms to ``parameters.slots`` sums: acc[index] = FP32(acc[index] + value), or FP16.

    Members
    -------
    i : In(stream of ``parameters.input_layout``, a `lane_step_layout` with ``value``)
        ``index`` below ``parameters.slots``. A term is taken when its sum comes by.
    o : Out(stream of ``parameters.output_layout``)
        Finished sums.

    Timing
    ------
    Each sum comes by every ``slots`` cycles: terms that go round the indices are taken one a cycle.
    All ranks advance together and stand still only while a finished sum waits at ``o``.

    Numerics: one rounding to nearest even a term; see `Fp32Add`. A sum that gets no term in a round
    gets +0, which changes none: -0 never comes up.
    """

    def __init__(self, parameters: RingParameters):
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
        m.submodules.add = add = (Fp32Add if p.sums == "fp32" else Fp16Add)(p.add)
        term = self.i.payload
        slot, meets = Signal(range(p.slots)), Signal()
        width = p.format.width
        augend, addend, end = Signal(width), Signal(width), Signal()
        self._select(m, add, Cat(augend, addend, end))
        with m.If(add.i.ready):
            m.d.sync += slot.eq(Mux(slot == p.slots - 1, 0, slot + 1))
        m.d.comb += [
            self.i.ready.eq(add.i.ready & (term.index == slot)),
            meets.eq(self.i.valid & (term.index == slot)),
            add.i.valid.eq(1),
            augend.eq(Mux(meets & term.begin, 0, add.o.payload.value)),
            addend.eq(Mux(meets, term.value, 0)),
            end.eq(meets & term.end),
            add.o.ready.eq(self.o.ready | ~add.o.payload.tag),
            self.o.valid.eq(add.o.valid & add.o.payload.tag),
            self.o.payload.value.eq(add.o.payload.value),
            # The ring is as many ranks long as there are sums: what leaves is the sum due.
            self.o.payload.index.eq(slot),
        ]
        return m

    def _select(self, m, add, operands):
        """Hand ``operands``, augend, addend and tag, to the adder, through a rank if it has one."""
        if self.parameters.selects:
            selected = Signal.like(operands)
            with m.If(add.i.ready):
                m.d.sync += selected.eq(operands)
            operands = selected
        given = add.i.payload
        m.d.comb += Cat(given.a, given.b, given.tag).eq(operands)
