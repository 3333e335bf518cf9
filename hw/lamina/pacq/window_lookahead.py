"""Scale groups of activations wait until it is known where their windows are."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.ieee import FP16
from lamina.formats.packed import LANES
from lamina.formats.window import window_step_layout
from lamina.pacq.window_rows import LOWEST, highest_exponent, unpacked, window_depth
from lamina.parameters import check_power_of_two, check_range
from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["WindowLookahead", "WindowLookaheadParameters", "window_group_layout"]

#: Groups whose windows are known and that are not worked off yet.
_GROUPS = 3


def window_group_layout(rows: int, index_bits: int) -> data.StructLayout:
    """Return what a scale group has beside its steps.

    ``bases``: least exponent of each row's window; ``nan``: whether the row has a NaN. The other
    fields are those of `window_step_layout`.
    """
    return data.StructLayout(
        {
            "bases": data.ArrayLayout(unsigned(FP16.exponent_bits), rows),
            "nan": unsigned(rows),
            "index": unsigned(index_bits),
            "begin": unsigned(1),
            "end": unsigned(1),
        }
    )


@dataclass(frozen=True, kw_only=True)
class WindowLookaheadParameters:
    """``rows``, ``lanes`` of a step, ``window_bits``, ``steps`` of a group, ``index_bits``."""

    rows: int = 1
    lanes: int = LANES
    window_bits: int = 30
    steps: int = 32
    index_bits: int = 2

    def __post_init__(self):
        check_power_of_two("rows", self.rows, 1, 8)
        check_power_of_two("lanes", self.lanes, 2, 16)
        check_range("steps", self.steps, 1, 1 << 16)
        check_range("index_bits", self.index_bits, 0, 12)

    @property
    def step_shape(self) -> data.StructLayout:
        """What waits of a step."""
        fields = window_step_layout(self.rows, self.index_bits, self.lanes).members
        return data.StructLayout({name: fields[name] for name in ("a", "last")})

    @property
    def group_shape(self) -> data.StructLayout:
        """What a group has beside."""
        return window_group_layout(self.rows, self.index_bits)

    @property
    def output_shape(self) -> data.StructLayout:
        """A step and what its group has."""
        return data.StructLayout({**self.step_shape.members, "group": self.group_shape})

    @property
    def waiting(self) -> QueueParameters:
        """Of the steps: one group comes while another one goes."""
        return QueueParameters(shape=self.step_shape, depth=max(4, 2 * self.steps))

    @property
    def known(self) -> QueueParameters:
        """Of the groups that are complete."""
        return QueueParameters(shape=self.group_shape, depth=_GROUPS)

    @property
    def latency(self) -> int:
        """Cycles from the last step of a group to its first step valid on ``o``."""
        return self.known.latency

    @property
    def throughput(self) -> int:
        """Steps per cycle."""
        return 1

    @property
    def storage_bits(self) -> int:
        """Both queues, largest exponents and flags of NaN."""
        found = self.rows * (FP16.exponent_bits + 1)
        return self.waiting.storage_bits + self.known.storage_bits + found


class WindowLookahead(wiring.Component):
    """Finds the largest finite exponent of each row over a scale group before its steps go on.

    Members
    -------
    i : In(stream) of `window_step_layout`
    o : Out(stream) of ``parameters.output_shape``
        The same steps, when their group is complete.

    Timing: a step a cycle; a group waits until its last step has come. A group longer than
    ``parameters.steps`` never goes on.
    """

    def __init__(self, parameters: WindowLookaheadParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(window_step_layout(p.rows, p.index_bits, p.lanes))),
                "o": Out(stream.Signature(p.output_shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p, i, o = self.parameters, self.i, self.o
        m.submodules.waiting = waiting = Queue(p.waiting)
        m.submodules.known = known = Queue(p.known)
        may = known.i.ready | ~i.p.last
        m.d.comb += [
            waiting.i.valid.eq(i.valid & may),
            i.ready.eq(waiting.i.ready & may),
            waiting.i.p.a.eq(i.p.a),
            waiting.i.p.last.eq(i.p.last),
            known.i.valid.eq(i.valid & waiting.i.ready & i.p.last),
            *(known.i.p[name].eq(i.p[name]) for name in ("index", "begin", "end")),
        ]
        for row in range(p.rows):
            self._look(m, row, i.valid & i.ready, known.i.p)
        m.d.comb += [
            o.valid.eq(waiting.o.valid & known.o.valid),
            waiting.o.ready.eq(o.ready & known.o.valid),
            known.o.ready.eq(o.ready & waiting.o.valid & o.p.last),
            o.p.a.eq(waiting.o.p.a),
            o.p.last.eq(waiting.o.p.last),
            o.p.group.eq(known.o.p),
        ]
        return m

    def _look(self, m, row, taken, group):
        """Keep up the largest exponent of a row; give its window to the group."""
        depth = window_depth(self.parameters.window_bits)
        a = self.i.p.a[row].as_value()
        largest = Signal(FP16.exponent_bits, name=f"largest_{row}")
        nan = Signal(name=f"nan_{row}")
        top = highest_exponent(m, f"top_{row}", a, largest)
        any_nan = nan | Cat(x.nan for x in unpacked(a)).any()
        m.d.comb += [
            group.bases[row].eq(Mux(top > depth, top - depth, LOWEST)),
            group.nan[row].eq(any_nan),
        ]
        with m.If(taken):
            m.d.sync += [
                largest.eq(Mux(self.i.p.last, 0, top)),
                nan.eq(~self.i.p.last & any_nan),
            ]
