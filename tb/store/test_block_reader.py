"""The planner and the reader of blocks by themselves."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from lamina.formats.views import PACKED_FORMS, ViewKind
from lamina.store.block_reader import BlockReader
from lamina.store.device import DeviceParameters
from lamina.store.read_planner import ReadPlanner

PARAMETERS = DeviceParameters(address_bits=24, device_bits=30, blocks=8, reads=16)


def test_an_unmapped_read_behind_a_packed_one_is_one_line():
    """Its slot and line look as if it began with what the line before has left over. It is made
    of one piece of nothing, which fills it.
    """
    m, lines, pieces = Module(), [], []
    names = ("tag", "unmapped", "first", "last", "offset", "take", "gather")
    m.submodules.planner = planner = ReadPlanner(PARAMETERS)
    m.submodules.reader = dut = BlockReader(PARAMETERS)
    wiring.connect(m, planner.o, dut.i)
    m.d.comb += dut.i_there.eq(planner.there)
    packed = {"slot": 0, "kind": ViewKind.PACKED, "keep": 3, "read": 3, "width": 4, "group": 2}
    packed["form"] = PACKED_FORMS.index((packed["group"], packed["keep"]))
    reads = [packed | {"tag": 1, "line": 0}, packed | {"tag": 2, "line": 1, "unmapped": 1}]

    async def process(ctx):
        ctx.set(dut.line_room, 1)
        ctx.set(dut.piece_room, 1)
        for _ in range(60):
            ctx.set(planner.i.valid, bool(reads))
            for name, value in (reads[0] if reads else {}).items():
                ctx.set(planner.i.p[name], value)
            if ctx.get(dut.line.valid):
                lines.append(ctx.get(dut.line.p.tag))
            if ctx.get(dut.piece.valid):
                pieces.append(tuple(ctx.get(dut.piece.p[name]) for name in names))
            taken = reads and ctx.get(planner.i.ready)
            await ctx.tick()
            if taken:
                reads.pop(0)

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(process)
    simulator.run()
    assert not lines
    assert [piece[:2] for piece in pieces[:-1]] == [(1, 0)] * (len(pieces) - 1)
    assert pieces[-2][3], "the last piece of the packed line"
    assert pieces[-1] == (2, 1, 1, 1, 0, 0, 0)
