"""Coroutines that FIGNA and iFPU share: what the handshakes of their three streams do."""

import itertools
import random

import cocotb
import numpy as np
from amaranth.lib import data
from cocotb.triggers import FallingEdge

from lamina.formats.anda import column_weights_layout, group_sum_layout
from lamina.formats.baseline import aligned_integers_layout
from tb.baseline.groups import draw, expected
from tb.bench import bench_parameters
from tb.streams import Sink, Source, payloads, reset, start


class IntegerBench:
    """Checks of an integer element against ``golden(values, b)``."""

    def __init__(self, golden):
        self.golden = golden
        self.parameters = p = bench_parameters()
        self.group = aligned_integers_layout(p.mantissa_bits, p.index_bits)
        self.weights = column_weights_layout(p.columns, p.weight_bits)
        self.sums = group_sum_layout(p.columns, p.weight_bits, p.index_bits)

    def vectors(self, count):
        """Return payloads of both inputs, and sums and index of each answer."""
        rng = np.random.default_rng(random.getrandbits(32))
        groups, weights = draw(rng, count, self.parameters)
        sums = expected(self.golden, groups, weights) << 16 - self.parameters.mantissa_bits
        due = list(zip(sums.tolist(), groups["index"].tolist(), strict=True))
        return payloads(self.group, groups), payloads(self.weights, weights), due

    def answer(self, payload):
        beat = data.Const(self.sums, payload)
        return [beat.sums[column] for column in range(self.parameters.columns)], beat.index

    async def stream(self, dut, count, idle=0.0, weights_idle=0.0, stall=0.0):
        """Send ``count`` groups and check the answers."""
        groups, weights, due = self.vectors(count)
        cocotb.start_soon(Source(dut, "i", idle, random).send(groups))
        cocotb.start_soon(Source(dut, "i_weights", weights_idle, random).send(weights))
        received = await Sink(dut, "o", stall, random).receive(count)
        assert [self.answer(payload) for payload in received] == due

    async def grid(self, dut):
        """Every mix of idle inputs and back-pressure."""
        await start(dut)
        for mix in itertools.product((0.0, 0.6), (0.0, 0.9), (0.0, 0.8)):
            await self.stream(dut, 30, *mix)

    async def waits_for_weights(self, dut):
        """A group that loads waits for its weights; then it is answered."""
        await start(dut)
        groups, weights, due = self.vectors(10)
        cocotb.start_soon(Source(dut, "i").send(groups))
        for _ in range(50):
            await FallingEdge(dut.clk)
            assert not dut.o__valid.value
            assert not dut.i__ready.value
        cocotb.start_soon(Source(dut, "i_weights").send(weights))
        received = await Sink(dut, "o").receive(len(due))
        assert [self.answer(payload) for payload in received] == due

    async def reset_in_mid_stream(self, dut):
        """What was under way is gone; what comes after is answered as by a fresh element."""
        await start(dut)
        for fill in (1, 2, 3, 9, 20):
            groups, weights, _ = self.vectors(30)
            sources = Source(dut, "i"), Source(dut, "i_weights")
            Sink(dut, "o")  # holds ready low, so that the ranks fill up and stall
            tasks = [
                cocotb.start_soon(source.send(beats))
                for source, beats in zip(sources, (groups, weights), strict=True)
            ]
            for _ in range(fill):
                await FallingEdge(dut.clk)
            for task, source in zip(tasks, sources, strict=True):
                task.cancel()
                source.valid.value = 0
            await reset(dut)
            assert not dut.o__valid.value
            await self.stream(dut, 10)
