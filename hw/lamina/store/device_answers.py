"""Where lines become S2M DRS and responses S2M NDR."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.copies import chosen, copies
from lamina.formats.cxl import DrsOpcode, MetaField, NdrOpcode, s2m_drs_layout, s2m_ndr_layout
from lamina.formats.views import line_layout
from lamina.store.device_front import response_layout
from lamina.stream.arbiter import Arbiter, ArbiterParameters
from lamina.stream.booked import BookedQueue, BookedQueueParameters

__all__ = ["LINES_BOOKED", "DeviceAnswers"]

#: Places for direct lines, which hold theirs for three cycles, and for formed ones, which hold it
#: for those of the former too.
LINES_BOOKED = (4, 16)

#: Registers that choose between both, each for some bits of a line.
_CHOICES = 4


class DeviceAnswers(wiring.Component):
    """Joins the two ways of lines, sends internal ones back, and dresses all as messages.

    Parameters: `DeviceParameters`.

    Members
    -------
    line, formed : In(streams of line_layout)
    line_booked, formed_booked, line_room, formed_room
        Both are `BookedQueue`'s. Internal lines are not booked.
    internal : Out(stream of line_layout)
        Lines that partial writes asked for, of ``formed``, one at a time, a cycle later: always
        taken.
    finished, dropped, invalidated : In(streams of response_layout)
    load : In
        How full the device is, 0 to 3, as DevLoad says it.
    drs, ndr : Out(streams)
    poisoned : Out
        Pulse: a poisoned line left.
    """

    def __init__(self, parameters):
        self.parameters = parameters
        response, line = stream.Signature(response_layout()), stream.Signature(line_layout())
        super().__init__(
            {
                "line": In(line),
                "line_booked": In(1),
                "line_room": Out(1),
                "formed": In(line),
                "formed_booked": In(1),
                "formed_room": Out(1),
                "internal": Out(line),
                "finished": In(response),
                "dropped": In(response),
                "invalidated": In(response),
                "load": In(2),
                "drs": Out(stream.Signature(s2m_drs_layout())),
                "ndr": Out(stream.Signature(s2m_ndr_layout())),
                "poisoned": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        direct, formed = self._lines(m)
        # What is offered stays offered: a choice holds until it is taken. It is a register, so that
        # a direct line loses nothing where there are no formed ones. Lines of both ways take turns:
        # formed lines may come in every cycle, for ever.
        choice, following, stalled = Signal(), Signal(), Signal()
        shown = copies(m, "choice", [following], Const(1), _CHOICES)
        line = self.internal.payload.shape()(chosen(shown, formed.payload, direct.payload))
        m.d.comb += [
            stalled.eq(self.drs.valid & ~self.drs.ready),
            following.eq(Mux(stalled, choice, formed.valid & ~(choice & direct.valid))),
            self.drs.valid.eq(Mux(choice, formed.valid, direct.valid)),
            direct.ready.eq(self.drs.ready & ~choice),
            formed.ready.eq(self.drs.ready & choice),
            self.drs.p.opcode.eq(Mux(line.unmapped, DrsOpcode.MEM_DATA_NXM, DrsOpcode.MEM_DATA)),
            self.drs.p.meta_field.eq(MetaField.NO_OP),
            self.drs.p.tag.eq(line.tag),
            self.drs.p.ld_id.eq(line.ld_id),
            self.drs.p.poison.eq(line.poison),
            self.drs.p.data.eq(line.data),
            self.poisoned.eq(self.drs.valid & self.drs.ready & line.poison),
        ]
        m.d.sync += choice.eq(following)
        load = Signal(2)
        with m.If(~stalled):
            m.d.sync += load.eq(self.load)
        m.d.comb += self.drs.p.dev_load.eq(load)
        self._respond(m)
        return m

    def _lines(self, m):
        """Take both ways of lines where they end; return them as streams, but for those that the
        device reads for itself.
        """
        shape = line_layout()
        m.submodules.direct = direct = BookedQueue(
            BookedQueueParameters(shape=shape, depth=LINES_BOOKED[0], early=True)
        )
        m.submodules.formed = formed = BookedQueue(
            BookedQueueParameters(shape=shape, depth=LINES_BOOKED[1])
        )
        m.d.comb += [
            self.line.ready.eq(1),
            direct.i.valid.eq(self.line.valid),
            direct.i.payload.eq(self.line.payload),
            self.formed.ready.eq(1),
            formed.i.valid.eq(self.formed.valid & ~self.formed.p.internal),
            formed.i.payload.eq(self.formed.payload),
            direct.booked.eq(self.line_booked),
            self.line_room.eq(direct.room),
            formed.booked.eq(self.formed_booked),
            self.formed_room.eq(formed.room),
        ]
        m.d.sync += [
            self.internal.valid.eq(self.formed.valid & self.formed.p.internal),
            self.internal.payload.eq(self.formed.payload),
        ]
        return direct.o, formed.o

    def _respond(self, m):
        m.submodules.responses = responses = Arbiter(
            ArbiterParameters(shape=response_layout(), inputs=3)
        )
        for n, source in enumerate((self.finished, self.dropped, self.invalidated)):
            wiring.connect(m, wiring.flipped(source), getattr(responses, f"i_{n}"))
        load = Signal(2)
        with m.If(~(self.ndr.valid & ~self.ndr.ready)):
            m.d.sync += load.eq(self.load)
        m.d.comb += [
            self.ndr.valid.eq(responses.o.valid),
            responses.o.ready.eq(self.ndr.ready),
            self.ndr.p.opcode.eq(NdrOpcode.CMP),
            self.ndr.p.meta_field.eq(MetaField.NO_OP),
            self.ndr.p.tag.eq(responses.o.p.tag),
            self.ndr.p.ld_id.eq(responses.o.p.ld_id),
            self.ndr.p.dev_load.eq(load),
        ]
