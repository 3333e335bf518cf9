"""Scale groups of activations wait until it is known where their windows are."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.arith.pipeline import delayed
from lamina.formats.ieee import FP16
from lamina.formats.packed import LANES
from lamina.formats.window import window_step_layout
from lamina.pacq.window_rows import LOWEST, finite_exponents, highest, unpacked, window_depth
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
    """``rows``, ``lanes`` of a step, ``window_bits``, ``steps`` of a group, ``index_bits``.

    ``stages_per_rank``: with 1, for FPGAs, this and all parts of the unit have ranks within, and
    slices where a stall would meet many enables.
    """

    rows: int = 1
    lanes: int = LANES
    window_bits: int = 30
    steps: int = 32
    index_bits: int = 2
    stages_per_rank: int = 1

    def __post_init__(self):
        check_power_of_two("rows", self.rows, 1, 8)
        check_power_of_two("lanes", self.lanes, 2, 16)
        check_range("steps", self.steps, 1, 1 << 16)
        check_range("index_bits", self.index_bits, 0, 12)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def split(self) -> bool:
        """Whether there are the ranks and slices that FPGAs want."""
        return self.stages_per_rank == 1

    @property
    def look_ranks(self) -> int:
        """Ranks in which a step's exponents are compared: unpacked, in pairs, with the group's."""
        return 2 + (self.lanes - 1).bit_length() if self.split else 0

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
        return self.look_ranks + self.known.latency

    @property
    def throughput(self) -> int:
        """Steps per cycle."""
        return 1

    @property
    def storage_bits(self) -> int:
        """Both queues, largest exponents and flags of NaN, and the ranks that find them."""
        found = self.rows * (FP16.exponent_bits + 1)
        if self.split:
            values = 2 * self.lanes + 1  # of all ranks, the largest of the group behind the last
            found += self.rows * (FP16.exponent_bits * values + self.look_ranks)
            found += self.look_ranks * (self.index_bits + 4) + _GROUPS.bit_length()
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
        # Behind ranks a group cannot be stopped: it comes in when there is room for it.
        may = (self._room(m, known.o) if p.split else known.i.ready) | ~i.p.last
        m.d.comb += [
            waiting.i.valid.eq(i.valid & may),
            i.ready.eq(waiting.i.ready & may),
            waiting.i.p.a.eq(i.p.a),
            waiting.i.p.last.eq(i.p.last),
        ]
        self._look(m, i.valid & waiting.i.ready & may, known.i)
        m.d.comb += [
            o.valid.eq(waiting.o.valid & known.o.valid),
            waiting.o.ready.eq(o.ready & known.o.valid),
            known.o.ready.eq(o.ready & waiting.o.valid & o.p.last),
            o.p.a.eq(waiting.o.p.a),
            o.p.last.eq(waiting.o.p.last),
            o.p.group.eq(known.o.p),
        ]
        return m

    def _room(self, m, known):
        """Return whether a group may end, by a count of those that have and are not worked off."""
        groups, i = Signal(range(_GROUPS + 1)), self.i
        m.d.sync += groups.eq(groups + (i.valid & i.ready & i.p.last) - (known.valid & known.ready))
        return groups != _GROUPS

    def _look(self, m, taken, known):
        """Keep up the largest exponent of each row; give their windows to the group."""
        p, i = self.parameters, self.i
        ranks = p.look_ranks
        ended = Cat(i.p.last, i.p.begin, i.p.end, i.p.index)
        if p.split:
            ended = delayed(m, ended, Const(1), ranks - 1, "ended")
            taken = delayed(m, taken, Const(1), ranks - 1, "taken", reset_less=False)
        found = [self._row(m, row, taken, ended[0]) for row in range(p.rows)]
        tops, nan = Cat(top for top, _ in found), Cat(nan for _, nan in found)
        ends = taken & ended[0]
        if p.split:
            tops, nan, ended = (delayed(m, value, Const(1), 1) for value in (tops, nan, ended))
            ends = delayed(m, ends, Const(1), 1, "ends", reset_less=False)
        depth = window_depth(p.window_bits)
        for row in range(p.rows):
            top = tops.word_select(row, FP16.exponent_bits)
            m.d.comb += known.p.bases[row].eq(Mux(top > depth, top - depth, LOWEST))
        m.d.comb += [
            known.valid.eq(ends),
            known.p.nan.eq(nan),
            Cat(known.p.begin, known.p.end, known.p.index).eq(ended[1:]),
        ]

    def _row(self, m, row, taken, last):
        """Return the largest exponent of a row so far, and whether there was a NaN."""
        p = self.parameters
        a = self.i.p.a[row].as_value()
        largest = Signal(FP16.exponent_bits, name=f"largest_{row}")
        nan = Signal(name=f"nan_{row}")
        values, step_nan = finite_exponents(a), Cat(x.nan for x in unpacked(a)).any()
        if p.split:
            values = [highest(m, f"top_{row}", self._ranked(m, values), rank=self._ranked)]
            step_nan = delayed(m, step_nan, Const(1), p.look_ranks - 1, f"step_nan_{row}")
        top = highest(m, f"largest_of_{row}", [largest, *values])
        any_nan = nan | step_nan
        with m.If(taken):
            m.d.sync += [largest.eq(Mux(last, 0, top)), nan.eq(~last & any_nan)]
        return top, any_nan

    @staticmethod
    def _ranked(m, values):
        return [delayed(m, value, Const(1), 1) for value in values]
