"""Following messages through the store's device: where one of a tag can be, and that it is there.

One bit of the tag tells the followed messages from all others; which value it has is free, as all
other bits are. The device moves all bits alike, so that what holds for this bit holds for "is the
followed tag". A host never sends a tag of which an answer is due: reads by themselves, writes and
invalidations too.
"""

from types import SimpleNamespace

from amaranth.hdl import Cat, Mux, Signal

from lamina.formats.cxl import ReqOpcode, RwdOpcode
from lamina.store.device import Device, DeviceParameters
from lamina.store.device_answers import DeviceAnswers
from tb.opened import Opened
from tb.prover import Harness
from tb.stream_rules import holds

#: Stages from a message accepted to its read or write leaving the lookup of blocks: before the
#: slice in which the lookup of views ends, and behind it.
EARLY, LATE = 4, 2


class SmallParameters(DeviceParameters):
    """Of a device for proofs: smaller than users may ask for."""

    def __post_init__(self):
        pass


SMALL = SmallParameters(
    address_bits=24,
    device_bits=30,
    views=2,
    decoders=1,
    poison_entries=2,
    blocks=4,
    reads=4,
    streams=1,
    write_blocks=2,
    writes=4,
)


def taken(stream):
    """A beat of ``stream`` is taken."""
    return stream.valid & stream.ready


def seen(stream):
    """Return ``stream`` with the lowest byte of its data: all others go the same way."""
    fields = ((name, stream.p[name]) for name, _ in stream.payload.shape())
    payload = Cat(value[:8] if name == "data" else value for name, value in fields)
    return SimpleNamespace(payload=payload, valid=stream.valid, ready=stream.ready)


def pins(port, prefix):
    """Return the flat pins of an AXI4-Lite channel as a stream."""
    names = [name for name in port.signature.members if name.startswith(prefix)]
    payload = Cat(getattr(port, name) for name in names if not name.endswith(("valid", "ready")))
    ends = {end: getattr(port, f"{prefix}{end}") for end in ("valid", "ready")}
    return SimpleNamespace(payload=payload, **ends)


class FollowedDevice:
    """A whole device whose ports are free, with the messages of one tag in view.

    ``parts``: names of parts to be seen; ``cut``: of those to be taken out. ``read``, ``write``,
    ``invalidate``: a followed message is accepted.
    """

    def __init__(self, h, parts, cut):
        self.h, self.mark = h, h.constant("mark")
        self.dut = Device(SMALL)
        h.m.submodules.dut = whole = Opened(h, self.dut)
        self.parts = [whole.part(path) for path in parts]
        self.cut = whole.cut(*cut)
        whole.free_inputs()
        req, rwd = self.dut.i_req, self.dut.i_rwd
        opcode, written = req.p.mem_opcode, rwd.p.mem_opcode
        reads = (opcode == ReqOpcode.MEM_RD) | (opcode == ReqOpcode.MEM_RD_DATA)
        invalidates = (opcode == ReqOpcode.MEM_INV) | (opcode == ReqOpcode.MEM_INV_NT)
        writes = (written == RwdOpcode.MEM_WR) | (written == RwdOpcode.MEM_WR_PTL)
        self.read, self.write, self.invalidate = Signal(), Signal(), Signal()
        h.m.d.comb += [
            self.read.eq(taken(req) & reads & self.mine(req.p)),
            self.invalidate.eq(taken(req) & invalidates & self.mine(req.p)),
            self.write.eq(taken(rwd) & writes & self.mine(rwd.p)),
        ]

    def mine(self, payload):
        """``payload`` has the followed tag."""
        return payload.tag[0] == self.mark

    def line(self, payload):
        """It is also not a line that the device reads for itself."""
        return self.mine(payload) & ~payload.internal

    def stages(self, enters, views, blocks, followed):
        """Return where a message is that ``enters``: in the stages before the slice, how many are
        in that, in the stages behind it, and whether it has just left them.

        ``views``, ``blocks``: the two lookups; ``followed``: tells such messages.
        """
        m, early, late, last = self.h.m, Signal(EARLY), Signal(LATE), Signal()
        between, comes, goes = Signal(2), Signal(), Signal()
        m.d.comb += [
            comes.eq(early[-1] & views.advance),
            goes.eq(taken(views.o) & followed(views.o.p.message)),
        ]
        with m.If(views.advance):
            m.d.sync += early.eq(Cat(enters, early))
        with m.If(blocks.advance):
            m.d.sync += late.eq(Cat(goes, late))
        m.d.sync += [between.eq(between + comes - goes), last.eq(late[-1] & blocks.advance)]
        self.h.forbid(views.o.valid & followed(views.o.p.message) & (between == 0))
        return early, between, late, last

    def place(self, enter, leave):
        """Return: a message has entered, and not left."""
        place = Signal()
        self.h.m.d.sync += place.eq((place | enter) & ~leave)
        return place

    def answered_once(self, sent, answered, places):
        """Forbid that a message ``sent`` is in no place, or in two, until it is ``answered``."""
        h, due, places = self.h, Signal(), Cat(places)
        h.m.d.sync += due.eq((due | sent) & ~answered)
        h.assume(~(sent & due))
        h.forbid(answered & ~due)
        h.forbid(due != places.any())
        h.forbid((places & (places - 1)[: len(places)]).any())
        h.cover(answered)


def overtaken(h, place, other, most):
    """Forbid that more than ``most`` others leave while a message is in ``place``."""
    count = Signal(range(most + 2))
    h.m.d.sync += count.eq(Mux(place, Mux(count > most, count, count + other), 0))
    h.forbid(count > most)


def open_part(component):
    """Return a harness around one part with free inputs, and the part opened.

    The queues in which lines end are taken out: they offer again what was not taken.
    """
    h = Harness()
    h.m.submodules.dut = part = Opened(h, component)
    if isinstance(component, DeviceAnswers):
        for queue in part.cut("direct", "formed"):
            h.assume(holds(h, seen(queue.o)))
    part.free_inputs()
    return h, part
