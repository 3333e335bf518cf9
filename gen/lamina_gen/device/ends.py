"""Ends of streams and an AXI4 memory that are stepped once a cycle, all by one coroutine.

A cycle: every end drives its inputs, the design settles, every end looks at what is taken.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from lamina_sim.perf.dram import OpenRows
from lamina_sim.verilated.stepped import Stepped

__all__ = ["ByHand", "End", "Lite", "Memory", "Sender", "Simulator", "Stepper", "Taker", "run"]

_MEMORY_PINS = """
    araddr arlen arsize arburst arvalid arready rdata rresp rlast rvalid rready
    awaddr awlen awsize awburst awvalid awready wdata wstrb wlast wvalid wready
    bresp bvalid bready
"""


class End(Protocol):
    """One side of a port: it drives the design's inputs and looks at what is taken."""

    def drive(self, _cycle: int) -> None:
        """Set inputs for this cycle."""

    def observe(self, cycle: int) -> None:
        """See what has moved in this cycle."""


class Simulator(Protocol):
    """What steps the design: `ByHand`, or cocotb."""

    async def settle(self) -> None:
        """Let inputs take effect."""

    async def tick(self) -> None:
        """Go on to the next cycle."""


class Sender:
    """Sends what is in ``queue`` into a stream."""

    def __init__(self, dut: Any, name: str, rng: Random, idle: float = 0.0) -> None:
        self.payload = getattr(dut, f"{name}__payload")
        self.valid, self.ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
        self.rng, self.idle, self.holding = rng, idle, False
        self.queue: deque[int] = deque()
        self.on_taken: Callable[[int], object] | None = None
        self.valid.value = 0

    def drive(self, _cycle: int) -> None:
        """Set inputs."""
        if self.holding:
            return
        self.holding = bool(self.queue) and self.rng.random() >= self.idle
        if self.holding:
            self.payload.value = self.queue[0]
        self.valid.value = int(self.holding)

    def observe(self, cycle: int) -> None:
        """Look at what moves."""
        if self.holding and self.ready.value:
            self.holding = False
            self.queue.popleft()
            if self.on_taken:
                self.on_taken(cycle)


class Taker:
    """Hands what comes out of a stream to ``receive``; what is offered must stay."""

    def __init__(
        self,
        dut: Any,
        name: str,
        rng: Random,
        receive: Callable[[int, int], object],
        stall: float = 0.0,
    ) -> None:
        self.payload = getattr(dut, f"{name}__payload")
        self.valid, self.ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
        self.rng, self.stall, self.receive, self.name = rng, stall, receive, name
        self.offered: int | None = None
        self.ready.value = 0

    def drive(self, _cycle: int) -> None:
        """Set inputs."""
        self.ready.value = int(self.rng.random() >= self.stall)

    def observe(self, cycle: int) -> None:
        """Look at what moves."""
        if not self.valid.value:
            assert self.offered is None, f"{self.name}: valid fell before the beat was taken"
            return
        payload = int(self.payload.value)
        assert self.offered in (None, payload), f"{self.name}: payload changed while stalled"
        self.offered = payload
        if self.ready.value:
            self.offered = None
            self.receive(payload, cycle)


@dataclass
class _Write:
    address: int
    line: bytes
    strobes: int
    done: bool = False


class Memory:
    """AXI4 memory on ``m_axi_*`` over ``data``, a bytearray, with latency, stalls and errors.

    When a read looks at the data, between its address and its beat, and when a write changes them,
    between its beat and its answer, is drawn by chance. ``read_fails``, ``write_fails``: of the
    address of a beat. ``beats`` read and ``written`` are counted, and in ``rows`` the rows that
    reads open.
    """

    def __init__(
        self,
        dut: Any,
        data: bytearray,
        rng: Random,
        *,
        latency: tuple[int, int] = (1, 1),
        stall: float = 0.0,
    ) -> None:
        self.pins = {name: getattr(dut, f"m_axi_{name}") for name in _MEMORY_PINS.split()}
        self.data, self.rng, self.latency, self.stall = data, rng, latency, stall
        self.read_fails: Callable[[int], bool] = lambda _address: False
        self.write_fails = self.read_fails
        self.reads: deque[tuple[int, int, bytes | None, bool]] = deque()
        self.addresses: deque[int] = deque()
        self.writes: deque[tuple[bytes, int]] = deque()
        self.answers: deque[tuple[_Write, int]] = deque()
        self.beats = self.written = 0
        self.rows = OpenRows()
        self.hold_writes = False
        self.on_address: Callable[[int], object] = lambda _cycle: None
        self.on_beat: Callable[[int], object] = self.on_address
        self.r_held = self.b_held = False
        for name in ("arready", "rvalid", "awready", "wready", "bvalid"):
            self.pins[name].value = 0

    def _due(self, cycle: int) -> int:
        return cycle + self.rng.randint(*self.latency)

    def _look(self, address: int) -> bytes:
        return bytes(self.data[address : address + 64])

    def drive(self, cycle: int) -> None:
        """Set inputs."""
        self.pins["arready"].value = int(self._go())
        for name in ("awready", "wready"):
            self.pins[name].value = int(self._go() and not self.hold_writes)
        if not self.r_held:
            self.r_held = bool(self.reads) and self.reads[0][1] <= cycle and self._go()
            if self.r_held:
                address, _, seen, last = self.reads[0]
                fails = self.read_fails(address)
                line = self.rng.randbytes(64) if fails else seen or self._look(address)
                self.pins["rdata"].value = int.from_bytes(line, "little")
                self.pins["rresp"].value = self.rng.choice((2, 3)) if fails else 0
                self.pins["rlast"].value = int(last)
            self.pins["rvalid"].value = int(self.r_held)
        if not self.b_held:
            self.b_held = bool(self.answers) and self.answers[0][1] <= cycle and self._go()
            if self.b_held:
                write, _ = self.answers[0]
                self._apply(write)
                self.pins["bresp"].value = 2 if self.write_fails(write.address) else 0
            self.pins["bvalid"].value = int(self.b_held)

    def _go(self) -> bool:
        return self.rng.random() >= self.stall

    def _apply(self, write: "_Write") -> None:
        if not write.done and not self.write_fails(write.address):
            for byte in range(64):
                if write.strobes >> byte & 1:
                    self.data[write.address + byte] = write.line[byte]
        write.done = True

    def observe(self, cycle: int) -> None:
        """Look at what moves."""
        pins = self.pins
        if self.r_held and pins["rready"].value:
            self.r_held = False
            self.reads.popleft()
            self.beats += 1
            self.on_beat(cycle)
        if self.b_held and pins["bready"].value:
            self.b_held = False
            self.answers.popleft()
        if pins["arvalid"].value and pins["arready"].value:
            self._burst(int(pins["araddr"].value), int(pins["arlen"].value), self._due(cycle))
            self.on_address(cycle)
        if pins["awvalid"].value and pins["awready"].value:
            assert int(pins["awlen"].value) == 0
            assert int(pins["awsize"].value) == 6
            self.addresses.append(int(pins["awaddr"].value))
        if pins["wvalid"].value and pins["wready"].value:
            line = int(pins["wdata"].value).to_bytes(64, "little")
            assert pins["wlast"].value
            self.writes.append((line, int(pins["wstrb"].value)))
        while self.addresses and self.writes:
            write = _Write(self.addresses.popleft(), *self.writes.popleft())
            self.written += 1
            if self.rng.random() < 0.5:
                self._apply(write)
            self.answers.append((write, self._due(cycle)))

    def _burst(self, start: int, more: int, due: int) -> None:
        end = start + 64 * (more + 1)
        assert int(self.pins["arsize"].value) == 6
        assert start % 64 == 0
        assert end <= len(self.data)
        assert start // 4096 == (end - 1) // 4096
        for address in range(start, end, 64):
            seen = self._look(address) if self.rng.random() < 0.5 else None
            self.reads.append((address, due, seen, address + 64 == end))
            self.rows.access(address)

    @property
    def idle(self) -> bool:
        """Nothing is under way."""
        return not (self.reads or self.addresses or self.writes or self.answers)


class Lite:
    """AXI4-Lite master on ``s_axil_*``: one access at a time."""

    def __init__(self, dut: Any) -> None:
        names = "awaddr awprot awvalid awready wdata wstrb wvalid wready bresp bvalid bready"
        names += " araddr arprot arvalid arready rdata rresp rvalid rready"
        self.pins = {name: getattr(dut, f"s_axil_{name}") for name in names.split()}
        for name in names.split():
            if not name.endswith(("resp", "rdata")) and name not in (
                "awready",
                "wready",
                "bvalid",
                "arready",
                "rvalid",
            ):
                self.pins[name].value = 0
        self.access: tuple[int, int | None, int] | None = None
        self.answer: tuple[int, int] | None = None

    def begin(self, address: int, data: int | None = None, strobes: int = 15) -> None:
        """Start a read, or a write of ``data``; ``answer`` is (resp, data) when it is over."""
        self.access, self.answer = (address, data, strobes), None

    def drive(self, _cycle: int) -> None:
        """Set inputs."""
        pins = self.pins
        pins["bready"].value = pins["rready"].value = 1
        if self.access:
            address, data, strobes = self.access
            write = data is not None
            pins["awaddr"].value = pins["araddr"].value = address
            pins["wdata"].value, pins["wstrb"].value = data or 0, strobes
            pins["awvalid"].value = pins["wvalid"].value = int(write)
            pins["arvalid"].value = int(not write)
        else:
            for name in ("awvalid", "wvalid", "arvalid"):
                pins[name].value = 0

    def observe(self, _cycle: int) -> None:
        """Look at what moves."""
        pins = self.pins
        if self.access and (
            (pins["awready"].value and self.access[1] is not None)
            or (pins["arready"].value and self.access[1] is None)
        ):
            self.access = None
        if pins["bvalid"].value:
            self.answer = (int(pins["bresp"].value), 0)
        if pins["rvalid"].value:
            self.answer = (int(pins["rresp"].value), int(pins["rdata"].value))


class Stepper:
    """Steps ``ends`` through cycles of a simulator."""

    def __init__(self, ends: Iterable[End], simulator: Simulator) -> None:
        self.ends, self.simulator, self.cycle = list(ends), simulator, 0

    async def step(self) -> None:
        """One cycle."""
        for end in self.ends:
            end.drive(self.cycle)
        await self.simulator.settle()
        for end in self.ends:
            end.observe(self.cycle)
        self.cycle += 1
        await self.simulator.tick()


class ByHand:
    """A `Stepped` module as the simulator of a coroutine that awaits nothing else."""

    def __init__(self, dut: Stepped) -> None:
        self.dut = dut

    async def settle(self) -> None:
        """Let inputs take effect."""
        self.dut.settle()

    async def tick(self) -> None:
        """Go on to the next cycle."""
        self.dut.edge()


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("the coroutine waits for something that is not there")
