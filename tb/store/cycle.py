"""Ends of streams and an AXI4 memory that are stepped once a cycle, all by one coroutine.

A cycle: every end drives its inputs, the design settles, every end looks at what is taken.
"""

from collections import deque

_MEMORY_PINS = """
    araddr arlen arsize arburst arvalid arready rdata rresp rlast rvalid rready
    awaddr awlen awsize awburst awvalid awready wdata wstrb wlast wvalid wready
    bresp bvalid bready
"""


class Sender:
    """Sends what is in ``queue`` into a stream."""

    def __init__(self, dut, name, rng, idle=0.0):
        self.payload = getattr(dut, f"{name}__payload")
        self.valid, self.ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
        self.rng, self.idle, self.queue, self.holding = rng, idle, deque(), False
        self.on_taken = None
        self.valid.value = 0

    def drive(self, _cycle):
        if self.holding:
            return
        self.holding = bool(self.queue) and self.rng.random() >= self.idle
        if self.holding:
            self.payload.value = self.queue[0]
        self.valid.value = int(self.holding)

    def observe(self, cycle):
        if self.holding and self.ready.value:
            self.holding = False
            self.queue.popleft()
            if self.on_taken:
                self.on_taken(cycle)


class Taker:
    """Hands what comes out of a stream to ``receive``; what is offered must stay."""

    def __init__(self, dut, name, rng, receive, stall=0.0):
        self.payload = getattr(dut, f"{name}__payload")
        self.valid, self.ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
        self.rng, self.stall, self.receive, self.offered = rng, stall, receive, None
        self.name = name
        self.ready.value = 0

    def drive(self, _cycle):
        self.ready.value = int(self.rng.random() >= self.stall)

    def observe(self, cycle):
        if not self.valid.value:
            assert self.offered is None, f"{self.name}: valid fell before the beat was taken"
            return
        payload = int(self.payload.value)
        assert self.offered in (None, payload), f"{self.name}: payload changed while stalled"
        self.offered = payload
        if self.ready.value:
            self.offered = None
            self.receive(payload, cycle)


class Memory:
    """AXI4 memory on ``m_axi_*`` over ``data``, a bytearray, with latency, stalls and errors.

    When a read looks at the data, between its address and its beat, and when a write changes them,
    between its beat and its answer, is drawn by chance. ``read_fails``, ``write_fails``: of the
    address of a beat. ``beats`` read and ``written`` are counted.
    """

    def __init__(self, dut, data, rng, *, latency=(1, 1), stall=0.0):
        self.pins = {name: getattr(dut, f"m_axi_{name}") for name in _MEMORY_PINS.split()}
        self.data, self.rng, self.latency, self.stall = data, rng, latency, stall
        self.read_fails = self.write_fails = lambda _address: False
        self.reads, self.addresses, self.writes = deque(), deque(), deque()
        self.answers = deque()
        self.beats = self.written = 0
        self.hold_writes = False
        self.on_address = self.on_beat = lambda _cycle: None
        self.last_due = 0
        self.r_held = self.b_held = False
        for name in ("arready", "rvalid", "awready", "wready", "bvalid"):
            self.pins[name].value = 0

    def _due(self, cycle):
        return cycle + self.rng.randint(*self.latency)

    def _look(self, address):
        return bytes(self.data[address : address + 64])

    def drive(self, cycle):
        go = lambda: int(self.rng.random() >= self.stall)  # noqa: E731
        self.pins["arready"].value = go()
        for name in ("awready", "wready"):
            self.pins[name].value = int(bool(go()) and not self.hold_writes)
        if not self.r_held:
            self.r_held = bool(self.reads) and self.reads[0][1] <= cycle and bool(go())
            if self.r_held:
                address, _, seen = self.reads[0]
                fails = self.read_fails(address)
                line = self.rng.randbytes(64) if fails else seen or self._look(address)
                self.pins["rdata"].value = int.from_bytes(line, "little")
                self.pins["rresp"].value = self.rng.choice((2, 3)) if fails else 0
                self.pins["rlast"].value = 1
            self.pins["rvalid"].value = int(self.r_held)
        if not self.b_held:
            self.b_held = bool(self.answers) and self.answers[0][1] <= cycle and bool(go())
            if self.b_held:
                write, _ = self.answers[0]
                self._apply(write)
                self.pins["bresp"].value = 2 if self.write_fails(write[0]) else 0
            self.pins["bvalid"].value = int(self.b_held)

    def _apply(self, write):
        address, line, strobes = write
        if strobes and not self.write_fails(address):
            for byte in range(64):
                if strobes >> byte & 1:
                    self.data[address + byte] = line[byte]
        write[2] = 0

    def observe(self, cycle):
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
            address = int(pins["araddr"].value)
            assert int(pins["arlen"].value) == 0
            assert int(pins["arsize"].value) == 6
            assert address % 64 == 0
            assert address + 64 <= len(self.data)
            seen = self._look(address) if self.rng.random() < 0.5 else None
            self.reads.append((address, self._due(cycle), seen))
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
            write = [self.addresses.popleft(), *self.writes.popleft()]
            self.written += 1
            if self.rng.random() < 0.5:
                self._apply(write)
            self.answers.append((write, self._due(cycle)))

    @property
    def idle(self):
        return not (self.reads or self.addresses or self.writes or self.answers)


class Lite:
    """AXI4-Lite master on ``s_axil_*``: one access at a time."""

    def __init__(self, dut):
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
        self.access = self.answer = None

    def begin(self, address, data=None, strobes=15):
        """Start a read, or a write of ``data``; ``answer`` is (resp, data) when it is over."""
        self.access, self.answer = (address, data, strobes), None

    def drive(self, _cycle):
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

    def observe(self, _cycle):
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
    """Steps ``ends`` through cycles; ``settle`` and ``tick`` are the simulator's, awaited."""

    def __init__(self, ends, settle, tick):
        self.ends, self.settle, self.tick, self.cycle = list(ends), settle, tick, 0

    async def step(self):
        for end in self.ends:
            end.drive(self.cycle)
        await self.settle()
        for end in self.ends:
            end.observe(self.cycle)
        self.cycle += 1
        await self.tick()


class ByHand:
    """A `Stepped` module as the simulator of a coroutine that awaits nothing else."""

    def __init__(self, dut):
        self.dut = dut

    async def settle(self):
        self.dut.settle()

    async def tick(self):
        self.dut.edge()


def run(coroutine):
    """Run a coroutine that never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("the coroutine waits for something that is not there")
