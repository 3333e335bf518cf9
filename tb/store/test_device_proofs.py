"""Proofs for the store's device: one answer for every message, and the stream contract.

Data, tables, software's registers and the memory are free: whatever views there are, whatever
memory sends and when, these hold. So they do not say that an answer comes in time.
"""

import pytest
from amaranth.hdl import Cat, Mux, Signal

from lamina.bus.axi4_lite import AxiLitePort
from lamina.store.block_fetch import BlockFetch
from lamina.store.device import Device
from lamina.store.device_answers import DeviceAnswers
from lamina.store.device_writes import DeviceWrites
from lamina.store.register_map import ADDRESS_BITS
from lamina.store.write_gather import WriteGather
from lamina.store.write_issue import WriteIssue
from lamina.store.write_queue import PARTS
from tb.opened import Opened
from tb.prover import Harness
from tb.store.device_rules import SMALL, FollowedDevice, open_part, overtaken, pins, seen, taken
from tb.stream_rules import holds, in_order

#: What no proof of the whole device needs: tables, registers, data, the traffic with memory.
_FREE = (
    *("views", "poison", "registers", "reads.planes", "reads.fetch", "reads.fill"),
    *("reads.locator", "reads.prefetch", "reads.starts", "reads.errors", "reads.lines"),
    "reads.lookup.keeper",
)


def orders(h, gather):
    """Let the orders that a part gets say of themselves what is so."""
    order = gather.i.p
    line, last = order.write.line, Signal.like(order.write.line)
    with h.m.If(taken(gather.i)):
        h.m.d.sync += last.eq(line)
    h.assume(order.whole == ~(order.write.drop | order.write.message.partial))
    h.assume(order.line_bit == (1 << line)[: len(order.line_bit)])
    h.assume(order.again == (line == last))


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

    The queue of waiting reads is taken out: it gives what it got, and has room, as is shown below.
    So is what plans them.
    """
    h = Harness()
    parts = ("front", "lookup", "reads.lookup", "reads.reader", "reads.former")
    cut = (*_FREE, "writes", "invalidated", "reads.waiting", "reads.planner")
    cut += ("answers.direct", "answers.formed")
    device = FollowedDevice(h, parts, cut)
    front, lookup, blocks, reader, former = device.parts
    waiting, planner, *queues = device.cut[-4:]
    drs, mine, line = device.dut.o_drs, device.mine, device.line

    def read(message):
        return line(message) & ~message.write & ~message.prefetch

    early, between, late, _ = device.stages(device.read, lookup, blocks, read)
    h.forbid(early[1] != (front.o_valid & read(front.o)))
    h.assume(waiting.i.ready)
    enters = taken(waiting.i) & line(waiting.i.p)
    h.forbid(enters != (late[-1] & blocks.advance))
    # The planner gives reads in their order, too: the two are one queue.
    begins = taken(planner.o) & line(planner.o.p.read)
    queued = device.place(enters, begins)
    h.assume(queued | ~(planner.o.valid & line(planner.o.p.read)))
    # As in `ReadPlanner._plan`: what is read as it lies, or not at all, is one step.
    plan, empty = planner.o.p.plan, planner.o.p.empty
    h.assume(empty == (planner.o.p.read.unmapped | planner.o.p.read.blank))
    h.assume(~(plan.direct | empty) | ((plan.steps == 0) & ~plan.pairs))
    h.assume(~(plan.direct & (empty | planner.o.p.read.internal)))

    # The reader makes lines, or pieces of lines; the last piece of a line stands for it.
    direct = reader.line.valid & line(reader.line.p)
    pieces = reader.piece.valid & reader.piece.p.last
    formed = pieces & line(reader.piece.p)
    in_reader = device.place(begins, direct | formed)
    for offered in (reader.line, reader.piece):
        h.forbid(offered.valid & line(offered.p) & ~in_reader)
    others = (reader.line.valid & ~line(reader.line.p)) | (pieces & ~line(reader.piece.p))
    overtaken(h, in_reader, others, 3)

    ranks = Signal(former.LATENCY)
    h.m.d.sync += ranks.eq(Cat(formed, ranks))
    h.forbid(ranks[-1] != (former.o.valid & line(former.o.p)))
    made = former.o.valid & line(former.o.p)
    in_former = device.place(formed, made)

    # Lines have booked their places: a queue gives what it got, in order, as `test_booked_queue`
    # shows, if no more comes.
    in_queues = []
    for queue, comes, cycles in zip(queues, (direct, made), (2, 1 + former.LATENCY), strict=True):
        booked = Signal(cycles)
        h.m.d.sync += booked.eq(Cat(queue.booked, booked))
        h.forbid(queue.booked & ~h.earlier(queue.room))
        h.forbid(queue.i.valid != booked[-1])
        h.forbid(queue.i.valid & queue.i.p.internal)
        h.assume(~(queue.o.valid & queue.o.p.internal))
        kept = device.place(comes, taken(queue.o) & line(queue.o.p))
        h.assume(kept | comes | ~(queue.o.valid & line(queue.o.p)))
        h.assume(holds(h, seen(queue.o)))
        # Lines of the two ways take turns.
        first = queue.o.valid & line(queue.o.p)
        overtaken(h, first, taken(drs) & ~mine(drs.p), 2)
        in_queues.append(kept)
    answered = taken(drs) & mine(drs.p)
    places = [early, between, late, queued, in_reader, in_former, *in_queues]
    device.answered_once(device.read, answered, places)
    h.cover(reader.line.valid & ~direct)
    h.cover(former.o.valid)
    h.cover(blocks.ordered)
    h.cover(blocks.hit)
    assert h.check() is None


def test_a_read_finds_room():
    """The queue of waiting reads is never full when one comes."""
    h = Harness()
    h.m.submodules.dut = whole = Opened(h, Device(SMALL))
    waiting = whole.part("reads.waiting")
    whole.cut(*_FREE, "writes", "invalidated", "reads.reader", "reads.former")
    whole.free_inputs()
    h.forbid(waiting.i.valid & ~waiting.i.ready)
    h.cover(waiting.level == SMALL.reads)
    assert h.check() is None


def test_every_write_gets_one_cmp():
    """A Cmp of its tag for each write and invalidation, none else; no write finds its queue full.

    Gathering and finishing writes, and the queue of invalidations, are taken out: they answer once
    what they got, as is shown below.
    """
    h = Harness()
    parts = ("front", "lookup", "reads.lookup", "writes", "writes.queue.orders")
    former = ("reads.waiting", "reads.reader", "reads.former")
    inner = ("gather", "issue", "finish", "planes", "tags", "staged_0", "staged_1", "expected")
    inner = (*inner, "dropped", "finished")
    cut = (*_FREE, *former, *(f"writes.{name}" for name in inner), "answered", "invalidated")
    queues = [f"writes.queue.payloads_{n}" for n in range(PARTS)]
    device = FollowedDevice(h, (*parts, *queues), cut)
    front, lookup, blocks, writes, orders, payloads, *beside = device.parts
    (entered, invalidated), mine, ndr = device.cut[-2:], device.mine, device.dut.o_ndr
    early, between, late, last = device.stages(
        device.write, lookup, blocks, lambda message: message.write & mine(message)
    )
    written = device.stages(taken(front.data), lookup, blocks, lambda message: message.write)
    h.forbid(early[1] != (front.o_valid & front.o.write & mine(front.o)))
    h.forbid(written[0][1] != (front.o_valid & front.o.write))
    h.forbid(last != (writes.i_valid & mine(writes.i.message)))
    h.forbid(written[-1] != writes.i_valid)

    # Orders and data wait in queues of one depth. An order is taken once the data of the one
    # before are, and data once their order is.
    held = Signal()
    h.m.d.sync += held.eq(taken(orders.o) | (held & ~taken(payloads.o)))
    h.assume(held | ~taken(payloads.o))
    h.assume(~(held & taken(orders.o)) | taken(payloads.o))
    for queue in (orders, payloads):
        h.forbid(queue.i.valid & ~queue.i.ready)
    # The parts of a write's data are in queues of their own, which are alike.
    for part in beside:
        h.forbid((part.level != payloads.level) | (part.o.valid != payloads.o.valid))
    h.forbid((orders.o.valid | held) & ~payloads.o.valid)
    ordered = (
        orders.level
        + orders.i.valid
        + held
        + sum(written[0])
        + written[1]
        + sum(written[2])
        + written[3]
    )
    h.forbid(payloads.level + payloads.i.valid != ordered)

    finished, dropped = (
        taken(stream) & mine(stream.p) for stream in (writes.finished, writes.dropped)
    )
    in_writes = device.place(last, finished | dropped)
    offered = [s.valid & mine(s.p) for s in (writes.finished, writes.dropped)]
    h.assume(in_writes | ~(offered[0] | offered[1]))
    h.assume(~(offered[0] & offered[1]))
    invalid = taken(invalidated.o) & mine(invalidated.o.p)
    in_queue = device.place(device.invalidate, invalid)
    h.assume(in_queue | ~(invalidated.o.valid & mine(invalidated.o.p)))
    # The queue and the slice before it are one queue.
    h.forbid(device.invalidate != (taken(entered.i) & mine(entered.i.p)))

    answered = taken(ndr) & mine(ndr.p)
    in_answers = device.place(finished | dropped | invalid, answered)
    h.forbid(ndr.valid & mine(ndr.p) & ~in_answers)
    overtaken(h, in_answers, taken(ndr) & ~mine(ndr.p), 0)
    sent = device.write | device.invalidate
    h.forbid(device.write & device.invalidate)
    device.answered_once(
        sent, answered, [early, between, late, last, in_writes, in_queue, in_answers]
    )
    assert h.check() is None


def test_a_write_is_dropped_or_gathered():
    """Each once, with its tag, and its data with it."""
    h, _ = open_part(gather := WriteGather(SMALL))
    for stream in (gather.i, gather.payload):
        h.assume(holds(h, stream))
    orders(h, gather)
    message, staged = gather.i.p.write.message, gather.tag_enable
    leave = staged | taken(gather.dropped)
    tag = Mux(staged, gather.tag.as_value(), gather.dropped.p.as_value())
    in_order(h, "w", taken(gather.i), Cat(message.tag, message.ld_id), leave, tag, 1)
    held = Signal()
    h.m.d.sync += held.eq(taken(gather.i) | (held & ~taken(gather.payload)))
    h.assume(gather.payload.valid | ~(gather.i.valid | held))
    h.forbid(taken(gather.payload) & ~held)
    h.forbid(taken(gather.i) & held & ~taken(gather.payload))
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
    cut = ("tags", "queue", "planes", "staged_0", "staged_1", "issue.beats", "dropped", "finished")
    whole.cut(*cut)
    whole.free_inputs()
    orders(h, gather)
    m, place, full = h.m, Signal(4 + slot_bits), Signal()
    m.d.comb += place.eq(h.constant("place", len(place)))
    slot, line, done = place[:slot_bits], place[slot_bits:], finish.done

    # The place: full from its write until it is looked up to be answered.
    answer = finish.tag_read & (finish.tag_place == place)
    note = gather.tag_enable & (gather.tag_place == place)
    m.d.sync += full.eq((full & ~answer) | note)
    h.forbid(note & full)
    h.forbid(answer & ~full)

    # Slots: taken, begun, counted, answered, given back, in this order.
    begins, busy = Signal(), Signal()
    begun = issue.begun != h.earlier(issue.begun)
    answering = busy & (done == h.earlier(done))
    m.d.sync += begins.eq(begun | (begins & ~taken(issue.expect)))
    m.d.sync += busy.eq(answering | taken(ended.o))
    counted = expected.level + ~finish.expect.ready + ended.level
    count = slice(0, slot_bits + 1)
    used = (gather.tail - done)[count]
    h.forbid(taken(ended.o) & answering)
    h.forbid(finish.tag_read & ~answering)
    h.forbid(issue.expect.valid != begins)
    h.forbid((issue.begun - done)[count] != begun + begins + counted + answering)
    h.forbid(used > slots)
    h.forbid((issue.begun - done)[count] > used)

    # Lines of a slot wait for their answers until the slot is given back.
    # Of the lines known of the slot, only that of the place.
    there = Signal()
    with h.m.If(gather.staged_enable & (gather.staged_slot == slot)):
        m.d.sync += there.eq(gather.staged.lines.bit_select(line, 1))
    asked = h.earlier(finish.staged_slot == slot)
    h.assume(~asked | (finish.staged.lines.bit_select(line, 1) == h.earlier(there)))
    in_use = (slot - done[:slot_bits])[:slot_bits] < used
    mine, told = answering & (done[:slot_bits] == slot), Signal()
    m.d.sync += told.eq(answering & (told | finish.stale))
    newest = (gather.tail - 1)[:slot_bits]
    h.forbid(full & ~(in_use & there))
    h.forbid(in_use & ~(mine & told) & (full != there))
    h.forbid(mine & told & (full != finish.left.bit_select(line, 1)))
    h.forbid(finish.left.any() & ~told)
    h.forbid(in_use & (newest == slot) & (there != gather.lines.bit_select(line, 1)))
    h.forbid(gather.open & (issue.begun == gather.tail))
    h.forbid(issue.begins & (issue.begun == gather.tail))
    joins = gather.staged_enable & (gather.staged_slot == newest)
    h.forbid(joins & (issue.begun == gather.tail))
    h.forbid(joins & note & there)
    h.forbid(gather.staged_enable & ~joins & (gather.used == slots))
    given = done != h.earlier(done)
    h.forbid(gather.used != used + given + h.earlier(given))
    h.cover(answer)
    assert h.check() is None
