"""The link layer's side of CPI's channels, stepped a cycle at a time, and what happens on them."""

from collections import deque

from lamina.formats import cpi, cxl
from lamina_gen.device.ends import Sender, Stepper, Taker
from lamina_gen.device.host import pack, unpack

REQ, RWD = cxl.m2s_req_layout(), cxl.m2s_rwd_layout()
DRS, NDR = cxl.s2m_drs_layout(), cxl.s2m_ndr_layout()
HEADERS = {
    "f2a_req": cpi.req_header_layout(),
    "f2a_data": cpi.rwd_header_layout(),
    "a2f_data": cpi.drs_header_layout(),
    "a2f_rsp": cpi.ndr_header_layout(),
}
PROTOCOL = 1


def parity(value):
    return value.bit_count() & 1


def data_parity(body):
    return sum(parity(body >> 64 * n & ((1 << 64) - 1)) << n for n in range(8))


class Pins:
    """Pins of one channel by their names without the prefix."""

    def __init__(self, dut, prefix):
        self._dut, self._prefix = dut, prefix

    def __getitem__(self, name):
        return getattr(self._dut, f"{self._prefix}_{name}")


class CreditSource:
    """Sends messages, {pin: value}, as its credits allow; ``rude``: those that need none."""

    def __init__(self, dut, prefix, rng, idle=0.0):
        self.pins, self.rng, self.idle, self.prefix = Pins(dut, prefix), rng, idle, prefix
        self.queue, self.rude, self.credits, self.blocked = deque(), deque(), 0, False
        self.on_taken = None
        self.hold_credits = False
        self.names = ["header", "cmd_parity", "protocol_id", "vc_id", "shared_credit"]
        if prefix == "f2a_data":
            self.names += ["body", "byte_enable", "poison", "parity"]
        for name in (*self.names, "is_valid", "txblock_crd_flow"):
            self.pins[name].value = 0

    def drive(self, cycle):
        self.pins["txblock_crd_flow"].value = int(self.blocks())
        message = None
        if self.rude:
            message = self.rude.popleft()
        elif self.queue and self.credits and self.rng.random() >= self.idle:
            message, self.credits = self.queue.popleft(), self.credits - 1
        self.pins["is_valid"].value = int(message is not None)
        if message:
            for name in self.names:
                self.pins[name].value = message[name]
            if self.on_taken:
                self.on_taken(cycle)

    def blocks(self):
        return self.hold_credits or self.rng.random() < self.idle

    def observe(self, _cycle):
        if self.pins["rxcrd_valid"].value:
            assert not self.blocked, "a credit in the cycle after it was blocked"
            wanted = {
                "rxcrd_protocol_id": PROTOCOL,
                "rxcrd_vc_id": 0,
                "rxcrd_shared": 0,
                "block": 0,
            }
            assert {name: int(self.pins[name].value) for name in wanted} == wanted
            self.credits += 1
        self.blocked = bool(self.pins["txblock_crd_flow"].value)


class CreditTarget:
    """Gives credits for ``places`` messages and hands what comes to ``receive``."""

    def __init__(self, dut, prefix, rng, receive, stall=0.0, places=12):
        self.pins, self.rng, self.stall, self.receive = Pins(dut, prefix), rng, stall, receive
        self.places, self.given, self.early, self.blocked = places, 0, 0, False
        self.layout, self.data = HEADERS[prefix], prefix == "a2f_data"
        for name in ("rxcrd_vc_id", "rxcrd_shared"):
            self.pins[name].value = 0
        self.pins["rxcrd_protocol_id"].value = PROTOCOL

    def drive(self, _cycle):
        give = self.given < self.places and self.rng.random() >= self.stall
        self.pins["rxcrd_valid"].value = int(give)
        self.pins["block"].value = int(self.rng.random() < self.stall)

    def observe(self, cycle):
        pins = self.pins
        valid = int(pins["is_valid"].value)
        assert valid == self.early, "early_valid comes a cycle before is_valid"
        if valid:
            assert self.given, "a message without a credit"
            assert not self.blocked, "a message in the cycle after it was blocked"
            header = int(pins["header"].value)
            assert int(pins["cmd_parity"].value) == parity(header)
            got = unpack(self.layout, header)
            if self.data:
                got["data"], got["poison"] = int(pins["body"].value), int(pins["poison"].value)
                assert int(pins["parity"].value) == data_parity(got["data"])
            self.receive(got, cycle)
            self.given -= 1
        self.given += int(pins["rxcrd_valid"].value)
        self.early, self.blocked = int(pins["early_valid"].value), bool(pins["block"].value)


class Link:
    """A `store.cpi` between a link layer and streams; what arrives where is kept, in order."""

    def __init__(self, dut, simulator, rng, *, idle=0.0, stall=0.0):
        self.dut, self.rng = dut, rng
        self.req, self.data = (
            CreditSource(dut, name, rng, idle) for name in ("f2a_req", "f2a_data")
        )
        self.got = {name: [] for name in ("o_req", "o_rwd", "drs", "ndr")}
        self.cycles = {name: [] for name in self.got}
        self.drs, self.ndr = (Sender(dut, name, rng, idle) for name in ("i_drs", "i_ndr"))
        self.targets = [
            CreditTarget(dut, "a2f_data", rng, self._keep("drs"), stall),
            CreditTarget(dut, "a2f_rsp", rng, self._keep("ndr"), stall),
        ]
        takers = [
            Taker(dut, "o_req", rng, self._keep("o_req", REQ), stall),
            Taker(dut, "o_rwd", rng, self._keep("o_rwd", RWD), stall),
        ]
        ends = (self.req, self.data, self.drs, self.ndr, *self.targets, *takers)
        self.stepper = Stepper(ends, simulator)
        dut.f2a_txcon_req.value = dut.a2f_rxcon_ack.value = 1

    def _keep(self, name, layout=None):
        def receive(got, cycle):
            self.got[name].append(unpack(layout, got) if layout else got)
            self.cycles[name].append(cycle)

        return receive

    async def steps(self, count):
        for _ in range(count):
            await self.stepper.step()

    async def settle(self):
        """Step until nothing moves any more."""
        for _ in range(20_000):
            senders = (self.req, self.data, self.drs, self.ndr)
            if not any(sender.queue for sender in senders):
                return await self.steps(300)
            await self.stepper.step()
        raise AssertionError("something is stuck")

    def message(self, prefix, **wrong):
        """A random message: what its channel carries, and what must come out as a stream."""
        layout = HEADERS[prefix]
        fields = {name: self.rng.getrandbits(field.width) for name, field in layout}
        fields["flit_mode"] = 0
        even, odd = (sum(fields["addr"] >> n & 1 for n in range(k, 46, 2)) & 1 for k in (0, 1))
        fields["addr_parity"] = even | odd << 1 if prefix == "f2a_data" else even ^ odd
        fields |= {name: value for name, value in wrong.items() if name in fields}
        header = pack(layout, fields)
        pins = {"header": header, "cmd_parity": parity(header), "protocol_id": PROTOCOL}
        pins |= {"vc_id": 0, "shared_credit": 0}
        stream = {
            name: fields[name]
            for name, _ in (REQ if prefix == "f2a_req" else RWD)
            if name in fields
        }
        if prefix == "f2a_data":
            body = self.rng.getrandbits(512)
            pins |= {"body": body, "byte_enable": self.rng.getrandbits(64)}
            pins |= {"poison": self.rng.getrandbits(1), "parity": data_parity(body)}
            stream |= {"data": body, "byte_enable": pins["byte_enable"], "poison": pins["poison"]}
        else:
            stream["rsvd"] = 0
        return pins | {name: value for name, value in wrong.items() if name in pins}, stream

    def send(self, count):
        """Random messages on all four channels; return what must arrive."""
        expected = {name: [] for name in self.got}
        for _ in range(count):
            for prefix, name, source in (
                ("f2a_req", "o_req", self.req),
                ("f2a_data", "o_rwd", self.data),
            ):
                pins, stream = self.message(prefix)
                source.queue.append(pins)
                expected[name].append(stream)
            for name, layout, sender in (("drs", DRS, self.drs), ("ndr", NDR, self.ndr)):
                payload = self.rng.getrandbits(layout.size)
                sender.queue.append(payload)
                fields = unpack(layout, payload)
                expected[name].append({"flit_mode": 0} | fields)
        return expected

    def check(self, expected, violations=0):
        assert self.got == expected
        assert int(self.dut.violations.value) == violations
        assert bool(self.dut.fatal.value) == bool(violations)
        assert int(self.dut.f2a_rx_empty.value)


async def traffic(link, count):
    """Messages on all channels; afterwards all credits are back."""
    expected = link.send(count)
    await link.settle()
    link.check(expected)
    return link.req.credits, link.data.credits


async def full_rate(link, count=400):
    """Cycles that the later half of the messages take, by stream."""
    expected = link.send(count)
    await link.settle()
    link.check(expected)
    return {name: c[-1] - c[count // 2] for name, c in link.cycles.items()}


async def violations(link):
    """Messages that must not be taken; what is good before and after them arrives."""
    link.req.hold_credits = True
    await link.steps(4)
    credits = link.req.credits
    # Those that it has are used up; then one comes without.
    expected = link.send(credits)
    await link.steps(200)
    assert link.req.credits == 0
    link.req.rude.append(link.message("f2a_req")[0])
    await link.steps(5)
    assert int(link.dut.violations.value) == 1
    link.req.hold_credits = False
    bad = [
        link.message("f2a_req", protocol_id=3)[0],
        link.message("f2a_req", vc_id=1)[0],
        link.message("f2a_req", shared_credit=1)[0],
        link.message("f2a_data", protocol_id=0)[0],
    ]
    for prefix in ("f2a_req", "f2a_data"):
        good = link.message(prefix)[0]
        bad.append(good | {"cmd_parity": 1 - good["cmd_parity"]})
        # The parity of the header is right, that of the address is not.
        fields = unpack(HEADERS[prefix], link.message(prefix)[0]["header"])
        bad.append(
            link.message(prefix, addr_parity=fields["addr_parity"], addr=fields["addr"] ^ 1)[0]
        )
    for message in bad:
        (link.data if "body" in message else link.req).queue.append(message)
    # Wrong parity of data is poison.
    pins, stream = link.message("f2a_data", poison=0)
    link.data.queue.append(pins | {"parity": pins["parity"] ^ 4})
    expected["o_rwd"].append(stream | {"poison": 1})
    await link.settle()
    more = link.send(20)
    await link.settle()
    link.check({name: expected[name] + more[name] for name in more}, violations=1 + len(bad))
    return link.req.credits, link.data.credits


async def reconnect(link):
    """The link layer leaves and comes back: credits are void, messages that were taken are not."""
    expected = link.send(60)
    await link.steps(40)
    left = link.req.queue, link.data.queue
    link.req.queue, link.data.queue = type(left[0])(), type(left[1])()
    await link.steps(3)
    link.dut.f2a_txcon_req.value = 0
    await link.steps(30)
    assert not int(link.dut.f2a_rxcon_ack.value)
    link.req.credits = link.data.credits = 0
    link.dut.f2a_txcon_req.value = 1
    link.req.queue, link.data.queue = left
    await link.settle()
    link.check(expected)
    return link.req.credits, link.data.credits
