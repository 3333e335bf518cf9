"""Proofs for parts of the store's device by themselves: queues, and what keeps an order."""

from amaranth.hdl import Cat, Signal

from lamina.store.read_planner import ReadPlanner
from lamina.store.read_queue import READS_AHEAD, ReadQueue
from lamina.store.write_finish import WriteFinish
from lamina.store.write_issue import WriteIssue
from tb.store.device_rules import SMALL, open_part, taken
from tb.stream_rules import holds, in_order, soon

#: Cycles of a row of the write buffer on its way to the queue before memory.
_BEAT_RANKS = 4


def test_waiting_reads_keep_their_order():
    """One bit of a tag is followed."""
    h, _ = open_part(waiting := ReadQueue(SMALL))
    tag, leaves = waiting.i.p.tag[0], waiting.o.p.tag[0]
    most = SMALL.reads + READS_AHEAD
    inside = in_order(h, "r", taken(waiting.i), tag, taken(waiting.o), leaves, most)
    soon(h, inside != 0, waiting.o.valid, 3)
    h.cover(inside == most)
    assert h.check() is None


def test_waiting_reads_stay_offered():
    h, _ = open_part(waiting := ReadQueue(SMALL))
    h.forbid(~holds(h, waiting.o))
    h.cover(taken(waiting.o))
    assert h.check() is None


def test_what_is_planned_comes_in_its_order():
    h, _ = open_part(planner := ReadPlanner(SMALL))
    tag, planned = planner.i.p.tag, planner.o.p.read.tag
    in_order(h, "r", taken(planner.i), tag, taken(planner.o), planned, 5)
    h.forbid(~holds(h, planner.o))
    h.cover(taken(planner.o))
    assert h.check() is None


def test_what_is_looked_up_is_answered():
    """The tags that are read of their memory leave as answers, in their order, each once."""
    h, _ = open_part(finish := WriteFinish(SMALL))
    looked_up = h.earlier(finish.tag_read)
    h.assume(looked_up | (finish.tag.as_value() == h.earlier(finish.tag.as_value())))
    answer = finish.o.p.as_value()
    in_order(h, "o", looked_up, finish.tag.as_value(), taken(finish.o), answer, 2)
    h.forbid(~holds(h, finish.o))
    h.cover(taken(finish.o))
    assert h.check() is None


def test_every_beat_to_memory_has_a_place():
    """What was read of the write buffer finds room in the queue before memory."""
    h, part = open_part(WriteIssue(SMALL))
    beats = part.part("beats")
    booked = Signal(_BEAT_RANKS)
    h.m.d.sync += booked.eq(Cat(beats.booked, booked))
    h.forbid(beats.booked & ~h.earlier(beats.room))
    h.forbid(beats.i.valid != booked[-1])
    h.cover(beats.i.valid)
    assert h.check() is None
