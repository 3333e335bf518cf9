"""The engine's registers in Amaranth's own simulator, without what they control."""

from amaranth.sim import Simulator

from lamina.anda.engine import EngineParameters
from lamina.anda.engine_registers import EngineRegisters
from lamina.anda.register_map import COUNTERS, REGISTERS, offset
from lamina.formats.engine import Cause
from lamina_sim.device import engine_registers as registers

PARAMETERS = EngineParameters(rows=3, columns=12, block_columns=4, slots=5, depth=128, queue=2)


class Bench:
    """Accesses in single cycles, as `AxiLitePort` hands them on."""

    def __init__(self, ctx, dut):
        self.ctx, self.dut = ctx, dut

    async def read(self, name):
        return await self.at(offset(name))

    async def at(self, address):
        """Read; None where nothing is."""
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.address, address >> 2)
        ctx.set(dut.read, 1)
        value = None if ctx.get(dut.error) else ctx.get(dut.read_data)
        assert ctx.get(dut.done)
        await ctx.tick()
        ctx.set(dut.read, 0)
        return value

    async def write(self, name, value=0):
        """Write; return the descriptor that is offered meanwhile, if one is."""
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.address, offset(name) >> 2)
        ctx.set(dut.write_data, value)
        ctx.set(dut.write, 1)
        offered = ctx.get(dut.gemm.payload) if ctx.get(dut.gemm.valid) else None
        cleared = ctx.get(dut.clear)
        assert cleared == (name == "counter_clear")
        await ctx.tick()
        ctx.set(dut.write, 0)
        return offered

    async def complete(self, tag, cause=Cause.NONE):
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.completed.payload, {"tag": tag, "cause": cause})
        ctx.set(dut.completed.valid, 1)
        assert ctx.get(dut.completed.ready)
        await ctx.tick()
        ctx.set(dut.completed.valid, 0)


def simulate(scenario):
    dut = EngineRegisters(PARAMETERS)
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)

    async def bench(ctx):
        await scenario(Bench(ctx, dut))

    simulator.add_testbench(bench)
    simulator.run()


def test_what_was_built():
    async def scenario(bench):
        assert await bench.read("id") == 0x4C414D41
        array = await bench.read("array")
        assert array & registers.ARRAY_ROWS == 3
        assert (array & registers.ARRAY_COLUMNS) >> registers.ARRAY_COLUMNS_LOW == 12
        assert (array & registers.ARRAY_BLOCK_COLUMNS) >> registers.ARRAY_BLOCK_COLUMNS_LOW == 4
        assert array >> registers.ARRAY_WEIGHT_BITS_LOW == 4
        build = await bench.read("build")
        assert build & registers.BUILD_PLANES == 2
        assert (build & registers.BUILD_SHARING) >> registers.BUILD_SHARING_LOW == 3
        assert (build & registers.BUILD_SLOTS) >> registers.BUILD_SLOTS_LOW == 5
        assert build >> registers.BUILD_DEPTH_LOW == 7
        known = {register.offset for register in REGISTERS}
        for address in range(0, 0x100, 4):
            assert (await bench.at(address) is not None) == (address in known)

    simulate(scenario)


def test_descriptor():
    """Its registers read back, cut to their fields; the doorbell offers it."""

    async def scenario(bench):
        bench.ctx.set(bench.dut.gemm.ready, 1)
        for name in ("m", "n", "k", "mode"):
            await bench.write(name, 0xFFFFFFFF)
        assert await bench.read("m") == await bench.read("n") == 0xFFFFFF
        assert await bench.read("k") == 0xFFFF
        assert await bench.read("mode") == 0xFF7F1F
        assert await bench.write("m", 77) is None
        await bench.write("n", 1234567)
        await bench.write("k", 448)
        mode = 11 | 4 << registers.MODE_ROW_TURNS_LOW | 200 << registers.MODE_TAG_LOW
        await bench.write("mode", mode)
        assert await bench.read("status") == registers.STATUS_ROOM
        offered = await bench.write("doorbell")
        fields = {name: offered[name] for name in ("m", "n", "groups", "mantissa_bits")}
        assert fields == {"m": 77, "n": 1234567, "groups": 448, "mantissa_bits": 11}
        assert (offered["row_turns"], offered["tag"]) == (4, 200)
        assert await bench.read("status") == registers.STATUS_ROOM | registers.STATUS_BUSY

    simulate(scenario)


def test_completion_and_errors():
    """Completions count; the first error stays until it is cleared; a lost descriptor is one."""

    async def scenario(bench):
        bench.ctx.set(bench.dut.gemm.ready, 1)
        for _ in range(3):
            await bench.write("doorbell")
        await bench.complete(5)
        assert await bench.read("completed") == 1
        assert await bench.read("last") == 5
        assert await bench.read("error") == 0
        await bench.complete(6, Cause.MEMORY)
        await bench.complete(7, Cause.SHAPE)
        assert await bench.read("completed") == 3
        assert await bench.read("last") == 7 | Cause.SHAPE.value << registers.LAST_CAUSE_LOW
        assert await bench.read("status") == registers.STATUS_ROOM
        first = 6 | Cause.MEMORY.value << registers.ERROR_CAUSE_LOW
        assert await bench.read("error") == first
        bench.ctx.set(bench.dut.gemm.ready, 0)
        bench.ctx.set(bench.dut.level, 2)
        await bench.write("mode", 9 << registers.MODE_TAG_LOW)
        await bench.write("doorbell")
        assert await bench.read("status") == 2 << registers.STATUS_WAITING_LOW
        assert await bench.read("error") == first
        await bench.write("error")
        assert await bench.read("error") == 0
        await bench.write("doorbell")
        lost = 9 | Cause.QUEUE.value << registers.ERROR_CAUSE_LOW
        assert await bench.read("error") == lost
        assert await bench.read("completed") == 3

    simulate(scenario)


def test_counters():
    async def scenario(bench):
        values = {name: 1000 + n for n, name in enumerate(COUNTERS)}
        bench.ctx.set(bench.dut.counters, values)
        for name, value in values.items():
            assert await bench.read(f"count_{name}") == value
        await bench.write("counter_clear")

    simulate(scenario)
