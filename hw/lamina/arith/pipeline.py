"""Pipelines of pure stages: how every arithmetic unit is cut into ranks of registers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

from amaranth.hdl import Fragment, Module, ShapeLike, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.parameters import check_range
from lamina.stream.buffer import SkidBufferParameters

__all__ = ["Pipeline", "PipelineParameters", "Stage", "delayed"]

#: A combinational step: takes the module and the values of the step before as attributes, and
#: returns those that later steps need, by name. What it does not return ends there.
Stage = Callable[[Module, SimpleNamespace], dict[str, Value]]


@dataclass(frozen=True, kw_only=True)
class PipelineParameters:
    """What all pipelines share; each unit's parameters add its own.

    Parameters
    ----------
    tag_bits : int, 0 to 1024
        Width of ``tag``, which travels beside the data untouched.
    stages_per_rank : int, 1 to 16
        A register follows every so many stages, and the last. 1 suits FPGAs: a stage is about one
        24-bit addition or one shift. Cell libraries reach the same clock with 2 or 3.
    """

    tag_bits: int = 0
    stages_per_rank: int = 1

    def __post_init__(self):
        check_range("tag_bits", self.tag_bits, 0, 1024)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The steps from operands to result, in order."""
        raise NotImplementedError

    @property
    def operands(self) -> dict[str, ShapeLike]:
        """Fields of an input beat other than ``tag``."""
        raise NotImplementedError

    @property
    def results(self) -> dict[str, ShapeLike]:
        """Fields of an output beat other than ``tag``."""
        raise NotImplementedError

    @property
    def input_layout(self) -> data.StructLayout:
        """Payload of ``i``."""
        return data.StructLayout(self.operands | {"tag": unsigned(self.tag_bits)})

    @property
    def output_layout(self) -> data.StructLayout:
        """Payload of ``o``."""
        return data.StructLayout(self.results | {"tag": unsigned(self.tag_bits)})

    @property
    def latency(self) -> int:
        """Cycles from an input beat to its output beat: the number of ranks."""
        return -(-len(self.stages) // self.stages_per_rank)

    @property
    def slice(self) -> SkidBufferParameters | None:
        """Of a register slice behind it, so that stalls start at one: none where it is short."""
        return SkidBufferParameters(shape=self.output_layout) if self.latency > 2 else None

    @property
    def sliced_latency(self) -> int:
        """Cycles with the slice."""
        return self.latency + (self.slice.latency if self.slice else 0)

    @property
    def throughput(self) -> int:
        """Beats a cycle."""
        return 1

    @property
    def storage_bits(self) -> int:
        """Flip-flops of all ranks: found by building them, so that it cannot go stale."""
        widths = [self.latency]  # one valid bit a rank

        def count(stage: str, beat: dict[str, Value]) -> dict[str, Value]:
            widths.extend(map(len, beat.values()))
            return beat

        m = Module()
        self.chain(m, Signal(self.input_layout), count)
        Fragment.get(m, None)  # or Amaranth warns of a module that goes nowhere
        return sum(widths)

    def chain(
        self,
        m: Module,
        beat: data.View,
        register: Callable,
        stages: Sequence[Stage] | None = None,
    ) -> dict[str, Value]:
        """Run ``beat`` through all stages; ``register(stage name, values)`` ends each rank.

        ``stages``: to be taken for `stages`, as which they do the same with other cells.
        """
        stages = stages or self.stages
        values = {name: Value.cast(beat[name]) for name in self.operands}
        tag = {"tag": beat.tag} if self.tag_bits else {}
        for number, stage in enumerate(stages, 1):
            named = {}
            for name, value in stage(m, SimpleNamespace(**values)).items():
                named[name] = Signal(Value.cast(value).shape(), name=f"{stage.__name__}_{name}")
                m.d.comb += named[name].eq(value)
            values = named
            if number % self.stages_per_rank == 0 or number == len(stages):
                values = register(stage.__name__, values | tag)
                tag = {name: values.pop(name) for name in tag}
        return values | tag


def delayed(
    m: Module,
    value: Value,
    enable: Value,
    ranks: int,
    name: str | None = None,
    *,
    reset_less: bool = True,
) -> Value:
    """Return ``value`` after so many ranks of registers that move with ``enable``.

    They are called ``<name>_<rank>``. Not ``reset_less``: what makes something happen.
    """
    for rank in range(ranks):
        named = {"name": f"{name}_{rank}"} if name else {}
        before, value = value, Signal.like(value, reset_less=reset_less, **named)
        with m.If(enable):
            m.d.sync += value.eq(before)
    return value


class Pipeline(wiring.Component):
    """Base of the arithmetic units: the stages of ``parameters``, cut into ranks.

    Members
    -------
    i : In(stream of ``parameters.input_layout``)
        Operands and ``tag``.
    o : Out(stream of ``parameters.output_layout``)
        Results in order, each with the tag of its operands.

    Timing: ``parameters.latency`` cycles, one beat a cycle. All ranks advance together, whenever
    ``o`` is free or is being read; bubbles are not squeezed out. ``i.ready`` follows ``o.ready`` in
    the same cycle; ``o`` comes from registers only.
    """

    def __init__(self, parameters: PipelineParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(p.input_layout)),
                "o": Out(stream.Signature(p.output_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        advance = Signal()
        valid = self.i.valid

        def register(stage: str, beat: dict[str, Value]) -> dict[str, Value]:
            nonlocal valid
            before, valid = valid, Signal(name=f"{stage}_valid")
            ranks = {
                # Data needs no reset: nothing looks at it while valid is low.
                name: Signal(value.shape(), name=f"{stage}_{name}_rank", reset_less=True)
                for name, value in beat.items()
            }
            with m.If(advance):
                m.d.sync += valid.eq(before)
                m.d.sync += [ranks[name].eq(value) for name, value in beat.items()]
            return ranks

        result = self.parameters.chain(m, self.i.payload, register)
        m.d.comb += [
            advance.eq(self.o.ready | ~self.o.valid),
            self.i.ready.eq(advance),
            self.o.valid.eq(valid),
            *(self.o.payload[name].eq(value) for name, value in result.items()),
        ]
        return m
