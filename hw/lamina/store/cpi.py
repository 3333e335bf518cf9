"""CPI around the device: channels with credits on one side, streams on the other."""

import functools
from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.cpi import (
    drs_header_layout,
    ndr_header_layout,
    req_header_layout,
    rwd_header_layout,
)
from lamina.formats.cxl import m2s_req_layout, m2s_rwd_layout, s2m_drs_layout, s2m_ndr_layout
from lamina.parameters import check_range
from lamina.store.cpi_channel import CREDIT_BITS, CreditReceiver, CreditSender
from lamina.stream.memory import BlockMemoryParameters

__all__ = ["Cpi", "CpiParameters"]

#: 64 bits of data have a parity bit.
_PARITY_BITS = 8


@dataclass(frozen=True, kw_only=True)
class CpiParameters:
    """``req_credits``, ``data_credits``: messages of each kind that the host may have on the way.

    ``protocol_id``: what the link layer calls CXL.mem; the virtual channel is 0.
    """

    req_credits: int = 32
    data_credits: int = 16
    protocol_id: int = 1

    def __post_init__(self):
        check_range("req_credits", self.req_credits, 3, 255)
        check_range("data_credits", self.data_credits, 3, 255)
        check_range("protocol_id", self.protocol_id, 0, 15)

    @property
    def latency(self) -> int:
        """Cycles from a message on its channel to the stream."""
        return 3

    @property
    def throughput(self) -> str:
        """Messages of each of the four kinds."""
        return "1 message per cycle and channel"

    @property
    def storage_bits(self) -> int:
        """Queues, the registers before them, and those of what leaves."""
        bits = 16 + 2 * (CREDIT_BITS + 2) + 6 + _PARITY_BITS
        layouts = (m2s_req_layout(), m2s_rwd_layout())
        for layout, credits in zip(layouts, (self.req_credits, self.data_credits), strict=True):
            memory = BlockMemoryParameters(width=layout.size, depth=credits)
            bits += memory.storage_bits + 2 * memory.address_bits + 3 * credits.bit_length()
            bits += layout.size + 4
        return bits + drs_header_layout().size + 1 + 512 + _PARITY_BITS + ndr_header_layout().size


def _receiving(prefix: str, header: data.StructLayout, more: dict | None = None) -> dict:
    """Members of a channel on which messages come in."""
    ins = {"is_valid": 1, "protocol_id": 4, "vc_id": 4, "shared_credit": 1, "header": header}
    ins |= {"cmd_parity": 1, **(more or {}), "txblock_crd_flow": 1}
    outs = {"rxcrd_valid": 1, "rxcrd_protocol_id": 4, "rxcrd_vc_id": 4, "rxcrd_shared": 1}
    return {f"{prefix}_{name}": In(shape) for name, shape in ins.items()} | {
        f"{prefix}_{name}": Out(shape) for name, shape in {"block": 1, **outs}.items()
    }


def _sending(prefix: str, header: data.StructLayout, more: dict | None = None) -> dict:
    """Members of a channel on which messages leave."""
    outs = {"is_valid": 1, "early_valid": 1, "protocol_id": 4, "vc_id": 4, "shared_credit": 1}
    outs |= {"header": header, "cmd_parity": 1, **(more or {}), "txblock_crd_flow": 1}
    ins = {"rxcrd_valid": 1, "rxcrd_protocol_id": 4, "rxcrd_vc_id": 4, "rxcrd_shared": 1}
    return {f"{prefix}_{name}": Out(shape) for name, shape in outs.items()} | {
        f"{prefix}_{name}": In(shape) for name, shape in {"block": 1, **ins}.items()
    }


def _member(component: wiring.Component, prefix: str, name: str) -> Signal:
    return getattr(component, f"{prefix}_{name}")


_BODY = {"body": 512, "poison": 1, "parity": _PARITY_BITS}


class Cpi(wiring.Component):
    """Takes messages from CPI's channels to streams and back, and keeps account of credits.

    Members
    -------
    f2a_req_*, f2a_data_* : channels of Req and RwD, from the link layer
    a2f_data_*, a2f_rsp_* : channels of DRS and NDR, towards it
    f2a_txcon_req, f2a_rxcon_ack, f2a_rx_empty : the link layer connects
    a2f_txcon_req, a2f_rxcon_ack : we connect
    o_req, o_rwd : Out(streams of m2s_req_layout, m2s_rwd_layout)
    i_drs, i_ndr : In(streams of s2m_drs_layout, s2m_ndr_layout)
    violations : Out(16)
        Messages that were dropped, credits that could not be counted, up to the largest number.
    fatal : Out
        There was one.

    Timing: a message a cycle on every channel as long as there are credits; ``block`` and
    ``txblock_crd_flow`` act in the next cycle.

    Dropped: what comes without a credit, on a shared credit, for another protocol or virtual
    channel, or with wrong parity of header or address. Wrong parity of data is poison.

    Source: the CXL-cache/mem protocol interface, as far as a device without caches needs it.
    """

    def __init__(self, parameters: CpiParameters):
        self.parameters = parameters
        super().__init__(
            {
                **_receiving("f2a_req", req_header_layout()),
                **_receiving("f2a_data", rwd_header_layout(), {**_BODY, "byte_enable": 64}),
                **_sending("a2f_data", drs_header_layout(), _BODY),
                **_sending("a2f_rsp", ndr_header_layout()),
                "f2a_txcon_req": In(1),
                "f2a_rxcon_ack": Out(1),
                "f2a_rx_empty": Out(1),
                "a2f_txcon_req": Out(1),
                "a2f_rxcon_ack": In(1),
                "o_req": Out(stream.Signature(m2s_req_layout())),
                "o_rwd": Out(stream.Signature(m2s_rwd_layout())),
                "i_drs": In(stream.Signature(s2m_drs_layout())),
                "i_ndr": In(stream.Signature(s2m_ndr_layout())),
                "violations": Out(16),
                "fatal": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.req = req = CreditReceiver(m2s_req_layout(), p.req_credits)
        m.submodules.rwd = rwd = CreditReceiver(m2s_rwd_layout(), p.data_credits)
        m.submodules.drs = drs = CreditSender(s2m_drs_layout())
        m.submodules.ndr = ndr = CreditSender(s2m_ndr_layout())
        self._receive(m, "f2a_req", req, self.o_req)
        self._receive(m, "f2a_data", rwd, self.o_rwd)
        self._send(m, "a2f_data", drs, self.i_drs)
        self._send(m, "a2f_rsp", ndr, self.i_ndr)
        body, wrong, odd, poison = self.f2a_data_body, Signal(4), Signal(_PARITY_BITS), Signal()
        parity = Cat(body.word_select(n, 64).xor() for n in range(_PARITY_BITS))
        m.d.sync += [
            rwd.payload.data.eq(body),
            rwd.payload.byte_enable.eq(self.f2a_data_byte_enable),
            odd.eq(parity ^ self.f2a_data_parity),
            poison.eq(self.f2a_data_poison),
            self.f2a_rxcon_ack.eq(self.f2a_txcon_req),
            self.a2f_txcon_req.eq(1),
            wrong.eq(Cat(part.wrong for part in (req, rwd, drs, ndr))),
        ]
        sent = drs.payload.data
        m.d.comb += [
            rwd.payload.poison.eq(poison | odd.any()),
            self.a2f_data_body.eq(sent),
            self.a2f_data_poison.eq(drs.payload.poison),
            self.a2f_data_parity.eq(Cat(sent.word_select(n, 64).xor() for n in range(8))),
            self.f2a_rx_empty.eq(req.empty & rwd.empty),
            self.fatal.eq(self.violations != 0),
        ]
        after = self.violations + ((wrong[0] + wrong[1]) + (wrong[2] + wrong[3]))
        m.d.sync += self.violations.eq(Mux(after[16:].any(), 0xFFFF, after))
        return m

    def _receive(self, m, prefix, receiver, out):
        """A register, then what can be seen of a message that is not to be taken."""
        port = functools.partial(_member, self, prefix)
        header = port("header")
        wiring.connect(m, receiver.o, wiring.flipped(out))
        address = header.addr
        halves = Cat(address[::2].xor(), address[1::2].xor())
        same = halves if len(header.addr_parity) == 2 else address.xor()
        m.d.sync += [
            receiver.valid.eq(port("is_valid")),
            receiver.good.eq(
                (port("protocol_id") == self.parameters.protocol_id)
                & (port("vc_id") == 0)
                & ~port("shared_credit")
                & (port("cmd_parity") == header.as_value().xor())
                & (header.addr_parity == same)
            ),
        ]
        for name, _ in receiver.payload.shape():
            if name in dict(header.shape()):
                m.d.sync += receiver.payload[name].eq(header[name])
        m.d.comb += [
            receiver.connected.eq(self.f2a_txcon_req & self.f2a_rxcon_ack),
            receiver.block.eq(port("txblock_crd_flow")),
            port("rxcrd_valid").eq(receiver.credit),
            port("rxcrd_protocol_id").eq(self.parameters.protocol_id),
        ]

    def _send(self, m, prefix, sender, source):
        port = functools.partial(_member, self, prefix)
        header = port("header")
        wiring.connect(m, wiring.flipped(source), sender.i)
        ours = port("rxcrd_protocol_id") == self.parameters.protocol_id
        ours &= (port("rxcrd_vc_id") == 0) & ~port("rxcrd_shared")
        m.d.comb += [
            sender.credit.eq(port("rxcrd_valid") & ours),
            sender.block.eq(port("block")),
            sender.connected.eq(self.a2f_txcon_req & self.a2f_rxcon_ack),
            port("early_valid").eq(sender.early),
            port("is_valid").eq(sender.valid),
            port("protocol_id").eq(self.parameters.protocol_id),
            port("cmd_parity").eq(header.as_value().xor()),
        ]
        for name, _ in header.shape():
            if name != "flit_mode":
                m.d.comb += header[name].eq(sender.payload[name])
