"""A CXL host with a golden device beside it: every answer is compared, none may be missing."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np

from lamina.formats.cxl import (
    m2s_req_layout,
    m2s_rwd_layout,
    s2m_drs_layout,
    s2m_ndr_layout,
)
from lamina.store.register_map import COUNTERS, offset
from lamina_gen.device.ends import Lite, Memory, Sender, Simulator, Stepper, Taker
from lamina_sim.golden import store
from lamina_sim.golden.store import device as golden

__all__ = ["ALL", "MEM_WR_PTL", "Host", "Setup", "control_word", "line_at", "random_setup"]

REQ, RWD = m2s_req_layout(), m2s_rwd_layout()
DRS, NDR = s2m_drs_layout(), s2m_ndr_layout()
KINDS = {"full": 0, "container": 1, "packed": 2, "planes": 3}
MEM_RD, MEM_WR, MEM_WR_PTL = 1, 1, 2
ALL = (1 << 64) - 1
GRANULE = 1 << 16


def pack(layout: Any, fields: Mapping[str, int]) -> int:
    """Fields of a flat layout as an int: far cheaper than constants of Amaranth."""
    value = 0
    for name, field in layout:
        value |= (fields.get(name, 0) & ((1 << field.width) - 1)) << field.offset
    return value


def unpack(layout: Any, value: int) -> dict[str, int]:
    """Fields of a flat layout."""
    return {name: value >> f.offset & ((1 << f.width) - 1) for name, f in layout}


def line_at(host: "Host", window: golden.Window, block: int, line: int) -> int:
    """The host's address of a line."""
    return host.address(window.base + 64 * (block * window.view.lines + line))


def control_word(window: golden.Window) -> int:
    """What `view_control` says of a window."""
    view, form = window.view, window.view.format
    number = form.bits if not form.floating else (10 if form is store.BF16 else 9)
    shift = window.blocks_per_row.bit_length() - 1
    nearest = view.rounding == "nearest"
    return 1 | number << 4 | KINDS[view.kind] << 8 | nearest << 12 | view.k << 16 | shift << 24


Setup = tuple[Sequence[golden.Window], Sequence[golden.Decoder], bytes]
"""Windows, decoders, and what is in memory."""


Receive = Callable[[int, int], object]
"""Takes a payload, and the cycle in which it came."""

Link = Callable[[Any, Random, float, float, Receive, Receive], Sequence[Any]]
"""Makes the ends of Req, RwD, DRS and NDR: of a device, chance, idling, stalling, and receivers.

The first two have a `queue` of payloads that are to be sent.
"""


def _streams(
    dut: Any, rng: Random, idle: float, stall: float, data: Receive, done: Receive
) -> tuple[Any, ...]:
    """The device's own streams."""
    senders = (Sender(dut, name, rng, idle) for name in ("i_req", "i_rwd"))
    return *senders, Taker(dut, "o_drs", rng, data, stall), Taker(dut, "o_ndr", rng, done, stall)


class Host:
    """Programs a device, sends messages, and checks what comes back against golden.

    ``memory``: in the place of our own, of which ``latency`` is.
    """

    def __init__(
        self,
        dut: Any,
        simulator: Simulator,
        rng: Random,
        setup: "Setup",
        *,
        idle: float = 0.0,
        stall: float = 0.0,
        latency: tuple[int, int] = (1, 1),
        link: "Link | None" = None,
        memory: Any = None,
    ) -> None:
        windows, decoders, data = setup
        self.dut, self.rng, self.windows, self.decoders = dut, rng, windows, decoders
        self.memory: Any = memory
        if memory is None:
            self.memory = Memory(dut, bytearray(data), rng, latency=latency, stall=stall)
        self.golden = golden.Device(np.frombuffer(bytearray(data), np.uint8), windows, decoders)
        self.lite = Lite(dut)
        channels = (link or _streams)(dut, rng, idle, stall, self._data, self._done)
        self.req, self.rwd, *self.takers = channels
        ends = (*channels, self.memory, self.lite)
        self.stepper = Stepper(ends, simulator)
        self.expected: dict[int, golden.Answer] = {}
        self.answered: dict[int, int] = {}  # tag to cycle
        self.either: dict[int, tuple[bytes, bytes] | None] = {}  # of reads that race a write
        self.on_answer: Callable[[int], object] | None = None
        self.on_line: Callable[[int, bytes], object] | None = None  # tag, and what was read
        self.next_tag, self.answers = rng.getrandbits(16), 0
        self.strict, self.wrong = True, Counter[str]()

    async def program(self) -> None:
        """Write decoders and view table."""
        for n, decoder in enumerate(self.decoders):
            at = 32 * n
            for name in ("base", "size", "skip"):
                value = getattr(decoder, name)
                await self.write_register(f"hdm_{name}_low", value & 0xFFFFFFFF, at)
                await self.write_register(f"hdm_{name}_high", value >> 32, at)
            await self.write_register("hdm_decoder_control", 1 << 9, at)
            assert await self.read_register("hdm_decoder_control", at) >> 10 & 1
        await self.write_register("hdm_control", 2)
        for n, window in enumerate(self.windows):
            words = {"blocks": window.blocks, "base_low": window.base & 0xFFFFFFFF}
            words |= {"base_high": window.base >> 32, "store_low": window.store & 0xFFFFFFFF}
            words |= {"store_high": window.store >> 32, "control": control_word(window)}
            for name, value in words.items():
                await self.write_register(f"view_{name}", value, 32 * n)
            assert await self.read_register("view_control", 32 * n) & 1

    async def access(
        self, address: int, data: int | None = None, strobes: int = 15, timeout: int = 1000
    ) -> tuple[int, int]:
        """One access on AXI4-Lite; (resp, data)."""
        self.lite.begin(address, data, strobes)
        for _ in range(timeout):
            if self.lite.answer:
                return self.lite.answer
            await self.stepper.step()
        raise AssertionError(f"no answer from register {address:#x}")

    async def write_register(self, name: str, value: int, more: int = 0) -> None:
        """Write a register, ``more`` bytes behind the first of its name."""
        resp, _ = await self.access(offset(name) + more, value)
        assert resp == 0

    async def read_register(self, name: str, more: int = 0) -> int:
        """Read a register."""
        resp, value = await self.access(offset(name) + more)
        assert resp == 0
        return value

    def address(self, device_address: int) -> int:
        """The host's address of a device address."""
        start = 0
        for decoder in self.decoders:
            start += decoder.skip
            if start <= device_address < start + decoder.size:
                return decoder.base + device_address - start
            start += decoder.size
        raise AssertionError("no decoder holds the address")

    def tag(self) -> int:
        """Return a tag that nobody waits for."""
        while self.next_tag in self.expected:
            self.next_tag = (self.next_tag + 1) & 0xFFFF
        self.next_tag = (self.next_tag + 1) & 0xFFFF
        return (self.next_tag - 1) & 0xFFFF

    def read(self, address: int, opcode: int = MEM_RD) -> int:
        """Send a Req; return its tag."""
        tag, ld_id = self.tag(), self.rng.getrandbits(4)
        answer = self.golden.request(opcode, address, tag, ld_id)
        fields = {"mem_opcode": opcode, "tag": tag, "ld_id": ld_id, "addr": address >> 6}
        noise = {"snp_type": 3, "meta_field": 2, "meta_value": 3, "addr5": 1, "tc": 3, "rsvd": 63}
        noise = {name: self.rng.getrandbits(6) & mask for name, mask in noise.items()}
        self.req.queue.append(pack(REQ, fields | noise))
        return self._expect(tag, answer)

    def write(
        self,
        address: int,
        data: bytes,
        enable: int = ALL,
        opcode: int = MEM_WR,
        poison: bool = False,
    ) -> int:
        """Send a RwD; return its tag."""
        tag, ld_id = self.tag(), self.rng.getrandbits(4)
        answer = self.golden.write(opcode, address, tag, data, enable, poison=poison, ld_id=ld_id)
        if opcode == MEM_WR:
            enable = self.rng.getrandbits(64)  # means nothing
        fields = {"mem_opcode": opcode, "tag": tag, "ld_id": ld_id, "addr": address >> 6}
        fields |= {"poison": poison, "byte_enable": enable}
        self.rwd.queue.append(pack(RWD, fields | {"data": int.from_bytes(data, "little")}))
        return self._expect(tag, answer)

    def _expect(self, tag: int, answer: golden.Answer | None) -> int:
        if answer is not None:
            self.expected[tag] = answer
        return tag

    def _wrong(self, kind: str, text: str) -> None:
        """Count what should not be; where ``strict``, that is the end."""
        self.wrong[kind] += 1
        if self.strict:
            raise AssertionError(text)

    def _waited_for(self, got: dict[str, int]) -> golden.Answer | None:
        tag = got["tag"]
        answer = self.expected.pop(tag, None)
        if answer is None:
            self._wrong("duplicated", f"an answer that nobody waits for: tag {tag:#x}")
        elif (got["ld_id"], got["meta_field"]) != (answer.ld_id, 3):
            self._wrong("corrupted", f"tag {tag:#x}: LD-ID or metadata, {got}")
        return answer

    def _data(self, payload: int, cycle: int) -> None:
        got = unpack(DRS, payload)
        answer, tag = self._waited_for(got), got["tag"]
        if answer is None:
            return
        kind = ("MemData", "MemData-NXM")[got["opcode"]]
        if (kind, got["poison"]) != (answer.kind, answer.poison):
            self._wrong("corrupted", f"tag {tag:#x}: {kind}, poison {got['poison']}")
        data = got["data"].to_bytes(64, "little")
        if answer.data is not None and not self._right(tag, data, answer.data):
            self._wrong("corrupted", f"tag {tag:#x}: {data.hex()}, not {answer.data.hex()}")
        if self.on_line:
            self.on_line(tag, data)
        self._answer(tag, cycle)

    def _right(self, tag: int, data: bytes, wanted: bytes) -> bool:
        if tag not in self.either:
            return data == wanted
        either = self.either.pop(tag)
        if not either:
            return True
        seen, old, new = (int.from_bytes(d, "little") for d in (data, *either))
        return not (seen ^ old) & ~(old ^ new)

    def _done(self, payload: int, cycle: int) -> None:
        got = unpack(NDR, payload)
        answer = self._waited_for(got)
        if answer is None:
            return
        if (answer.kind, got["opcode"]) != ("Cmp", 0):
            self._wrong("corrupted", f"tag {got['tag']:#x}: an NDR of opcode {got['opcode']}")
        self._answer(got["tag"], cycle)

    def _answer(self, tag: int, cycle: int) -> None:
        self.answered[tag] = cycle
        self.answers += 1
        if self.on_answer:
            self.on_answer(tag)

    async def drain(self, timeout: int = 20_000) -> None:
        """Step until everything is answered, and see that nothing comes after that."""
        quiet = 0
        for _ in range(timeout):
            busy = self.expected or self.req.queue or self.rwd.queue or not self.memory.idle
            quiet = 0 if busy else quiet + 1
            if quiet > 40:
                return
            await self.stepper.step()
        self.wrong["lost"] += len(self.expected) - 1
        self._wrong("lost", f"{len(self.expected)} of the messages were never answered")

    async def counters(self) -> dict[str, int]:
        """Read all counters."""
        return {name: await self.read_register(f"count_{name}") for name in COUNTERS}

    async def check(self) -> dict[str, int]:
        """Compare counters, memory and poison with golden."""
        counted = await self.counters()
        wanted = self.golden.counters
        assert {name: counted[name] for name in wanted} == dict(wanted)
        assert counted["read_beats"] == self.memory.beats
        assert counted["written_beats"] == self.memory.written
        assert bytes(self.memory.data) == self.golden.memory.tobytes()
        status = await self.read_register("poison_status")
        assert status & 0xFF == len(self.golden.poison)
        return counted


def random_setup(
    rng: Random,
    *,
    blocks: int = 24,
    formats: Sequence[Any] | None = None,
    views_each: int = 4,
) -> Setup:
    """Regions of random formats, the full view and some others of each; memory and decoders."""
    windows: list[golden.Window] = []
    store_at, base = 0, 4 * GRANULE
    for form in formats or rng.sample(list(store.FORMATS.values()), 3):
        row = rng.choice([1, 4, 8, 32])
        store_at = -(-store_at // (row * 64)) * row * 64
        views = [store.View(kind="full", format=form)]
        for _ in range(views_each - 1):
            keep = rng.randint(form.least_planes, form.bits)
            kind = rng.choice(["container", "packed", "planes"])
            rounding = rng.choice(["truncate", "truncate", "nearest"])
            views.append(store.View(kind=kind, format=form, keep=keep, rounding=rounding))
        for view in views:
            windows.append(
                golden.Window(
                    view=view, base=base, blocks=blocks, store=store_at, blocks_per_row=row
                )
            )
            base += GRANULE * (1 + -(-blocks * view.lines * 64 // GRANULE))
        store_at += -(-blocks // row) * row * 64 * form.bits
    rng.shuffle(windows)
    grain = 1 << 28
    decoders = [
        golden.Decoder(base=3 * grain, size=grain),
        golden.Decoder(base=(1 << 40) + grain, size=2 * grain, skip=grain),
    ]
    data = Random(rng.random()).randbytes(store_at)
    return windows, decoders, data
