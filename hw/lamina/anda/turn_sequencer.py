"""Turn sequencer: the loops over a GEMM, dealt to the slots of an array in turn."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.engine import GROUPS_BITS, PLACE_BITS, job_layout, tile_layout, turn_layout

__all__ = ["TurnSequencer"]

#: Where a loop over rows or columns is, and how many are left from there.
_SPAN = data.StructLayout({"at": unsigned(PLACE_BITS), "left": unsigned(PLACE_BITS)})


def _move(m, step: int, span, *others) -> None:
    """Move a loop on; ``others``: what is set to the same place."""
    for target in (span, *others):
        m.d.sync += [target.at.eq(span.at + step), target.left.eq(span.left - step)]


def _start(m, left, *spans) -> None:
    """Begin loops with so many left."""
    for target in spans:
        m.d.sync += [target.at.eq(0), target.left.eq(left)]


class TurnSequencer(wiring.Component):
    """Walk through jobs: tiles of rows, tiles of columns, groups of k, turns.

    A round is one turn of each of ``slots``. In it come, for as many tiles of columns as there is
    room for, up to ``row_turns`` tiles of rows each; turns that are left are not real, so that the
    next group of k meets its sums, and the last round leaves them out. Rounds go through k; then
    come the next tiles of columns, with the same rows; then the next rows. A group
    of activations is new with the first tile of columns, and released with the last one.

    Parameters: `EngineParameters`.

    Members
    -------
    job : In(stream of `job_layout`)
    loaded : In(1)
        One more group is in the memory.
    turn : Out(stream of `turn_layout`)
        Valid if its group is in the memory. Ready: the turn is over.
    starved : Out(1)
        Its group is not there.
    tile, enter : Out
        Where the outputs of the turn that is over belong, if it has any; not while ``crowded``.
    release, released : Out
        As `PlaneMemory` has them.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "job": In(stream.Signature(job_layout())),
                "loaded": In(1),
                "turn": Out(stream.Signature(turn_layout(p.address_bits))),
                "starved": Out(1),
                "tile": Out(tile_layout(p.rows, p.columns)),
                "enter": Out(1),
                "crowded": In(1),
                "release": Out(1),
                "released": Out(5),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        active, held = Signal(), Signal(job_layout())
        over, done = Signal(), Signal()
        loops = _Loops(m, p, held)
        m.d.comb += [
            over.eq(self.turn.valid & self.turn.ready),
            self.job.ready.eq(~active | done),
        ]
        with m.If(over):
            loops.go_on(m, done)
        with m.If(done):
            m.d.sync += active.eq(0)
        with m.If(self.job.valid & self.job.ready):
            m.d.sync += [active.eq(1), held.eq(self.job.payload)]
            loops.start(m, self.job.payload.gemm)
        new = Signal()
        fresh = Signal(p.address_bits + 1)  # groups in the memory that were not used yet
        m.d.sync += fresh.eq(fresh + self.loaded - (over & new))
        turn = self.turn.payload
        m.d.comb += [
            new.eq(~loops.idle & (loops.columns.at == 0)),
            self.starved.eq(active & new & (fresh == 0)),
            turn.address.eq(loops.address),
            turn.beats.eq(held.beats),
            turn.cycles.eq(held.cycles),
            turn.real.eq(~loops.idle),
            turn.load.eq(~loops.idle & (loops.row_turn == 0)),
            turn.begin.eq(loops.group == 0),
            turn.end.eq(~loops.idle & loops.last_group),
            self.turn.valid.eq(active & ~self.starved & ~(turn.end & self.crowded)),
            self.enter.eq(over & turn.end),
            self.release.eq(over & ~loops.idle & loops.columns_end),
            self.released.eq(held.beats),
        ]
        self._place(m, loops, held.gemm.tag)
        return m

    def _place(self, m, loops, tag):
        """Say where the outputs of the turn belong."""
        p, rows, columns = self.parameters, loops.rows, loops.columns
        m.d.comb += [
            self.tile.row.eq(rows.at),
            self.tile.column.eq(columns.at),
            self.tile.rows.eq(Mux(loops.rows_end, rows.left, p.rows)),
            self.tile.columns.eq(Mux(loops.columns_end, columns.left, p.columns)),
            self.tile.tag.eq(tag),
            self.tile.last.eq(loops.rows_end & loops.columns_end),
        ]


class _Loops:
    """The loops' counters, over the job ``held``, as signals.

    ``rows``, ``columns``: the tiles of the turn; ``tile_rows``, ``round_columns``: those that the
    pass, the round began with, and so for the addresses of groups. ``idle``: the turn has no work.
    ``rows_end``, ``columns_end``: no tiles of them follow.
    """

    def __init__(self, m, parameters, held):
        self.parameters = p = parameters
        self.held = held
        self.slot, self.row_turn = Signal(range(p.slots)), Signal(range(p.slots))
        self.idle, self.group = Signal(), Signal(GROUPS_BITS)
        self.rows, self.tile_rows = Signal(_SPAN), Signal(_SPAN)
        self.columns, self.round_columns = Signal(_SPAN), Signal(_SPAN)
        self.address, self.round_address, self.tile_address = (
            Signal(p.address_bits, name=f"{name}address") for name in ("", "round_", "tile_")
        )
        self.rows_end, self.columns_end, self.last_group = Signal(), Signal(), Signal()
        self.run_end, self.room, self.round_end = Signal(), Signal(), Signal()
        m.d.comb += [
            self.rows_end.eq(self.rows.left <= p.rows),
            self.columns_end.eq(self.columns.left <= p.columns),
            self.last_group.eq(self.group == held.gemm.groups - 1),
            self.run_end.eq(self.rows_end | (self.row_turn == held.gemm.row_turns - 1)),
            self.room.eq(~self.columns_end & (self.slot + self.row_turn + 1 < p.slots)),
            self.round_end.eq(
                (self.slot == p.slots - 1) | (self.last_group & self.run_end & ~self.room)
            ),
        ]

    def start(self, m, gemm):
        """Begin a job."""
        _start(m, gemm.m, self.rows, self.tile_rows)
        _start(m, gemm.n, self.columns, self.round_columns)

    def go_on(self, m, done):
        """Go to the next turn; ``done``: there is none."""
        p = self.parameters
        behind = Signal(p.address_bits)
        m.d.comb += behind.eq(Mux(self.idle, self.address, self.address + self.held.beats))
        m.d.sync += self.address.eq(behind)
        with m.If(self.round_end):
            m.d.sync += [self.slot.eq(0), self.row_turn.eq(0), self.idle.eq(0)]
            m.d.sync += self.rows.eq(self.tile_rows)
            self._next_round(m, behind, done)
        with m.Else():
            m.d.sync += self.slot.eq(self.slot + 1)
            with m.If(~self.run_end):
                m.d.sync += self.row_turn.eq(self.row_turn + 1)
                _move(m, p.rows, self.rows)
            with m.Elif(self.room):
                m.d.sync += [self.row_turn.eq(0), self.address.eq(self.round_address)]
                m.d.sync += self.rows.eq(self.tile_rows)
                _move(m, p.columns, self.columns)
            with m.Else():
                m.d.sync += self.idle.eq(1)

    def _next_round(self, m, behind, done):
        """Of the next group of k, the next tiles of columns, or the next tiles of rows."""
        p = self.parameters
        m.d.sync += self.group.eq(Mux(self.last_group, 0, self.group + 1))
        with m.If(~self.last_group):
            m.d.sync += [self.columns.eq(self.round_columns), self.round_address.eq(behind)]
        with m.Elif(~self.columns_end):
            m.d.sync += [
                self.address.eq(self.tile_address),
                self.round_address.eq(self.tile_address),
            ]
            _move(m, p.columns, self.columns, self.round_columns)
        with m.Else():
            m.d.sync += [self.round_address.eq(behind), self.tile_address.eq(behind)]
            _start(m, self.held.gemm.n, self.columns, self.round_columns)
            _move(m, p.rows, self.rows, self.tile_rows)
            m.d.comb += done.eq(self.rows_end)
