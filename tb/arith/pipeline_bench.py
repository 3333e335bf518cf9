"""What every pipeline of `lamina.arith` is tested for in cocotb; a bench brings the arithmetic."""

import itertools
import random

import cocotb
import numpy as np

from tb.bench import bench_parameters
from tb.streams import Sink, Source, exchange, payloads, reset, start


class PipelineBench:
    """Checks of a unit with streams ``i`` and ``o``.

    ``operands(parameters, rng, count)`` returns the fields of input beats as arrays, corners first
    and then random ones, ``count`` or more; ``golden(operands, parameters)`` those of the output
    beats. Tags are drawn here. ``rng`` is a NumPy generator, seeded by the run.
    """

    def __init__(self, operands, golden):
        self.operands = operands
        self.golden = golden

    def vectors(self, count: int) -> tuple[list[int], list[int]]:
        """Return ``count`` random-ordered input payloads, corners among them, and what is due."""
        p = bench_parameters()
        rng = np.random.default_rng(random.getrandbits(32))
        operands = self.operands(p, rng, count)
        total = len(next(iter(operands.values())))
        chosen = rng.choice(total, count, replace=False)
        operands = {name: values[chosen] for name, values in operands.items()}
        tag = {"tag": rng.integers(0, 1 << min(p.tag_bits, 32), count)}
        results = self.golden(operands, p)
        return payloads(p.input_layout, operands | tag), payloads(p.output_layout, results | tag)

    async def stream(self, dut, count: int, idle: float = 0.0, stall: float = 0.0):
        """Send ``count`` beats and check the answers."""
        given, due = self.vectors(count)
        await exchange(dut, given, due, idle, stall, random.Random(random.getrandbits(32)))

    async def grid(self, dut):
        """Every mix of idle input and back-pressure."""
        await start(dut)
        for idle, stall in itertools.product((0.0, 0.3, 0.8), repeat=2):
            await self.stream(dut, 200, idle, stall)

    async def reset_in_mid_stream(self, dut):
        """What was under way is gone; what comes after is answered as by a fresh unit."""
        await start(dut)
        for fill in (1, 3, 40):
            given, _ = self.vectors(fill)
            Sink(dut, "o")  # holds ready low, so that the pipeline fills up and stalls
            sending = cocotb.start_soon(Source(dut, "i").send(given))
            for _ in range(fill):
                await cocotb.triggers.FallingEdge(dut.clk)
            sending.cancel()
            dut.i__valid.value = 0
            await reset(dut)
            assert not dut.o__valid.value
            await self.stream(dut, 50)
