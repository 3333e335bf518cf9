"""The lookup of blocks and its slots by themselves: few slots, many blocks, and everything late."""

import random

import pytest
from amaranth.sim import Simulator

from lamina.store.block_lookup import BlockLookup
from lamina.store.device import DeviceParameters

PARAMETERS = DeviceParameters(address_bits=24, device_bits=30, blocks=8, reads=16)
CYCLES = 6_000

#: What is likely in a cycle, for some hundred of them: that a read is answered, that its block is
#: another one than of those before, that a block has come, that the queue of reads has room.
MODES = ((0.9, 0.5, 0.9, 1), (0.5, 0.3, 0.3, 1), (0.3, 0.7, 0.9, 0.9))
MODES += ((0.9, 0.2, 0.5, 1), (0.15, 0.9, 0.7, 1), (0.7, 0.5, 0.2, 0.8))


class Slots:
    """What a slot holds, which are being filled, and the reads that wait, in their order."""

    def __init__(self):
        self.block, self.filling, self.waiting, self.taken = {}, [], [], 0

    def take(self, slot, block, due):
        assert slot not in self.waiting, f"slot {slot} is taken while reads wait on it"
        assert slot not in (filled for filled, _ in self.filling), f"slot {slot} is being filled"
        self.block[slot] = block
        self.filling.append((slot, due))
        self.taken += 1

    def join(self, slot, block):
        assert self.block[slot] == block, f"slot {slot} holds another block"
        self.waiting.append(slot)


def play(dut, rng, slots):
    """Return a process that looks blocks up, some again and again, and answers the reads."""

    async def process(ctx):
        recent, block, quiet = [0] * 4, None, 0
        view = dut.i.p.view
        for name, value in (("blocks", 1 << 20), ("kind", 0), ("read", 1), ("keep", 1)):
            ctx.set(view[name], value)
        ctx.set(dut.i.p.mapped, 1)
        for cycle in range(CYCLES):
            if cycle % 200 == 0:
                answers, fresh, comes, room = rng.choice(MODES)
            if block is None:
                block = rng.randrange(16) if rng.random() < fresh else rng.choice(recent)
                recent = [block, *recent[:3]]
            offered = rng.random() < 0.97
            ctx.set(dut.i.valid, offered)
            ctx.set(dut.i.p.block, block)
            ctx.set(dut.i.p.elsewhere, ~block & (1 << len(dut.i.p.elsewhere)) - 1)
            ctx.set(dut.i.p.message.tag, block)
            filled = slots.filling and slots.filling[0][1] < cycle and rng.random() < comes
            there = slots.waiting and slots.waiting[0] not in (slot for slot, _ in slots.filling)
            release = there and rng.random() < answers
            ctx.set(dut.release, bool(release))
            ctx.set(dut.filled, 1 << slots.filling.pop(0)[0] if filled else 0)
            if release:
                ctx.set(dut.release_slot, slots.waiting.pop(0))
            ctx.set(dut.room, len(slots.waiting) < 15 and rng.random() < room)
            tag = ctx.get(dut.read.p.tag)
            if ctx.get(dut.ordered):
                slots.take(ctx.get(dut.ordered_slot), tag, cycle + rng.choice([8, 12, 30]))
            quiet += 1
            if ctx.get(dut.read.valid):
                slots.join(ctx.get(dut.read.p.slot), tag)
                quiet = 0
            assert quiet < 1000, "no read goes on"
            if offered and ctx.get(dut.i.ready):
                block = None
            await ctx.tick()

    return process


@pytest.mark.parametrize("run", range(4))
def test_slots_are_not_taken_from_those_that_wait(rng, run):
    """``run`` tells the seeds apart."""
    dut, slots = BlockLookup(PARAMETERS), Slots()
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(play(dut, random.Random(int(rng.integers(1 << 32))), slots))
    simulator.run()
    assert slots.taken > CYCLES // 20
