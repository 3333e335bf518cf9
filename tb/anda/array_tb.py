"""anda.array in cocotb: what the handshakes do; numbers in bulk are test_array.py's."""

import random

import cocotb
import numpy as np
from amaranth.lib import data
from cocotb.triggers import FallingEdge

from lamina.formats.anda import array_output_layout, array_words_layout, column_weights_layout
from tb.anda.array_groups import outputs_of, random_array_groups, received_outputs
from tb.bench import bench_parameters
from tb.streams import Sink, Source, payloads, reset, start

PARAMETERS = bench_parameters()
WORDS = array_words_layout(PARAMETERS.rows, PARAMETERS.planes)
WEIGHTS = column_weights_layout(PARAMETERS.block_columns, PARAMETERS.weight_bits)
OUTPUTS = array_output_layout(
    PARAMETERS.block.units, PARAMETERS.block_columns, PARAMETERS.blocks, PARAMETERS.sharing
)


def fields_of(received):
    """Unpack output beats into a mapping of arrays."""
    beats = [data.Const(OUTPUTS, payload) for payload in received]
    values = [[list(unit) for unit in beat["values"]] for beat in beats]
    return {
        "values": np.array(values, np.uint32),
        "block": np.array([beat.block for beat in beats]),
        "step": np.array([beat.step for beat in beats]),
    }


class Bench:
    """The array with its three streams driven."""

    def __init__(self, dut, idle=0.0, weights_idle=0.0, stall=0.0):
        self.rng = np.random.default_rng(random.randrange(1 << 32))
        self.words = Source(dut, "i", idle, random)
        self.weights = Source(dut, "i_weights", weights_idle, random)
        self.outputs = Sink(dut, "o", stall, random)
        self.tasks = []

    def draw(self, count, **options):
        return random_array_groups(self.rng, PARAMETERS, count, **options)

    def send(self, groups):
        self.tasks = [
            cocotb.start_soon(self.words.send(payloads(WORDS, groups.beats()))),
            cocotb.start_soon(self.weights.send(payloads(WEIGHTS, groups.weights()))),
        ]

    def stop(self):
        """Drop what is being sent."""
        for task in self.tasks:
            task.cancel()
        self.words.valid.value = 0
        self.weights.valid.value = 0

    async def run(self, groups):
        self.send(groups)
        received = await self.outputs.receive(outputs_of(groups))
        got = received_outputs(PARAMETERS, fields_of(received))
        assert np.array_equal(got, groups.outputs())


@cocotb.test()
async def every_length(dut):
    await start(dut)
    bench = Bench(dut)
    await bench.run(bench.draw(32, mantissa_bits=np.tile(np.arange(1, 17), 2)))


@cocotb.test()
@cocotb.parametrize(idle=[0.0, 0.6], weights_idle=[0.0, 0.8], stall=[0.0, 0.9])
async def idle_and_back_pressure(dut, idle, weights_idle, stall):
    await start(dut)
    bench = Bench(dut, idle, weights_idle, stall)
    await bench.run(bench.draw(24))


@cocotb.test()
async def results_need_no_next_group(dut):
    """A lone group's outputs come without anything behind it."""
    await start(dut)
    bench = Bench(dut)
    for _ in range(3 * PARAMETERS.slots):
        groups = bench.draw(1)
        bench.send(groups)
        await bench.outputs.receive(outputs_of(groups))


@cocotb.test()
async def waits_for_weights(dut):
    """Without weights nothing comes out; nothing is lost."""
    await start(dut)
    bench = Bench(dut)
    groups = bench.draw(12)
    words = cocotb.start_soon(bench.words.send(payloads(WORDS, groups.beats())))
    for _ in range(100):
        await FallingEdge(dut.clk)
        assert not dut.o__valid.value
    assert not dut.i__ready.value
    cocotb.start_soon(bench.weights.send(payloads(WEIGHTS, groups.weights())))
    received = await bench.outputs.receive(outputs_of(groups))
    assert np.array_equal(received_outputs(PARAMETERS, fields_of(received)), groups.outputs())
    await words


@cocotb.test()
async def reset_in_mid_stream(dut):
    """Whatever was under way is gone; what follows is as after power-up."""
    await start(dut)
    bench = Bench(dut, idle=0.2, weights_idle=0.2, stall=0.2)
    for _ in range(4):
        bench.send(bench.draw(20, end_share=1.0))
        await bench.outputs.receive(int(bench.rng.integers(1, 10)))
        bench.stop()
        await reset(dut)
        assert not dut.o__valid.value
        await bench.run(bench.draw(2 * PARAMETERS.slots))
