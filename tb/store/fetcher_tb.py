"""Fetcher in cocotb against cocotbext-axi's AxiRam, which is not ours."""

import random

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge
from cocotbext.axi import AxiRamRead, AxiReadBus

from lamina.formats.planes import plane_beat_layout, run_layout
from tb.bench import bench_parameters
from tb.streams import Sink, Source, reset, start

BEAT = plane_beat_layout()
MIB_BEATS = (1 << 20) // 64
BASE = 3 << 20


def connect(dut, size):
    """An AxiRam of random bytes behind the read port, and its contents."""
    bus = AxiReadBus.from_prefix(dut, "m_axi", case_insensitive=False)
    assert bus.ar.araddr is dut.m_axi_araddr, "the bus is not connected"
    ram = AxiRamRead(bus, dut.clk, dut.rst, size=size)
    ram.log.setLevel("WARNING")  # it tells every burst
    contents = random.Random(cocotb.RANDOM_SEED).randbytes(size)
    ram.write(0, contents)
    return ram, contents


def run_of(parameters, **fields):
    layout = run_layout(parameters.address_bits, parameters.planes_max)
    return layout.const(fields).as_value().value


def beats_of(parameters, contents, *, base, block, blocks, planes, keep):
    """The beats of a run, by the store's address formula."""
    row, beats = parameters.blocks_per_row, []
    for b in range(block, block + blocks):
        for p in range(keep):
            at = base + ((b // row) * planes + p) * row * 64 + (b % row) * 64
            last = p == keep - 1
            fields = {
                "bits": int.from_bytes(contents[at : at + 64], "little"),
                "error": 0,
                "last": last,
                "end": last and b == block + blocks - 1,
            }
            beats.append(BEAT.const(fields).as_value().value)
    return beats


def random_runs(parameters, rng, count):
    """Runs within 1 MiB from BASE."""
    for _ in range(count):
        planes = rng.randint(1, parameters.planes_max)
        rows = (1 << 20) // (parameters.blocks_per_row * 64 * planes)
        block = rng.randrange(rows * parameters.blocks_per_row - 64)
        yield {
            "base": BASE,
            "block": block,
            "blocks": rng.randint(1, 64),
            "planes": planes,
            "keep": rng.randint(1, planes),
        }


async def planes_beside(dut, beats):
    """What ``planes`` says as each of the next ``beats`` leaves."""
    seen = []
    while len(seen) < beats:
        await ReadOnly()
        if dut.o__valid.value and dut.o__ready.value:
            seen.append(int(dut.planes.value))
        await FallingEdge(dut.clk)
    return seen


async def fetch(dut, parameters, contents, runs, idle, stall, rng):
    """Fetch ``runs`` and compare all beats, and the planes beside them."""
    planes = [run["planes"] for run in runs for _ in range(run["blocks"] * run["keep"])]
    expected = [beat for run in runs for beat in beats_of(parameters, contents, **run)]
    source, sink = Source(dut, "i", idle, rng), Sink(dut, "o", stall, rng)
    orders = [run_of(parameters, **run) for run in runs]
    sending = cocotb.start_soon(source.send(orders))
    watching = cocotb.start_soon(planes_beside(dut, len(expected)))
    received = await sink.receive(len(expected))
    await sending
    assert received == expected
    assert await watching == planes


@cocotb.test()
async def idle_and_stall_grid(dut):
    rng, parameters = random.Random(cocotb.RANDOM_SEED), bench_parameters()
    ram, contents = connect(dut, BASE + (1 << 20))
    await start(dut)
    for pause in (False, True):
        if pause:
            ram.ar_channel.set_pause_generator(iter(lambda: rng.random() < 0.4, None))
            ram.r_channel.set_pause_generator(iter(lambda: rng.random() < 0.4, None))
        for idle in (0.0, 0.8):
            for stall in (0.0, 0.5):
                runs = list(random_runs(parameters, rng, 5))
                await fetch(dut, parameters, contents, runs, idle, stall, rng)


@cocotb.test()
async def rate_over_one_mebibyte(dut):
    """95 % of the cycles carry a beat, for some k of 16 planes and for k = N = 1."""
    parameters = bench_parameters()
    _, contents = connect(dut, BASE + (32 << 20))
    await start(dut)
    dut.o__ready.value = 1
    for planes, keep in ((1, 1), (4, 3), (8, 8), (16, 1), (16, 5), (16, 16)):
        # A stretch of the run is compared; the bulk tests compare whole ones.
        run = {"base": BASE, "block": 77, "planes": planes, "keep": keep}
        blocks = min(MIB_BEATS // keep, (32 << 20) // (64 * planes) - 256)
        await FallingEdge(dut.clk)
        await Source(dut, "i").send([run_of(parameters, **run, blocks=blocks)])
        expected = beats_of(parameters, contents, **run, blocks=40)[: 40 * keep - 1]
        beats, cycles = 0, 0
        while beats < blocks * keep and cycles < 2 * MIB_BEATS:
            await RisingEdge(dut.clk)
            cycles += 1
            if dut.o__valid.value:
                if beats < len(expected):
                    assert int(dut.o__payload.value) == expected[beats]
                beats += 1
        assert beats / cycles >= 0.95, f"{keep} of {planes} planes: {beats} beats in {cycles}"


@cocotb.test()
async def reset_in_mid_stream(dut):
    rng, parameters = random.Random(cocotb.RANDOM_SEED), bench_parameters()
    _, contents = connect(dut, BASE + (1 << 20))
    await start(dut)
    for cut in (3, 10, 60, 200):
        runs = list(random_runs(parameters, rng, 4))
        dut.o__ready.value = 1
        sending = cocotb.start_soon(
            Source(dut, "i").send([run_of(parameters, **run) for run in runs])
        )
        for _ in range(cut):
            await FallingEdge(dut.clk)
        sending.cancel()
        dut.i__valid.value = 0
        await reset(dut)
        await fetch(dut, parameters, contents, runs, 0.0, 0.2, rng)
