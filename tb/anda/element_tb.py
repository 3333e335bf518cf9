"""anda.element in cocotb: what the handshakes do; numbers in bulk are test_element.py's."""

import random

import cocotb
import numpy as np
from amaranth.lib import data
from cocotb.triggers import FallingEdge

from lamina.formats.anda import column_weights_layout, group_sum_layout, group_word_layout
from tb.anda.groups import exact_sums, random_groups, random_weights
from tb.bench import bench_parameters
from tb.streams import Sink, Source, payloads, reset, start

PARAMETERS = bench_parameters()
WORD = group_word_layout(PARAMETERS.index_bits)
WEIGHTS = column_weights_layout(PARAMETERS.columns, PARAMETERS.weight_bits)
SUMS = group_sum_layout(PARAMETERS.columns, PARAMETERS.weight_bits, PARAMETERS.index_bits)


def sums_of(payload):
    beat = data.Const(SUMS, payload)
    return [beat.sums[column] for column in range(PARAMETERS.columns)], beat.index


def draw(rng, count, **options):
    groups = random_groups(rng, count, index_bits=PARAMETERS.index_bits, **options)
    sets = int(groups.load.sum())
    return groups, random_weights(rng, sets, PARAMETERS.columns, PARAMETERS.weight_bits)


def expected(groups, weights):
    sums = exact_sums(groups, weights).tolist()
    return list(zip(sums, groups.index.tolist(), strict=True))


class Bench:
    """The element with its three streams driven."""

    def __init__(self, dut, idle=0.0, weights_idle=0.0, stall=0.0):
        self.rng = np.random.default_rng(random.randrange(1 << 32))
        self.words = Source(dut, "i", idle, random)
        self.weights = Source(dut, "i_weights", weights_idle, random)
        self.sums = Sink(dut, "o", stall, random)
        self.tasks = []

    def send(self, groups, weights):
        words = payloads(WORD, groups.words())
        self.tasks = [
            cocotb.start_soon(self.words.send(words)),
            cocotb.start_soon(self.weights.send(payloads(WEIGHTS, weights))),
        ]

    def stop(self):
        """Drop what is being sent."""
        for task in self.tasks:
            task.cancel()
        self.words.valid.value = 0
        self.weights.valid.value = 0

    async def run(self, groups, weights):
        self.send(groups, weights)
        received = await self.sums.receive(len(groups))
        assert [sums_of(payload) for payload in received] == expected(groups, weights)


@cocotb.test()
async def every_length(dut):
    await start(dut)
    bench = Bench(dut)
    await bench.run(*draw(bench.rng, 32, mantissa_bits=np.tile(np.arange(1, 17), 2)))


@cocotb.test()
@cocotb.parametrize(idle=[0.0, 0.6], weights_idle=[0.0, 0.95], stall=[0.0, 0.9])
async def idle_and_back_pressure(dut, idle, weights_idle, stall):
    await start(dut)
    bench = Bench(dut, idle, weights_idle, stall)
    await bench.run(*draw(bench.rng, 30))


@cocotb.test()
async def waits_for_weights(dut):
    """Without weights nothing comes out and the input fills up; nothing of it is lost."""
    await start(dut)
    bench = Bench(dut)
    groups, weights = draw(bench.rng, 20, load_share=0.0)
    words = cocotb.start_soon(bench.words.send(payloads(WORD, groups.words())))
    for _ in range(200):
        await FallingEdge(dut.clk)
        assert not dut.o__valid.value
    assert not dut.i__ready.value
    cocotb.start_soon(bench.weights.send(payloads(WEIGHTS, weights)))
    received = await bench.sums.receive(len(groups))
    assert [sums_of(payload) for payload in received] == expected(groups, weights)
    await words


@cocotb.test()
async def reset_in_mid_stream(dut):
    """Whatever was under way is gone; what follows is as after power-up."""
    await start(dut)
    bench = Bench(dut, idle=0.2, weights_idle=0.2, stall=0.2)
    for _ in range(6):
        bench.send(*draw(bench.rng, 40))
        await bench.sums.receive(int(bench.rng.integers(1, 20)))
        bench.stop()
        await reset(dut)
        assert not dut.o__valid.value
        await bench.run(*draw(bench.rng, 5))
