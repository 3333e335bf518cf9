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
    room for, up to ``row_turns`` tiles of rows each; turns that are left are not real. Rounds go
    through k; then come the next tiles of columns, with the same rows; then the next rows. A group
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
        active, held, group = Signal(), Signal(job_layout()), Signal(GROUPS_BITS)
        slot, row_turn, idle = Signal(range(p.slots)), Signal(range(p.slots)), Signal()
        rows, tile_rows = Signal(_SPAN), Signal(_SPAN)
        columns, round_columns = Signal(_SPAN), Signal(_SPAN)
        address, round_address, tile_address = (
            Signal(p.address_bits, name=f"{name}address") for name in ("", "round_", "tile_")
        )
        behind = Signal(p.address_bits)
        rows_end, columns_end, run_end, room = Signal(), Signal(), Signal(), Signal()
        last_group, over, done = Signal(), Signal(), Signal()
        m.d.comb += [
            rows_end.eq(rows.left <= p.rows),
            columns_end.eq(columns.left <= p.columns),
            run_end.eq(rows_end | (row_turn == held.gemm.row_turns - 1)),
            room.eq(~columns_end & (slot + row_turn + 1 < p.slots)),
            last_group.eq(group == held.gemm.groups - 1),
            behind.eq(Mux(idle, address, address + held.beats)),
            over.eq(self.turn.valid & self.turn.ready),
            self.job.ready.eq(~active | done),
        ]
        with m.If(over):
            m.d.sync += address.eq(behind)
            with m.If(slot != p.slots - 1):
                m.d.sync += slot.eq(slot + 1)
                with m.If(~run_end):
                    m.d.sync += row_turn.eq(row_turn + 1)
                    _move(m, p.rows, rows)
                with m.Elif(room):
                    m.d.sync += [row_turn.eq(0), rows.eq(tile_rows), address.eq(round_address)]
                    _move(m, p.columns, columns)
                with m.Else():
                    m.d.sync += idle.eq(1)
            with m.Else():
                m.d.sync += [slot.eq(0), row_turn.eq(0), idle.eq(0), rows.eq(tile_rows)]
                m.d.sync += group.eq(Mux(last_group, 0, group + 1))
                with m.If(~last_group):
                    m.d.sync += [columns.eq(round_columns), round_address.eq(behind)]
                with m.Elif(~columns_end):
                    m.d.sync += [address.eq(tile_address), round_address.eq(tile_address)]
                    _move(m, p.columns, columns, round_columns)
                with m.Else():
                    m.d.sync += [round_address.eq(behind), tile_address.eq(behind)]
                    _start(m, held.gemm.n, columns, round_columns)
                    _move(m, p.rows, rows, tile_rows)
                    m.d.comb += done.eq(rows_end)
        with m.If(done):
            m.d.sync += active.eq(0)
        with m.If(self.job.valid & self.job.ready):
            m.d.sync += [active.eq(1), held.eq(self.job.payload)]
            _start(m, self.job.payload.gemm.n, columns, round_columns)
            _start(m, self.job.payload.gemm.m, rows, tile_rows)
        new = Signal()
        fresh = Signal(p.address_bits + 1)  # groups in the memory that were not used yet
        m.d.comb += [
            new.eq(~idle & (columns.at == 0)),
            self.starved.eq(active & new & (fresh == 0)),
        ]
        m.d.sync += fresh.eq(fresh + self.loaded - (over & new))
        turn = self.turn.payload
        m.d.comb += [
            turn.address.eq(address),
            turn.beats.eq(held.beats),
            turn.cycles.eq(held.cycles),
            turn.real.eq(~idle),
            turn.load.eq(~idle & (row_turn == 0)),
            turn.begin.eq(group == 0),
            turn.end.eq(~idle & last_group),
            self.turn.valid.eq(active & ~self.starved & ~(turn.end & self.crowded)),
            self.enter.eq(over & turn.end),
            self.release.eq(over & ~idle & columns_end),
            self.released.eq(held.beats),
            self.tile.row.eq(rows.at),
            self.tile.column.eq(columns.at),
            self.tile.rows.eq(Mux(rows_end, rows.left, p.rows)),
            self.tile.columns.eq(Mux(columns_end, columns.left, p.columns)),
            self.tile.tag.eq(held.gemm.tag),
            self.tile.last.eq(rows_end & columns_end),
        ]
        return m
