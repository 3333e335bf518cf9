"""A host's messages on CPI's channels: payloads of the device's streams, with credits."""

from lamina_gen.device.host import pack, unpack
from tb.store.cpi_peers import (
    DRS,
    HEADERS,
    NDR,
    PROTOCOL,
    REQ,
    RWD,
    CreditSource,
    CreditTarget,
    data_parity,
    parity,
)


class PayloadSource(CreditSource):
    """Sends payloads of a stream; before some of them, the same with wrong parity."""

    def __init__(self, dut, prefix, layout, rng, idle, wrong):
        super().__init__(dut, prefix, rng, idle)
        self.layout, self.wrong, self.sent_wrong = layout, wrong, 0
        self.payloads, self.queue = self.queue, _Messages(self)

    def message(self, payload):
        """A payload as the pins of its channel."""
        fields = unpack(self.layout, payload)
        even, odd = (sum(fields["addr"] >> n & 1 for n in range(k, 46, 2)) & 1 for k in (0, 1))
        fields["addr_parity"] = even | odd << 1 if self.prefix == "f2a_data" else even ^ odd
        header = pack(HEADERS[self.prefix], fields)
        pins = {"header": header, "cmd_parity": parity(header), "protocol_id": PROTOCOL}
        pins |= {"vc_id": 0, "shared_credit": 0}
        if self.prefix == "f2a_data":
            pins |= {name: fields[name] for name in ("byte_enable", "poison")}
            pins |= {"body": fields["data"], "parity": data_parity(fields["data"])}
        if self.rng.random() >= self.wrong:
            self.payloads.popleft()
            return pins
        self.sent_wrong += 1
        return pins | {"cmd_parity": 1 - pins["cmd_parity"]}


class _Messages:
    """What a source takes its messages from: payloads, each made a message when it is its turn."""

    def __init__(self, source):
        self.source = source

    def __len__(self):
        return len(self.source.payloads)

    def append(self, payload):
        self.source.payloads.append(payload)

    def popleft(self):
        return self.source.message(self.source.payloads[0])


class CpiLink:
    """The four ends of a host in front of a `store.endpoint`; ``wrong``: share of bad messages."""

    def __init__(self, wrong=0.0):
        self.wrong, self.sources = wrong, []

    def __call__(self, dut, rng, idle, stall, data, done):
        dut.f2a_txcon_req.value = dut.a2f_rxcon_ack.value = 1
        self.sources = [
            PayloadSource(dut, prefix, layout, rng, idle, self.wrong)
            for prefix, layout in (("f2a_req", REQ), ("f2a_data", RWD))
        ]

        def packed(layout, receive):
            return lambda got, cycle: receive(pack(layout, got), cycle)

        return (
            *self.sources,
            CreditTarget(dut, "a2f_data", rng, packed(DRS, data), stall),
            CreditTarget(dut, "a2f_rsp", rng, packed(NDR, done), stall),
        )

    @property
    def sent_wrong(self):
        return sum(source.sent_wrong for source in self.sources)
