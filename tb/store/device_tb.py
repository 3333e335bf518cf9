"""The device in cocotb: behind our host, and on cocotbext-axi's AxiRam and AxiLiteMaster."""

import os
import random
from functools import partial

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam

from lamina.store.register_map import offset
from lamina_gen.device import measure
from lamina_gen.device.host import DRS, NDR, REQ, RWD, control_word, pack, unpack
from lamina_gen.device.traffic import random_traffic
from lamina_sim.golden import store
from tb.store import device_scenarios as scenarios
from tb.streams import Simulator, Sink, Source, start


@cocotb.test()
async def traffic_of_all_kinds(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    await start(dut)
    host = await scenarios.begin(dut, Simulator(dut), rng, stall=0.2, idle=0.2, latency=(1, 20))
    messages = int(os.environ.get("LAMINA_COCOTB_MESSAGES", "300"))
    counted = await random_traffic(host, messages)
    assert host.answers >= messages
    assert counted["read_beats"]


async def on_axi_ram(dut, kind, keep):
    """An AxiRam behind a device with a region's full view and one other; it, and their lines."""
    bus = AxiBus.from_prefix(dut, "m_axi", case_insensitive=False)
    assert bus.write.aw.awaddr is dut.m_axi_awaddr, "the bus is not connected"
    ram = AxiRam(bus, dut.clk, dut.rst, size=1 << 20)
    ram.write_if.log.setLevel("WARNING")
    ram.read_if.log.setLevel("WARNING")
    lite = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil", case_insensitive=False), dut.clk)
    windows, (decoder,), _ = measure.plain_setup(kind, keep)
    await start(dut)
    await lite.write_dword(offset("hdm_base_low"), decoder.base)
    await lite.write_dword(offset("hdm_size_low"), decoder.size)
    await lite.write_dword(offset("hdm_decoder_control"), 1 << 9)
    await lite.write_dword(offset("hdm_control"), 2)
    for n, window in enumerate(windows):
        await lite.write_dword(offset("view_blocks") + 32 * n, window.blocks)
        await lite.write_dword(offset("view_base_low") + 32 * n, window.base)
        for name in ("base_high", "store_low", "store_high"):  # a reset leaves them as they are
            await lite.write_dword(offset(f"view_{name}") + 32 * n, 0)
        await lite.write_dword(offset("view_control") + 32 * n, control_word(window))
    await FallingEdge(dut.clk)
    return ram, [decoder.base + window.base >> 6 for window in windows]


@cocotb.test()
async def on_peers_that_are_not_ours(dut):
    """A block is written through AxiRam line by line and read through a view, bytes compared."""
    rng = random.Random(cocotb.RANDOM_SEED)
    ram, (full, packed) = await on_axi_ram(dut, "packed", 3)
    codes, block = rng.randbytes(512), 130
    at = full + 8 * block
    writes = [
        {
            "mem_opcode": 1,
            "tag": n,
            "addr": at + n,
            "data": int.from_bytes(codes[64 * n :][:64], "little"),
        }
        for n in range(8)
    ]
    ndr, drs = Sink(dut, "o_ndr", 0.3, rng), Sink(dut, "o_drs", 0.3, rng)
    await Source(dut, "i_rwd", 0.3, rng).send([pack(RWD, write) for write in writes])
    answers = [unpack(NDR, payload) for payload in await ndr.receive(8)]
    assert sorted(answer["tag"] for answer in answers) == list(range(8))
    at = packed + 4 * block
    reads = [{"mem_opcode": 2, "tag": n, "addr": at + n} for n in range(3)]
    await Source(dut, "i_req", 0.3, rng).send([pack(REQ, read) for read in reads])
    lines = [unpack(DRS, payload) for payload in await drs.receive(3)]
    numbers = [int.from_bytes(codes[i : i + 1], "little") >> 5 for i in range(512)]
    wanted = sum(number << 3 * i for i, number in enumerate(numbers)).to_bytes(192, "little")
    got = {line["tag"]: line["data"].to_bytes(64, "little") for line in lines}
    assert b"".join(got[n] for n in range(3)) == wanted
    planes = [ram.read(store.plane_address(block, p, 8).item(), 64) for p in range(8)]
    assert [bytes(plane)[0] & 1 for plane in planes] == [codes[0] >> (7 - p) & 1 for p in range(8)]


@cocotb.test()
async def a_stream_uses_what_axi_ram_gives(dut):
    """A beat in 95 % of the cycles, once the stream is under way."""
    rng, keep, blocks = random.Random(cocotb.RANDOM_SEED), 8, 48
    ram, (_, planes) = await on_axi_ram(dut, "planes", keep)
    ram.write(0, rng.randbytes(keep * 128 * 64))
    drs = Sink(dut, "o_drs", 0, rng)
    reads = [{"mem_opcode": 2, "tag": n, "addr": planes + n} for n in range(keep * blocks)]
    cocotb.start_soon(Source(dut, "i_req", 0, rng).send([pack(REQ, read) for read in reads]))
    answers = cocotb.start_soon(drs.receive(len(reads)))
    beats, cycle = [], 0
    while len(beats) < len(reads):
        await RisingEdge(dut.clk)
        if dut.m_axi_rvalid.value and dut.m_axi_rready.value:
            beats.append(cycle)
        cycle += 1
        assert cycle < 10 * len(reads), "the stream has stopped"
    for answer in map(partial(unpack, DRS), await answers):
        block, plane = divmod(answer["tag"], keep)
        wanted = ram.read(store.plane_address(block, plane, keep).item(), 64)
        assert answer["data"].to_bytes(64, "little") == bytes(wanted)
    under_way = beats[len(beats) // 4 :]
    rate = len(under_way) / (under_way[-1] - under_way[0] + 1)
    dut._log.info(f"{rate:.3f} beats a cycle")
    assert rate >= 0.95
