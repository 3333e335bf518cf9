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
        A block to be fetched for reads to come. It goes before the host's messages, as long as
        there has been a cycle lately in which the host sent none: one that pauses waits for lines,
        one that never does would only lose a cycle.
    data : Out(stream)
        Data and byte enables of the writes, in order; a write is taken only when they are.
    invalidated : Out(stream of response_layout)
        MemInv and MemInvNT, which do nothing but get an answer.
    o, o_line, o_mapped, o_valid : Out
        `message_layout` two stages behind: ``o_line`` is the device's own line address.
    advance, goes : In
        Moves the stages, and lets messages in: the same, from two registers.
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
                "goes": In(1),
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
        # A read of the device's own, and that there is none: so the host's messages go.
        own, own_valid, host = Signal(message_layout()), Signal(), Signal(init=1)
        self._own(m, own, own_valid, host)
        self._take(m, message, enter, own, own_valid, host)
        first, first_valid = Signal(message_layout()), Signal()
        # All addresses are compared: which of them goes is known late.
        lines = {"own": own.line, "rwd": self.rwd.p.addr, "req": self.req.p.addr}
        inside = {name: Signal(self.parameters.decoders, name=f"inside_{name}") for name in lines}
        taken = Mux(first.write, inside["rwd"], inside["req"])
        with m.If(self.advance):
            m.d.sync += [inside[name].eq(self._inside(line)) for name, line in lines.items()]
            m.d.sync += [first.eq(message), first_valid.eq(enter)]
            m.d.sync += [self.o.eq(first), self.o_valid.eq(first_valid)]
            self._map(m, first, Mux(first.internal | first.prefetch, inside["own"], taken))
        return m

    def _inside(self, line):
        """Return a bit for each decoder that covers an address."""
        grain = line[DECODER_LINES_BITS:]
        decoders = [getattr(self, f"decoder_{n}") for n in range(self.parameters.decoders)]
        return Cat(d.enable & (grain >= d.first) & (grain < d.limit) for d in decoders)

    def _own(self, m, own, valid, host):
        """Keep the next read of the device's own in a register: the host then sees that it goes."""
        pause, left, lately = Signal(), Signal(_LATELY_BITS), Signal()
        m.d.comb += [
            self.internal.ready.eq(self.goes | ~valid),
            self.asked.eq(self.internal.ready & self.ask & lately & ~self.internal.valid),
        ]
        m.d.sync += pause.eq(~self.req.valid & ~(self.rwd.valid & self.data.ready))
        with m.If(pause):
            m.d.sync += [left.eq(~0), lately.eq(1)]
        with m.Elif(lately):
            m.d.sync += [left.eq(left - 1), lately.eq(left != 1)]
        with m.If(self.internal.ready):
            m.d.sync += [
                valid.eq(self.internal.valid | self.asked),
                host.eq(~(self.internal.valid | self.asked)),
                own.internal.eq(self.internal.valid),
                own.prefetch.eq(~self.internal.valid),
                own.line.eq(Mux(self.internal.valid, self.internal.payload, self.ask_line)),
            ]

    def _take(self, m, message, enter, own, own_valid, host):
        """Choose what goes: a read of the device's own first; reads and writes take turns."""
        req, rwd = self.req.p, self.rwd.p
        writes_next, reads_wait, writes_wait = Signal(), Signal(), Signal()
        take_req, take_rwd, is_read, is_inv = Signal(), Signal(), Signal(), Signal()
        is_write, write = Signal(), Signal()
        m.d.comb += [
            reads_wait.eq(self.req.valid & self.invalidated.ready),
            writes_wait.eq(self.rwd.valid & self.data.ready),
            # Of the host's, a write is next.
            write.eq(Mux(writes_next, writes_wait, ~reads_wait)),
            self.req.ready.eq(
                self.goes & host & self.invalidated.ready & ~(writes_wait & writes_next)
            ),
            self.rwd.ready.eq(self.goes & host & self.data.ready & (writes_next | ~reads_wait)),
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
            enter.eq(self.read | self.write | own_valid),  # for nothing, if nothing moves
        ]
        with m.If(take_req | take_rwd):
            m.d.sync += writes_next.eq(take_req)
        m.d.comb += [
            message.write.eq(write & ~own_valid),
            message.internal.eq(own_valid & own.internal),
            message.prefetch.eq(own_valid & own.prefetch),
            # Of a write.
            message.partial.eq((rwd.mem_opcode == RwdOpcode.MEM_WR_PTL) & ~rwd.byte_enable.all()),
            message.poison.eq(rwd.poison),
            # Of a host's message.
            message.tag.eq(Mux(write, rwd.tag, req.tag)),
            message.ld_id.eq(Mux(write, rwd.ld_id, req.ld_id)),
            message.line.eq(Mux(own_valid, own.line, Mux(write, rwd.addr, req.addr))),
        ]

    def _map(self, m, message, inside):
        """Second stage: the device's own address, of all decoders before one is chosen."""
        grain, mapped = Signal(_GRAIN_BITS), Signal()
        high = self.parameters.device_line_bits - DECODER_LINES_BITS
        for n in range(self.parameters.decoders):
            own = Signal(_GRAIN_BITS, name=f"grain_{n}")
            delta = getattr(self, f"decoder_{n}").delta
            m.d.comb += own.eq(message.line[DECODER_LINES_BITS:] + delta)
            with m.If(inside[n]):
                m.d.comb += mapped.eq(~own[high:].any())
            with m.If(inside[n] | (n == 0)):
                m.d.comb += grain.eq(own)
        m.d.sync += [
            self.o_line.eq(Cat(message.line[:DECODER_LINES_BITS], grain)),
            self.o_mapped.eq(mapped),
        ]
