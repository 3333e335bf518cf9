"""anda.output_stage in cocotb: the handshakes; numbers in bulk are test_output_stage.py's."""

import random

import cocotb
import numpy as np

from lamina.formats.engine import output_job_layout, plane_words_layout, result_layout
from tb.anda.test_output_stage import beats_in, draw, expected, jobs_in, joined
from tb.bench import bench_parameters
from tb.streams import Sink, Source, payloads, reset, start

PARAMETERS = bench_parameters()
JOB = output_job_layout()
RESULTS = result_layout(PARAMETERS.units, PARAMETERS.block_columns)
WORDS = plane_words_layout(PARAMETERS.rows, PARAMETERS.planes)


class Host:
    """Sends jobs and their results, and takes activations; ``idle``, ``stall``: how it tarries."""

    def __init__(self, dut, idle=0.0, stall=0.0):
        self.rng = np.random.default_rng(random.getrandbits(32))
        self.jobs, self.results = (Source(dut, name, idle, random) for name in ("i_job", "i"))
        self.sink = Sink(dut, "o", stall, random)

    def start(self, count):
        """Begin to send ``count`` products; return them and what sends them."""
        drawn = [draw(self.rng, PARAMETERS) for _ in range(count)]
        beats = joined([beats_in(self.rng, PARAMETERS, *one) for one in drawn])
        sending = [
            cocotb.start_soon(self.jobs.send(payloads(JOB, jobs_in(drawn)))),
            cocotb.start_soon(self.results.send(payloads(RESULTS, beats))),
        ]
        return drawn, sending

    async def run(self, count):
        drawn, sending = self.start(count)
        wanted = joined([expected(PARAMETERS, *one) for one in drawn])
        received = await self.sink.receive(len(wanted["words"]))
        for beat, words, exponents in zip(
            map(WORDS.from_bits, received), wanted["words"], wanted["exponents"], strict=True
        ):
            assert [list(row) for row in beat.words] == words.tolist()
            assert list(beat.exponents) == exponents.tolist()
        for task in sending:
            await task


@cocotb.test()
@cocotb.parametrize(idle=[0.0, 0.9], stall=[0.0, 0.9])
async def idle_and_back_pressure(dut, idle, stall):
    host = Host(dut, idle, stall)
    await start(dut)
    await host.run(4)


@cocotb.test()
async def reset_in_mid_stream(dut):
    host = Host(dut, 0.2, 0.2)
    await start(dut)
    for _ in range(4):
        _, sending = host.start(4)
        await host.sink.receive(int(host.rng.integers(1, 19)))
        for task in sending:
            task.cancel()
        host.jobs.valid.value = host.results.valid.value = 0
        await reset(dut)
        assert not dut.o__valid.value
        await host.run(1)
