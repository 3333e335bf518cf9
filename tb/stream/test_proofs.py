"""Proofs for the modules that streams pass: contract, order, nothing lost, and no deadlock."""

import pytest
from amaranth.hdl import Signal

from lamina.stream import booked
from lamina.stream.arbiter import Arbiter, ArbiterParameters
from lamina.stream.booked import BookedQueue, BookedQueueParameters
from lamina.stream.buffer import Queue, QueueParameters, SkidBuffer, SkidBufferParameters
from tb.prover import Harness
from tb.stream_rules import drive, holds, in_order, soon

WIDTH = 2


def passing(dut, most, latency):
    """A harness around one input and one output of ``dut``."""
    h = Harness()
    h.m.submodules.dut = dut
    drive(h, "i", dut.i)
    h.m.d.comb += dut.o.ready.eq(h.free("o_ready"))
    h.forbid(~holds(h, dut.o))
    enter, leave = dut.i.valid & dut.i.ready, dut.o.valid & dut.o.ready
    inside = in_order(h, "i", enter, dut.i.payload, leave, dut.o.payload, most)
    soon(h, inside != 0, dut.o.valid, latency)
    return h, inside


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_queue(depth):
    h, inside = passing(Queue(QueueParameters(shape=WIDTH, depth=depth)), depth, 2)
    h.forbid(inside != h.m.submodules.dut.level)
    assert h.check() is None


@pytest.mark.parametrize("parts", [1, WIDTH])
def test_skid_buffer(parts):
    h, _ = passing(SkidBuffer(SkidBufferParameters(shape=WIDTH, parts=parts)), 2, 1)
    assert h.check() is None


@pytest.mark.parametrize(("early", "parts"), [(False, 1), (True, 1), (True, WIDTH)])
def test_booked_queue(early, parts, monkeypatch):
    """Beats come any time after they were booked."""
    monkeypatch.setattr(booked, "_PART_BITS", WIDTH // parts)
    depth = 4
    h = Harness()
    h.m.submodules.dut = dut = BookedQueue(
        BookedQueueParameters(shape=WIDTH, depth=depth, early=early)
    )
    on_way, enter, leave = Signal(range(depth + 2)), dut.i.valid, dut.o.valid & dut.o.ready
    h.m.d.comb += [
        dut.booked.eq(h.free("booked")),
        dut.i.valid.eq(h.free("i_valid")),
        dut.i.payload.eq(h.free("i_payload", WIDTH)),
        dut.o.ready.eq(h.free("o_ready")),
    ]
    h.m.d.sync += on_way.eq(on_way + dut.booked - enter)
    h.assume(~dut.booked | h.earlier(dut.room))
    h.assume(~enter | dut.booked | (on_way != 0))
    h.forbid(~holds(h, dut.o))
    inside = in_order(h, "i", enter, dut.i.payload, leave, dut.o.payload, depth)
    soon(h, (inside != 0) | enter, dut.o.valid, dut.parameters.latency)
    soon(h, (inside == 0) & (on_way == 0), dut.room, 0)
    h.cover(on_way + inside == depth)
    assert h.check() is None


@pytest.mark.parametrize("inputs", [3])
def test_arbiter(inputs):
    """Payloads say where they come from; each input's are followed by themselves."""
    h = Harness()
    h.m.submodules.dut = dut = Arbiter(ArbiterParameters(shape=WIDTH + 2, inputs=inputs))
    h.m.d.comb += dut.o.ready.eq(h.free("o_ready"))
    h.forbid(~holds(h, dut.o))
    for n in range(inputs):
        i = getattr(dut, f"i_{n}")
        drive(h, f"i_{n}", i)
        h.assume(i.payload[WIDTH:] == n)
        leave = dut.o.valid & dut.o.ready & (dut.o.payload[WIDTH:] == n)
        in_order(h, f"i_{n}", i.valid & i.ready, i.payload, leave, dut.o.payload, 1)
        # An input waits for the others at most once each.
        taken = Signal(range(inputs + 1), name=f"taken_{n}")
        others = dut.o.valid & dut.o.ready & ~leave
        with h.m.If(~i.valid | i.ready):
            h.m.d.sync += taken.eq(0)
        with h.m.Elif(others & (taken != inputs)):
            h.m.d.sync += taken.eq(taken + 1)
        h.forbid(taken == inputs)
    assert h.check() is None


def test_what_is_forbidden_is_found():
    """A queue is asked to have room for one more than it has; a sender may change its mind."""
    h, inside = passing(Queue(QueueParameters(shape=WIDTH, depth=3)), 3, 2)
    h.forbid(inside == 3)
    assert h.check() >= 3

    h = Harness()
    h.m.submodules.dut = dut = Queue(QueueParameters(shape=WIDTH, depth=3))
    h.m.d.comb += dut.i.valid.eq(h.free("i_valid"))
    h.forbid(~holds(h, dut.i))
    assert h.check() is not None
