"""Row head and beat sum in Amaranth's simulator: exact sums, lengths that change, no bubble."""

import numpy as np
import pytest
from amaranth.hdl import Cat, Elaboratable, Module, Signal
from amaranth.sim import Simulator

from lamina.anda.array import ArrayParameters
from lamina.anda.beat_sum import BeatSum, BeatSumParameters
from lamina.anda.chain_sum import ChainSum
from lamina.anda.pairs import decode_pairs
from lamina.anda.row_head import RowHead, RowHeadParameters
from lamina.formats.anda import GROUP, beats_of
from tb.anda.array_groups import random_array_groups

WEIGHT_BITS = 4

SUM = ("high", "low", "carries")


class Lane(Elaboratable):
    """One row and one column: what a block has between them, and nothing else."""

    def __init__(self, planes, weight_bits):
        self.head = RowHead(RowHeadParameters(planes=planes))
        self.sum = BeatSum(
            BeatSumParameters(entry_bits=weight_bits, planes=planes, stages_per_rank=9)
        )
        self.opening = Signal()

    def elaborate(self, platform):
        m = Module()
        m.submodules.head, m.submodules.sum = self.head, self.sum
        inverses = Signal.like(self.head.inverses)
        m.d.sync += [inverses.eq(self.head.inverses), self.sum.first.eq(self.opening)]
        for inverse, selects in zip(inverses, self.sum.selects, strict=True):
            m.d.comb += selects.eq(decode_pairs(m, ~inverse))
        m.d.comb += self.sum.advance.eq(1)
        return m


def group_sum(p, beats, weights, high, low, carries):
    """What a sum unit makes of ``high``, its carries and ``low``: P * 2^(16 - M)."""
    high += sum((carries >> number & 1) << place for number, place in enumerate(p.carry_places))
    fraction = p.planes - 1
    counted = min(p.planes * (beats - 1), p.low_bits)
    mask = (1 << counted) - 1 << p.low_bits - counted
    top = 2 * p.constant - int(weights.sum()) - (high >> fraction) - 1
    top = (top + (1 << p.entry_bits + 5)) % (1 << p.entry_bits + 6) - (1 << p.entry_bits + 5)
    below = (~low & mask) | (~high & (1 << fraction) - 1) << p.low_bits
    return (top << 16) + below


def random_groups(rng, planes, lengths, weight_bits=WEIGHT_BITS):
    """Groups of these lengths, and 64 weights for them."""
    p = ArrayParameters(
        rows=1, columns=1, block_columns=1, planes=planes, sharing=1, slots=10,
        weight_bits=weight_bits, zero_points=False,
    )  # fmt: skip
    groups = random_array_groups(rng, p, len(lengths), mantissa_bits=lengths, load_share=0.0)
    return groups, groups.codes[0, 0]


def exact_sums(groups, lengths, weights):
    """P * 2^(16 - M) of each group."""
    mantissa = groups.mantissa[:, 0].astype(np.int64)
    exact = np.where(groups.sign[:, 0] == 1, -mantissa, mantissa) @ weights
    return (exact << 16 - lengths).tolist()


@pytest.mark.parametrize(("planes", "weight_bits"), [(1, 4), (2, 4), (4, 4), (1, 2), (4, 8)])
def test_exact_sums(rng, planes, weight_bits):
    lengths = np.concatenate([np.arange(1, 17), rng.permutation(np.arange(1, 17))])
    groups, weights = random_groups(rng, planes, lengths, weight_bits)
    lane = Lane(planes, weight_bits)
    beats = groups.beats()
    last, first = beats["last"], beats["first"]
    sums = []

    async def drive(ctx):
        for table, w0, w1 in zip(lane.sum.tables, weights[::2], weights[1::2], strict=True):
            for field, value in (("w0", w0), ("w1", w1), ("both", w0 + w1)):
                ctx.set(table[field], int(value))
        # The last planes leave with the beat behind them, and are summed two cycles later.
        ends = np.flatnonzero(last) + 3
        for place in range(len(first) + 4):
            there = place < len(first)
            ctx.set(lane.head.take, int(there))
            ctx.set(lane.head.closing, int(0 < place <= len(first) and last[place - 1]))
            ctx.set(lane.opening, int(0 < place <= len(first) and first[place - 1]))
            if there:
                ctx.set(lane.head.first, int(first[place]))
                for port, word in zip(lane.head.words, beats["words"][place, 0], strict=True):
                    ctx.set(port, int(word))
            if place in ends:
                sums.append([ctx.get(getattr(lane.sum, name)) for name in SUM])
            await ctx.tick()

    simulator = Simulator(lane)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    got = [
        group_sum(lane.sum.parameters, int(cycles), weights, *held)
        for cycles, held in zip(groups.cycles, sums, strict=True)
    ]
    assert got == exact_sums(groups, lengths, weights)


def planes_of(group, length, planes):
    """The planes of a group in two's complement, beat by beat; zeros make the first one full."""
    sign, mantissa = group
    value = np.where(sign == 1, -mantissa, mantissa)
    beats = beats_of(length, planes)
    value = value << planes * beats - (length + 1)
    bits = [value >> place & 1 for place in range(planes * beats)]
    return np.array(bits).reshape(beats, planes, -1)


@pytest.mark.parametrize(("planes", "step"), [(1, 1), (2, 0), (4, 2)])
def test_chains(rng, planes, step):
    """A `ChainSum`, stalled at times: its flags come with what is behind the last rank."""
    lengths = np.array([1, 2, 16, 3, 6, 7, 1])
    groups, weights = random_groups(rng, planes, lengths)
    p = BeatSumParameters(entry_bits=WEIGHT_BITS, planes=planes, step=step)
    part = ChainSum(p)
    ranks = len(p.rank_levels)
    beats = []
    for number, length in enumerate(lengths):
        group = groups.sign[number, 0], groups.mantissa[number, 0].astype(np.int64)
        coming = planes_of(group, length, planes)
        beats += [(plane, place == 0, place == len(coming) - 1, len(coming))
                  for place, plane in enumerate(coming)]  # fmt: skip
    sums = []

    async def drive(ctx):
        for pair, w0, w1 in zip(part.weights, weights[::2], weights[1::2], strict=True):
            ctx.set(pair.w0, int(w0))
            ctx.set(pair.w1, int(w1))
        nothing = (np.zeros((planes, GROUP), int), False, False, 0)
        # A group's beats may be fewer than the cycles in which its sum waits.
        queue = [beat for beat in beats for beat in [beat, *[nothing] * (step if beat[2] else 0)]]
        queue += [nothing] * (ranks + step + 2)
        for place in range(len(queue)):
            for port, bits in zip(part.planes, queue[place][0], strict=True):
                ctx.set(port, sum(int(bit) << lane for lane, bit in enumerate(bits)))
            _, first, last, _ = queue[place - ranks] if place >= ranks else nothing
            ctx.set(Cat(part.first, part.last), first | last << 1)
            before = queue[place - ranks - 1] if place > ranks else nothing
            if step:
                ctx.set(part.take, int(before[2]))
            ended = queue[place - ranks - 1 - step] if place > ranks + step else nothing
            if ended[2]:
                counted = min(planes * (ended[3] - 1), p.low_bits)
                mask = (1 << counted) - 1 << p.low_bits - counted
                value = ctx.get(part.high) << p.low_bits | ctx.get(part.low) & mask
                width = p.high_bits + p.low_bits
                sums.append(value - (value >> width - 1 << width))
            ctx.set(part.advance, 0)
            for _ in range(rng.integers(0, 2)):
                await ctx.tick()
            ctx.set(part.advance, 1)
            await ctx.tick()

    simulator = Simulator(part)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    assert sums == exact_sums(groups, lengths, weights)
