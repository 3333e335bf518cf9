"""A host of anda.engine: it programs descriptors, feeds the ports, and compares everything.

It is stepped cycle by cycle, by hand or in cocotb. Below it, what hosts do to engines.
"""

import numpy as np
from amaranth.lib import data

from lamina.anda.engine_core import data_ports
from lamina.anda.register_map import COUNTERS, offset
from lamina.formats.engine import Cause
from lamina_gen.describe import describe_shape
from lamina_gen.device.ends import Lite, Sender, Stepper, Taker
from lamina_gen.gemm.engine import Operands, matrix, model_of
from lamina_sim.device import engine_registers as registers
from lamina_sim.perf import anda as perf
from lamina_sim.verilated import ports
from tb.problems import random_problem

INPUTS = ("i_activations", "i_weights")
ERROR = 2  # AXI's SLVERR


class Host:
    """Registers and streams of the engine ``dut``; ``idle`` shares of the inputs, ``stall``."""

    def __init__(self, dut, simulator, parameters, rng, idle=(0.0, 0.0), stall=0.0):
        self.parameters, self.engine = parameters, model_of(parameters)
        self.layouts = {
            name: port.signature.members["payload"].shape
            for name, port in data_ports(parameters).items()
        }
        self.rng = np.random.default_rng(rng.randrange(1 << 32))
        self.lite = Lite(dut)
        self.senders = {
            name: Sender(dut, name, rng, share) for name, share in zip(INPUTS, idle, strict=True)
        }
        self.received = []
        taker = Taker(dut, "o", rng, lambda payload, _cycle: self.received.append(payload), stall)
        self.stepper = Stepper([self.lite, *self.senders.values(), taker], simulator)

    async def _access(self, address, value=None):
        self.lite.begin(address, value)
        for _ in range(20):
            await self.stepper.step()
            if self.lite.answer:
                return self.lite.answer
        raise AssertionError("the registers do not answer")

    async def read(self, name):
        answer, value = await self._access(offset(name))
        assert answer == 0
        return value

    async def write(self, name, value=0):
        assert await self._access(offset(name), value) == (0, 0)

    def draw(self, m, n, groups, mantissa_bits, tag=1):
        """A product, and its operands."""
        problem = random_problem(
            self.rng, "anda", m, n, 64 * groups, bits=self.parameters.weight_bits, scale_group=64,
            mantissa_bits=mantissa_bits,
        )  # fmt: skip
        return problem, Operands.of(problem, self.engine, tag=tag)

    async def ring(self, gemm, tag):
        """Write a descriptor, and ring."""
        await self.write("m", gemm["m"])
        await self.write("n", gemm["n"])
        await self.write("k", gemm["groups"])
        mode = gemm["mantissa_bits"] << registers.MODE_MANTISSA_BITS_LOW
        mode |= gemm["row_turns"] << registers.MODE_ROW_TURNS_LOW
        await self.write("mode", mode | tag << registers.MODE_TAG_LOW)
        await self.write("doorbell")

    def send(self, operands, bad=None):
        """Send all operands; the second beat of the stream ``bad`` has an error."""
        inputs = operands.inputs()
        if bad:
            inputs[bad]["error"][1] = 1
        for name, sender in self.senders.items():
            words = ports.pack(describe_shape(self.layouts[name]), inputs[name])
            sender.queue.extend(int.from_bytes(row.tobytes(), "little") for row in words)

    async def until(self, condition, cycles=5_000):
        for _ in range(cycles):
            if condition():
                return
            await self.stepper.step()
        raise AssertionError(f"nothing after {cycles} cycles; {len(self.received)} results")

    def results(self):
        """Take what was received, as a mapping of arrays."""
        beats = [data.Const(self.layouts["o"], payload) for payload in self.received]
        self.received.clear()
        grids = {
            name: np.array([[list(row) for row in beat[name]] for beat in beats], np.uint32)
            for name in ("values", "keep")
        }
        return grids | {n: np.array([beat[n] for beat in beats]) for n in ("row", "column", "last")}

    async def run(self, problem, operands):
        """Ring, send, and compare the results, the completion and what was counted."""
        before = await self.read("completed")
        await self.write("counter_clear")
        await self.ring(vars(operands.gemm), operands.tag)
        self.send(operands)
        cost = perf.cost(self.engine, operands.gemm)
        await self.until(lambda: len(self.received) == cost.result_beats)
        result = matrix(self.results(), operands.gemm.m, operands.gemm.n)
        assert np.array_equal(result.view(np.uint32), problem.expected.view(np.uint32))
        assert await self.read("completed") == before + 1
        assert await self.read("last") == operands.tag
        assert await self.read("status") == registers.STATUS_ROOM
        counted = {name: await self.read(f"count_{name}") for name in COUNTERS}
        for name in counted.keys() & vars(cost).keys() - {"cycles"}:
            assert counted[name] == getattr(cost, name), name
        return counted


async def says_what_was_built(host):
    p = host.parameters
    assert await host.read("id") == 0x4C414D41
    array = p.rows | p.columns << 8 | p.block_columns << 20 | p.weight_bits << 28
    assert await host.read("array") == array
    build = p.planes | p.sharing << 4 | p.slots << 12 | p.depth.bit_length() - 1 << 20
    assert await host.read("build") == build
    await host.write("m", 0x12345678)
    assert await host.read("m") == 0x345678
    answer, _ = await host._access(0x38)
    assert answer == ERROR, "there is no register at 0x38"


async def counts(host, idle, stall):
    """A GEMM, whose stalls are counted where the streams make some."""
    problem, operands = host.draw(5, 6, 2, 5)
    stalls = await host.run(problem, operands)
    assert (stalls["stall_results"] > 0) == (stall > 0)
    if not idle[1]:
        assert stalls["stall_weights"] == 0
    elif not idle[0] and not stall:  # a wait for anything else may hide the one for weights
        assert stalls["stall_weights"] > 0
    if idle == (0.0, 0.0) and not stall:
        waited = stalls["stall_activations"] - host.engine.beats(5) - 1  # until the host sends
        assert 0 <= waited == stalls["cycles"] - perf.cost(host.engine, operands.gemm).cycles


async def bad_descriptors(host):
    """They are reported, take nothing, and the next GEMM is right."""
    for tag, (field, value, cause) in enumerate(
        [
            ("m", 0, Cause.SHAPE),
            ("mantissa_bits", 17, Cause.MANTISSA),
            ("row_turns", host.parameters.slots + 1, Cause.ROW_TURNS),
            ("groups", 65535, Cause.MEMORY),
        ]
    ):
        _, operands = host.draw(3, 3, 1, 4)
        await host.ring(vars(operands.gemm) | {field: value}, tag)
        for _ in range(5):
            await host.stepper.step()
        assert await host.read("status") == registers.STATUS_ROOM
        reported = tag | cause.value << registers.LAST_CAUSE_LOW
        assert await host.read("last") == reported
        await host.run(*host.draw(3, 3, 1, 4, tag=99))
        assert await host.read("error") == reported
        await host.write("error")
        assert await host.read("error") == 0


async def bad_operands(host):
    """What could not be read is reported; all results come, and the next GEMM is right."""
    for tag, port in enumerate(INPUTS):
        _, operands = host.draw(5, 6, 2, 5)
        await host.ring(vars(operands.gemm), tag)
        host.send(operands, bad=port)
        beats = perf.cost(host.engine, operands.gemm).result_beats
        await host.until(lambda beats=beats: len(host.received) == beats)
        host.received.clear()
        assert await host.read("status") == registers.STATUS_ROOM
        reported = tag | Cause.DATA.value << registers.LAST_CAUSE_LOW
        assert await host.read("last") == reported
        await host.run(*host.draw(3, 3, 1, 4, tag=99))
        assert await host.read("error") == reported
        await host.write("error")
        assert await host.read("error") == 0


async def queue_overflow(host):
    """What does not fit is lost, and the host is told; the others are done."""
    fit = host.parameters.queue + 2  # one is worked on, one waits behind it
    _, operands = host.draw(3, 3, 1, 4)
    for tag in range(fit + 1):
        await host.ring(vars(operands.gemm), tag)
    error = fit | Cause.QUEUE.value << registers.ERROR_CAUSE_LOW
    assert await host.read("error") == error
    assert await host.read("status") == registers.STATUS_BUSY | host.parameters.queue << 8
    for _ in range(fit):
        host.send(operands)
    beats = fit * perf.cost(host.engine, operands.gemm).result_beats
    await host.until(lambda: len(host.received) == beats)
    assert await host.read("completed") == fit
    assert await host.read("last") == fit - 1
    assert await host.read("status") == registers.STATUS_ROOM


async def cut_short(host, results):
    """Begin a GEMM and leave it after so many results."""
    _, operands = host.draw(9, 9, 2, 6)
    await host.ring(vars(operands.gemm), 9)
    host.send(operands)
    await host.until(lambda: len(host.received) >= results)


async def as_after_power_up(host):
    """What a GEMM needs, after a reset."""
    assert await host.read("completed") == 0
    await host.run(*host.draw(4, 5, 2, 3))
