"""Array drain in Amaranth's simulator: every beat leaves in its turn, and the array goes on."""

import pytest
from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.sim import Simulator

from lamina.anda.array_drain import ArrayDrain, ArrayDrainParameters


class Chain(Elaboratable):
    """A drain, and blocks of which each finishes what the one before it did an advance ago."""

    def __init__(self, **settings):
        self.parameters = p = ArrayDrainParameters(units=1, columns=1, **settings)
        self.drain = ArrayDrain(p)
        self.ends = Signal(p.sharing)
        self.value = Signal(32)
        self.advance = Signal()

    def elaborate(self, platform):
        m = Module()
        m.submodules.drain = drain = self.drain
        m.d.sync += self.advance.eq(drain.clear_next)
        m.d.comb += drain.advance.eq(self.advance)
        ends, value = self.ends, self.value
        for block in range(self.parameters.blocks):
            here, held = Signal.like(ends), Signal.like(value)
            with m.If(self.advance):
                m.d.sync += [here.eq(ends), held.eq(value)]
            m.d.comb += [drain.ends[block].eq(here), drain.values[block][0][0].eq(held)]
            ends, value = here, held
        return m


@pytest.mark.parametrize("ready", [1, 3])
@pytest.mark.parametrize(("blocks", "slots"), [(1, 1), (8, 4), (9, 2), (17, 1), (16, 4)])
def test_all_beats_leave(rng, blocks, slots, ready):
    """Groups end as fast as they can, or further apart: also where one has many blocks to pass."""
    sharing = 3
    apart = rng.choice([sharing, 6, 30], 12)
    due = {
        int(end) + step: (1 << step, number * sharing + step)
        for number, end in enumerate(apart.cumsum())
        for step in range(sharing)
    }
    dut, seen = Chain(blocks=blocks, slots=slots, sharing=sharing), []

    async def bench(ctx):
        advances = 0
        for cycle in range(len(due) * blocks * ready + int(apart.sum()) + 200):
            ends, value = due.get(advances, (0, 0))
            ctx.set(dut.ends, ends)
            ctx.set(dut.value, value)
            ctx.set(dut.drain.o.ready, cycle % ready == 0)
            if ctx.get(dut.drain.o.valid) and cycle % ready == 0:
                beat = dut.drain.o.payload
                seen.append(
                    (ctx.get(beat["values"][0][0]), ctx.get(beat.step), ctx.get(beat.block))
                )
            advances += ctx.get(dut.advance)
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == [
        (value, value % sharing, block) for value in range(len(due)) for block in range(blocks)
    ]
