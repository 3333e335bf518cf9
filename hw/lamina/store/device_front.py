"""Where messages enter the device: one a cycle, in turn, through the HDM decoders."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.cxl import (
    LINE_ADDRESS_BITS,
    ReqOpcode,
    RwdOpcode,
    m2s_req_layout,
    m2s_rwd_layout,
)
from lamina.formats.views import message_layout

__all__ = ["DECODER_LINES_BITS", "DeviceFront", "decoder_members", "response_layout"]

#: log2 of the lines in the grain of HDM decoders: 256 MiB.
DECODER_LINES_BITS = 22
#: log2 of the cycles that a pause of the host is remembered.
_LATELY_BITS = 6

_GRAIN_BITS = LINE_ADDRESS_BITS - DECODER_LINES_BITS


def decoder_layout() -> data.StructLayout:
    """Return an HDM decoder at work, in grains: host addresses from ``first`` to before ``limit``.

    ``delta`` is added to get the device's own.
    """
    return data.StructLayout(
        {
            "enable": unsigned(1),
            "first": unsigned(_GRAIN_BITS),
            "limit": unsigned(_GRAIN_BITS + 1),
            "delta": unsigned(_GRAIN_BITS),
        }
    )


def decoder_members(count: int, flow) -> dict:
    """Return the members ``decoder_0`` and so on."""
    return {f"decoder_{n}": flow(decoder_layout()) for n in range(count)}


def response_layout() -> data.StructLayout:
    """Return what is reflected in a Cmp."""
    return data.StructLayout({"tag": unsigned(16), "ld_id": unsigned(4)})


class DeviceFront(wiring.Component):
    """Takes requests, writes and internal reads in turn, and maps their addresses.

    Parameters: `DeviceParameters`.

    Members
    -------
    req, rwd : In(streams)
    internal : In(stream of line addresses)
        Reads that partial writes need; they go first.
    ask, ask_line : In; asked : Out
        A block to be fetched for reads to come. It goes when nothing else does; or before others,
        as long as there has been such a cycle lately: a host that pauses waits for lines, one that
        never does would only lose a cycle.
    data : Out(stream)
        Data and byte enables of the writes, in order; a write is taken only when they are.
    invalidated : Out(stream of response_layout)
        MemInv and MemInvNT, which do nothing but get an answer.
    o, o_line, o_mapped, o_valid : Out
        `message_layout` two stages behind: ``o_line`` is the device's own line address.
    advance : In
        Moves the stages and lets messages in.
    read, write, invalidate, malformed : Out
        Pulses: a message of that kind was taken.
    decoder_* : In
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "req": In(stream.Signature(m2s_req_layout())),
                "rwd": In(stream.Signature(m2s_rwd_layout())),
                "internal": In(stream.Signature(LINE_ADDRESS_BITS)),
                "ask": In(1),
                "ask_line": In(LINE_ADDRESS_BITS),
                "asked": Out(1),
                "data": Out(stream.Signature(p.payload_layout)),
                "invalidated": Out(stream.Signature(response_layout())),
                "o": Out(message_layout()),
                "o_line": Out(p.device_line_bits),
                "o_mapped": Out(1),
                "o_valid": Out(1),
                "advance": In(1),
                **decoder_members(p.decoders, In),
                "read": Out(1),
                "write": Out(1),
                "invalidate": Out(1),
                "malformed": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        message, enter = Signal(message_layout()), Signal()
        # All addresses are compared before one is chosen: the choice is known late.
        decoded = Signal(self.parameters.decoders)
        self._take(m, message, decoded, enter)
        first, first_valid = Signal(message_layout()), Signal()
        inside = Signal(self.parameters.decoders)
        with m.If(self.advance):
            m.d.sync += [first.eq(message), first_valid.eq(enter), inside.eq(decoded)]
            m.d.sync += [self.o.eq(first), self.o_valid.eq(first_valid)]
            self._map(m, first, inside)
        return m

    def _inside(self, line):
        """Return a bit for each decoder that covers an address."""
        grain = line[DECODER_LINES_BITS:]
        decoders = [getattr(self, f"decoder_{n}") for n in range(self.parameters.decoders)]
        return Cat(d.enable & (grain >= d.first) & (grain < d.limit) for d in decoders)

    def _take(self, m, message, decoded, enter):
        """Choose one of the three inputs; reads and writes take turns."""
        req, rwd = self.req.p, self.rwd.p
        writes_next, write_waits = Signal(), Signal()
        take_req, take_rwd, is_read, is_inv = Signal(), Signal(), Signal(), Signal()
        is_write, first, pause = Signal(), Signal(), Signal()
        left, lately = Signal(_LATELY_BITS), Signal()
        m.d.comb += [
            write_waits.eq(self.rwd.valid & self.data.ready),
            pause.eq(~self.req.valid & ~write_waits),
            first.eq(self.internal.valid | (self.ask & lately)),
            self.internal.ready.eq(self.advance),
            self.req.ready.eq(
                self.advance & self.invalidated.ready & ~first & ~(write_waits & writes_next)
            ),
            self.rwd.ready.eq(
                self.advance
                & self.data.ready
                & ~first
                & (writes_next | ~(self.req.valid & self.invalidated.ready))
            ),
            self.asked.eq(self.advance & self.ask & ~self.internal.valid & (lately | pause)),
            take_req.eq(self.req.valid & self.req.ready),
            take_rwd.eq(self.rwd.valid & self.rwd.ready),
            is_read.eq(
                (req.mem_opcode == ReqOpcode.MEM_RD) | (req.mem_opcode == ReqOpcode.MEM_RD_DATA)
            ),
            is_inv.eq(
                (req.mem_opcode == ReqOpcode.MEM_INV) | (req.mem_opcode == ReqOpcode.MEM_INV_NT)
            ),
            is_write.eq(
                (rwd.mem_opcode == RwdOpcode.MEM_WR) | (rwd.mem_opcode == RwdOpcode.MEM_WR_PTL)
            ),
            self.read.eq(take_req & is_read),
            self.invalidate.eq(take_req & is_inv),
            self.write.eq(take_rwd & is_write),
            self.malformed.eq(
                (take_req & ~is_read & ~is_inv & (req.mem_opcode != ReqOpcode.MEM_SPEC_RD))
                | (take_rwd & ~is_write)
            ),
            self.invalidated.valid.eq(self.invalidate),
            self.invalidated.p.tag.eq(req.tag),
            self.invalidated.p.ld_id.eq(req.ld_id),
            self.data.valid.eq(self.write),
            self.data.p.data.eq(rwd.data),
            self.data.p.byte_enable.eq(rwd.byte_enable),
            enter.eq(self.read | self.write | (self.internal.valid & self.advance) | self.asked),
        ]
        with m.If(pause):
            m.d.sync += [left.eq(~0), lately.eq(1)]
        with m.Elif(lately):
            m.d.sync += [left.eq(left - 1), lately.eq(left != 1)]
        with m.If(take_req | take_rwd):
            m.d.sync += writes_next.eq(take_req)
        with m.If(self.internal.valid):
            m.d.comb += [
                message.internal.eq(1),
                message.line.eq(self.internal.payload),
                decoded.eq(self._inside(self.internal.payload)),
            ]
        with m.Elif(take_rwd):
            m.d.comb += [
                message.write.eq(1),
                message.partial.eq(
                    (rwd.mem_opcode == RwdOpcode.MEM_WR_PTL) & ~rwd.byte_enable.all()
                ),
                message.poison.eq(rwd.poison),
                message.tag.eq(rwd.tag),
                message.ld_id.eq(rwd.ld_id),
                message.line.eq(rwd.addr),
                decoded.eq(self._inside(rwd.addr)),
            ]
        with m.Elif(self.asked):
            m.d.comb += [
                message.prefetch.eq(1),
                message.line.eq(self.ask_line),
                decoded.eq(self._inside(self.ask_line)),
            ]
        with m.Else():
            m.d.comb += [
                message.tag.eq(req.tag),
                message.ld_id.eq(req.ld_id),
                message.line.eq(req.addr),
                decoded.eq(self._inside(req.addr)),
            ]

    def _map(self, m, message, inside):
        """Second stage: the device's own address."""
        delta, grain = Signal(_GRAIN_BITS), Signal(_GRAIN_BITS)
        for n in range(self.parameters.decoders):
            with m.If(inside[n]):
                m.d.comb += delta.eq(getattr(self, f"decoder_{n}").delta)
        m.d.comb += grain.eq(message.line[DECODER_LINES_BITS:] + delta)
        high = self.parameters.device_line_bits - DECODER_LINES_BITS
        m.d.sync += [
            self.o_line.eq(Cat(message.line[:DECODER_LINES_BITS], grain)),
            self.o_mapped.eq(Mux(grain[high:].any(), 0, inside.any())),
        ]
