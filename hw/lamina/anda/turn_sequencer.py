"""Turn sequencer: the loops over a GEMM, dealt to the slots of an array in turn."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.engine import GROUPS_BITS, PLACE_BITS, job_layout, tile_layout, turn_layout

__all__ = ["TurnSequencer"]

#: Where a loop over rows or columns is, how many are left from there, and whether that is its first
#: tile or its last.
_SPAN = data.StructLayout(
    {"at": unsigned(PLACE_BITS), "left": unsigned(PLACE_BITS), "first": 1, "last": 1}
)


_ADDRESSES = ("address", "round_address", "tile_address")


def _loops_layout(parameters) -> data.StructLayout:
    """Return where all loops are.

    ``rows``, ``columns``: the tiles of the turn; ``tile_rows``, ``round_columns``: those that the
    pass, the round began with, and so for the addresses of groups. ``idle``: the turn has no work.
    ``group`` of k, and whether it is the first or the last one. ``new``: it is worked on for the
    first time; ``end``: for the last time.
    """
    names = ("rows", "tile_rows", "columns", "round_columns")
    spans: dict = dict.fromkeys(names, _SPAN)
    addresses = dict.fromkeys(_ADDRESSES, parameters.address_bits)
    turns = dict.fromkeys(("slot", "row_turn"), range(parameters.slots))
    flags = dict.fromkeys(("idle", "first_group", "last_group", "new", "end"), 1)
    return data.StructLayout(spans | addresses | turns | flags | {"group": unsigned(GROUPS_BITS)})


def _begun(step: int, left: Value) -> Value:
    """Return where a loop over so many ``left`` begins."""
    return Cat(Const(0, PLACE_BITS), left, Const(1, 1), left <= step)


def _moved(step: int, span) -> Value:
    """Return where a loop is that moves on by ``step``."""
    at, left = (value[:PLACE_BITS] for value in (span.at + step, span.left - step))
    return Cat(at, left, Const(0, 1), span.left <= 2 * step)


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
        active, held, over = Signal(), Signal(job_layout()), Signal()
        loops = Signal(_loops_layout(p))
        self._loop(m, loops, active, held, over)
        fresh = Signal(p.address_bits + 1)  # groups in the memory that were not used yet
        left, there = Signal.like(fresh), Signal()
        m.d.comb += left.eq(fresh + self.loaded - (over & loops.new))
        m.d.sync += [fresh.eq(left), there.eq(left != 0)]
        turn = self.turn.payload
        m.d.comb += [
            over.eq(self.turn.valid & self.turn.ready),
            self.starved.eq(active & loops.new & ~there),
            turn.address.eq(loops.address),
            turn.beats.eq(held.beats),
            turn.cycles.eq(held.cycles),
            turn.real.eq(~loops.idle),
            turn.load.eq(~loops.idle & (loops.row_turn == 0)),
            turn.begin.eq(loops.first_group),
            turn.end.eq(loops.end),
            self.turn.valid.eq(active & ~self.starved & ~(turn.end & self.crowded)),
            self.enter.eq(over & turn.end),
            self.release.eq(over & ~loops.idle & loops.columns.last),
            self.released.eq(held.beats),
            self.tile.row.eq(loops.rows.at),
            self.tile.column.eq(loops.columns.at),
            self.tile.rows.eq(Mux(loops.rows.last, loops.rows.left, p.rows)),
            self.tile.columns.eq(Mux(loops.columns.last, loops.columns.left, p.columns)),
            self.tile.tag.eq(held.gemm.tag),
            self.tile.last.eq(loops.rows.last & loops.columns.last),
        ]
        return m

    def _loop(self, m, loops, active, held, over):
        """Go on with the loops when a turn is over, or begin a job.

        Where to is a register, because much waits for the end of a turn; it is written in the
        turn's first cycle, and a turn has two at least. So is whether a job begins there.
        """
        after, following, start = (Signal.like(loops) for _ in range(3))
        done, ended, job = Signal(), Signal(init=1), self.job.payload
        rows, columns = self._rows_of(job.gemm), self._columns_of(job.gemm)
        # Its groups lie behind those of the job before.
        address = Mux(active, following.tile_address, loops.tile_address)
        m.d.comb += [
            after.eq(loops),
            after.end.eq(after.last_group & ~after.idle),
            after.new.eq(after.columns.first & ~after.idle),
            *(start[name].eq(address) for name in _ADDRESSES),
            *(start[name].eq(rows) for name in ("rows", "tile_rows")),
            *(start[name].eq(columns) for name in ("columns", "round_columns")),
            *(start[name].eq(1) for name in ("first_group", "new")),
            *(start[name].eq(job.gemm.groups == 1) for name in ("last_group", "end")),
        ]
        self._go_on(m, loops, after, held, done)
        m.d.sync += [following.eq(after), ended.eq(done | ~active)]
        moves = over | ~active
        m.d.comb += self.job.ready.eq(ended & moves)
        with m.If(moves):
            m.d.sync += [
                active.eq(Mux(ended, self.job.valid, 1)),
                held.eq(Mux(ended, job, held)),
                loops.eq(Mux(ended, start, following)),
            ]

    def _go_on(self, m, loops, after, held, done):
        """Find out where the loops are ``after`` this turn; ``done``: it is the job's last."""
        p = self.parameters
        behind = Signal(p.address_bits)
        run_end, room, round_end = Signal(), Signal(), Signal()
        m.d.comb += [
            behind.eq(Mux(loops.idle, loops.address, loops.address + held.beats)),
            run_end.eq(loops.rows.last | (loops.row_turn + 1 == held.gemm.row_turns)),
            room.eq(~loops.columns.last & (loops.slot + loops.row_turn + 1 < p.slots)),
            round_end.eq((loops.slot == p.slots - 1) | (loops.last_group & run_end & ~room)),
            after.address.eq(behind),
        ]
        with m.If(round_end):
            m.d.comb += [after.slot.eq(0), after.row_turn.eq(0), after.idle.eq(0)]
            m.d.comb += after.rows.eq(loops.tile_rows)
            self._next_round(m, loops, after, held, behind, done)
        with m.Else():
            m.d.comb += after.slot.eq(loops.slot + 1)
            with m.If(~run_end):
                m.d.comb += after.row_turn.eq(loops.row_turn + 1)
                m.d.comb += after.rows.eq(_moved(p.rows, loops.rows))
            with m.Elif(room):
                m.d.comb += [after.row_turn.eq(0), after.address.eq(loops.round_address)]
                m.d.comb += after.rows.eq(loops.tile_rows)
                m.d.comb += after.columns.eq(_moved(p.columns, loops.columns))
            with m.Else():
                m.d.comb += after.idle.eq(1)

    def _next_round(self, m, loops, after, held, behind, done):
        """Of the next group of k, the next tiles of columns, or the next tiles of rows."""
        p, last = self.parameters, loops.last_group
        m.d.comb += [
            after.group.eq(Mux(last, 0, loops.group + 1)),
            after.first_group.eq(last),
            after.last_group.eq(Mux(last, 1, loops.group + 2) == held.gemm.groups),
        ]
        with m.If(~last):
            m.d.comb += [after.columns.eq(loops.round_columns), after.round_address.eq(behind)]
        with m.Elif(~loops.columns.last):
            columns = _moved(p.columns, loops.columns)
            m.d.comb += [after.columns.eq(columns), after.round_columns.eq(columns)]
            m.d.comb += [
                after[name].eq(loops.tile_address) for name in ("address", "round_address")
            ]
        with m.Else():
            columns, rows = self._columns_of(held.gemm), _moved(p.rows, loops.rows)
            m.d.comb += [after.columns.eq(columns), after.round_columns.eq(columns)]
            m.d.comb += [after.rows.eq(rows), after.tile_rows.eq(rows)]
            m.d.comb += [after.round_address.eq(behind), after.tile_address.eq(behind)]
            m.d.comb += done.eq(loops.rows.last)

    def _rows_of(self, gemm) -> Value:
        return _begun(self.parameters.rows, gemm.m)

    def _columns_of(self, gemm) -> Value:
        return _begun(self.parameters.columns, gemm.n)
