"""Proofs for the store's device: one answer for every message, and the stream contract.

Data, tables, software's registers and the memory are free: whatever views there are, whatever
memory sends and when, these hold. So they do not say that an answer comes in time.
"""

from types import SimpleNamespace

import pytest
from amaranth.hdl import Cat, Const, Mux, Signal

from lamina.bus.axi4_lite import AxiLitePort
from lamina.store.block_fetch import BlockFetch
from lamina.store.device_answers import DeviceAnswers
from lamina.store.device_writes import DeviceWrites
from lamina.store.register_map import ADDRESS_BITS
from lamina.store.write_gather import WriteGather
from lamina.store.write_issue import WriteIssue
from tb.opened import Opened
from tb.prover import Harness
from tb.store.device_rules import SMALL, FollowedDevice, overtaken, taken
from tb.stream_rules import holds, in_order

#: What no proof of the whole device needs: tables, registers, data, the traffic with memory.
_FREE = (
    *("views", "poison", "registers", "reads.planes", "reads.fetch", "reads.fill"),
    *("reads.locator", "reads.prefetch", "reads.starts", "reads.errors", "reads.lines"),
    "reads.lookup.keeper",
)


def open_part(component):
    """Return a harness around one part with free inputs, and the part opened."""
    h = Harness()
    h.m.submodules.dut = part = Opened(h, component)
    part.free_inputs()
    return h, part


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


def channels(component):
    """Return the streams with which a part drives ports of the device."""
    if isinstance(component, AxiLitePort):
        return [pins(component, "s_axil_b"), pins(component, "s_axil_r")]
    names = {DeviceAnswers: ("drs", "ndr"), BlockFetch: ("ar",), WriteIssue: ("aw", "w")}
    return [seen(getattr(component, name)) for name in names[type(component)]]


@pytest.mark.parametrize("kind", [WriteIssue, DeviceAnswers, BlockFetch, AxiLitePort])
def test_what_is_offered_stays_offered(kind):
    """On every output port of the device, whatever the inputs of the part that drives it do."""
    h, part = open_part(kind(ADDRESS_BITS if kind is AxiLitePort else SMALL))
    for channel in channels(part.component):
        h.forbid(~holds(h, channel))
        h.cover(taken(channel) & h.earlier(channel.valid & ~channel.ready))
    assert h.check() is None


def test_every_read_gets_one_drs():
    """A DRS of its tag for each read, none else; no other message makes one.

    The queue of waiting reads is taken out: it gives what it got, as `test_queue` shows.
    """
    h = Harness()
    parts = ("front", "lookup", "reads", "reads.reader", "reads.former", "answers")
    cut = (*_FREE, "writes", "invalidated", "reads.waiting")
    device = FollowedDevice(h, parts, cut)
    front, lookup, reads, reader, former, answers = device.parts
    waiting, drs, mine, line = device.cut[-1], device.dut.o_drs, device.mine, device.line
    stages = device.stages(device.read, reads.advance)
    for stage, valid, message in (
        (1, front.o_valid, front.o),
        (4, lookup.o_valid, lookup.o.message),
    ):
        h.forbid(stages[stage] != (valid & line(message) & ~message.write & ~message.prefetch))
    enters = taken(waiting.i) & line(waiting.i.p)
    h.forbid(enters != (stages[5] & reads.advance))
    begins = taken(waiting.o) & line(waiting.o.p)
    queued = device.place(enters, begins)
    h.assume(queued | ~(waiting.o.valid & line(waiting.o.p)))

    # The reader makes lines, or pieces of lines; the last piece of a line stands for it.
    direct = taken(reader.line) & line(reader.line.p)
    pieces = taken(reader.piece) & reader.piece.p.last
    formed = pieces & line(reader.piece.p)
    in_reader = device.place(begins, direct | formed)
    for offered in (reader.line, reader.piece):
        h.forbid(offered.valid & line(offered.p) & ~in_reader)
    heading = Signal()
    with h.m.If(waiting.o.ready):
        h.m.d.sync += heading.eq(begins)
    others = (taken(reader.line) & ~line(reader.line.p)) | (pieces & ~line(reader.piece.p))
    overtaken(h, in_reader & ~heading, others, 1)

    ranks = Signal(former.LATENCY)
    with h.m.If(former.i.ready):
        h.m.d.sync += ranks.eq(Cat(formed, ranks))
    h.forbid(ranks[-1] != (former.o.valid & line(former.o.p)))
    made = taken(former.o) & line(former.o.p)
    in_former = device.place(formed, made)

    answered = taken(drs) & mine(drs.p)
    in_answers = device.place(direct | made, answered)
    h.forbid(drs.valid & mine(drs.p) & ~in_answers)
    # A partial write is ready for its line; lines of the two ways take turns.
    h.assume(answers.internal.ready)
    overtaken(h, in_answers, taken(drs) & ~mine(drs.p), 3)

    places = [stages[:6], queued, in_reader, in_former, in_answers]
    device.answered_once(device.read, answered, places)
    h.cover(taken(reader.line) & ~direct)
    h.cover(taken(former.o))
    assert h.check() is None


def test_every_write_gets_one_cmp():
    """A Cmp of its tag for each write and invalidation, none else; no write finds its queue full.

    Gathering and finishing writes, and the queue of invalidations, are taken out: they answer once
    what they got, as is shown below.
    """
    h = Harness()
    parts = ("front", "lookup", "reads", "reads.lookup", "writes", "writes.orders")
    former = ("reads.waiting", "reads.reader", "reads.former")
    inner = ("gather", "issue", "finish", "planes", "tags", "staged_0", "staged_1", "expected")
    cut = (*_FREE, *former, *(f"writes.{name}" for name in inner), "invalidated")
    device = FollowedDevice(h, (*parts, "writes.payloads"), cut)
    front, lookup, reads, blocks, writes, orders, payloads = device.parts
    invalidated, mine, ndr = device.cut[-1], device.mine, device.dut.o_ndr
    stages = device.stages(device.write, reads.advance)
    written = device.stages(taken(front.data), reads.advance)
    for stage, valid, message in (
        (1, front.o_valid, front.o),
        (4, lookup.o_valid, lookup.o.message),
        (6, blocks.o_valid, blocks.o.message),
    ):
        h.forbid(stages[stage] != (valid & message.write & mine(message)))
        h.forbid(written[stage] != (valid & message.write))
    h.forbid(stages[7] != (writes.i_valid & mine(writes.i.message)))

    # Orders and data wait in queues of one depth, and leave them together.
    h.forbid(writes.i_valid & ~orders.i.ready)
    h.forbid(payloads.level != orders.level + sum(written))
    h.assume(taken(orders.o) == taken(payloads.o))

    finished, dropped = (
        taken(stream) & mine(stream.p) for stream in (writes.finished, writes.dropped)
    )
    in_writes = device.place(stages[7], finished | dropped)
    offered = [s.valid & mine(s.p) for s in (writes.finished, writes.dropped)]
    h.assume(in_writes | ~(offered[0] | offered[1]))
    h.assume(~(offered[0] & offered[1]))
    invalid = taken(invalidated.o) & mine(invalidated.o.p)
    in_queue = device.place(device.invalidate, invalid)
    h.assume(in_queue | ~(invalidated.o.valid & mine(invalidated.o.p)))
    h.forbid(device.invalidate != (taken(invalidated.i) & mine(invalidated.i.p)))

    answered = taken(ndr) & mine(ndr.p)
    in_answers = device.place(finished | dropped | invalid, answered)
    h.forbid(ndr.valid & mine(ndr.p) & ~in_answers)
    overtaken(h, in_answers, taken(ndr) & ~mine(ndr.p), 0)
    sent = device.write | device.invalidate
    h.forbid(device.write & device.invalidate)
    device.answered_once(sent, answered, [stages, in_writes, in_queue, in_answers])
    assert h.check() is None


def test_a_write_is_dropped_or_gathered():
    """Each once, with its tag, and its data with it."""
    h, _ = open_part(gather := WriteGather(SMALL))
    for stream in (gather.i, gather.payload):
        h.assume(holds(h, stream))
    message, staged = gather.i.p.message, gather.tag_enable
    leave = staged | taken(gather.dropped)
    tag = Mux(staged, gather.tag.as_value(), gather.dropped.p.as_value())
    in_order(h, "w", taken(gather.i), Cat(message.tag, message.ld_id), leave, tag, 1)
    h.forbid(taken(gather.i) != taken(gather.payload))
    h.forbid(staged & gather.dropped.valid)
    h.forbid(~holds(h, gather.dropped))
    h.cover(staged)
    h.cover(taken(gather.dropped))
    assert h.check() is None


def test_every_gathered_write_is_answered_once():
    """What is noted at a place of the memory of tags is answered once before the place is reused.

    Any one place is followed; of the memory of tags, its row. Answers are those of its writes.
    """
    slots, slot_bits = SMALL.write_blocks, SMALL.write_slot_bits
    h = Harness()
    h.m.submodules.dut = whole = Opened(h, DeviceWrites(SMALL))
    parts = ("gather", "issue", "finish", "expected", "finish.ended")
    gather, issue, finish, expected, ended = (whole.part(path) for path in parts)
    cut = ("tags", "orders", "payloads", "planes", "staged_0", "staged_1")
    tags, *_ = whole.cut(*cut)
    whole.free_inputs()
    m, place, full, tag = h.m, Signal(4 + slot_bits), Signal(), Signal(len(tags.read_data))
    m.d.comb += place.eq(h.constant("place", len(place)))
    slot, line, done = place[:slot_bits], place[slot_bits:], finish.done

    # The place: full from its write to its answer, which is seen a cycle after it is looked up.
    looked_up = h.earlier(finish.tag_read) & finish.o.valid
    answer = looked_up & (h.earlier(finish.tag_place) == place)
    note = gather.tag_enable & (gather.tag_place == place)
    waits = full & ~answer
    m.d.sync += full.eq(waits | note)
    with m.If(note):
        m.d.sync += tag.eq(gather.tag.as_value())
    h.forbid(note & waits)
    h.forbid(answer & ~h.earlier(waits))
    h.forbid(answer & (finish.o.p.as_value() != tag))
    h.forbid(~holds(h, finish.o))
    asked = h.earlier(finish.tag_read & (finish.tag_place == place))
    h.assume(~asked | (tags.read_data == h.earlier(tag)))
    h.assume(h.earlier(finish.tag_read) | (tags.read_data == h.earlier(tags.read_data)))

    # Slots: taken, begun, counted, answered, given back, in this order.
    begins, busy = Signal(), Signal()
    begun = begins | (issue.begun != h.earlier(issue.begun))
    answering = busy & (done == h.earlier(done))
    m.d.sync += begins.eq(begun & ~taken(issue.expect))
    m.d.sync += busy.eq(answering | taken(ended.o))
    counted = expected.level + ~finish.expect.ready + ended.level
    count = slice(0, slot_bits + 1)
    used = (gather.tail - done)[count]
    h.forbid(taken(ended.o) & answering)
    h.forbid(looked_up & ~busy)
    h.forbid(issue.expect.valid != begun)
    h.forbid((issue.begun - done)[count] != begun + counted + answering)
    h.forbid(used > slots)
    h.forbid((issue.begun - done)[count] > used)

    # Lines of a slot wait for their answers until the slot is given back.
    there = gather.lines.bit_select(Cat(Const(0, 4), slot) | line, 1)
    in_use = (slot - done[:slot_bits])[:slot_bits] < used
    mine = answering & (done[:slot_bits] == slot)
    left = Signal(16)
    with m.If(taken(ended.o)):
        m.d.sync += left.eq(gather.lines.word_select(done[:slot_bits], 16))
    with m.Elif(finish.tag_read):
        m.d.sync += left.eq(left & (left - 1)[:16])
    h.forbid(waits & ~(in_use & there))
    h.forbid(in_use & ~mine & (waits != there))
    h.forbid(mine & (waits != left.bit_select(line, 1)))
    h.cover(answer)
    assert h.check() is None
