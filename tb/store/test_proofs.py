"""Proofs for the ends of channels with credits: no message lost or invented, no credit either.

A peer keeps to the rules; the interface alone is looked at, whatever registers stand behind it.
"""

import pytest
from amaranth.hdl import Const, Mux, Signal

from lamina.store.cpi_channel import CreditReceiver, CreditSender
from tb.prover import Harness
from tb.stream_rules import drive, holds, in_order, soon

WIDTH = 2


def credits(h, more, used, most):
    """Count credits; how many a peer holds at the beginning of a cycle."""
    held = Signal(range(most + 2))
    h.m.d.sync += held.eq(held + more - used)
    return held


def connected(h):
    """The link connects a cycle after reset, and stays."""
    return h.earlier(Const(1, 1))


@pytest.mark.parametrize("places", [4])
def test_a_receiver_has_room_for_every_credit(places):
    """Each message that comes with a credit arrives, once and in order; every credit comes back."""
    h = Harness()
    h.m.submodules.dut = dut = CreditReceiver(WIDTH, places)
    send = h.free("send")
    held = credits(h, dut.credit, dut.valid, places)
    h.m.d.comb += [
        dut.valid.eq(send & (held != 0)),
        dut.payload.eq(h.free("payload", WIDTH)),
        dut.good.eq(1),
        dut.connected.eq(connected(h)),
        dut.block.eq(h.free("block")),
        dut.o.ready.eq(h.free("o_ready")),
    ]
    h.forbid(~holds(h, dut.o))
    h.forbid(dut.wrong)
    h.forbid(h.earlier(dut.block) & dut.credit)
    leave = dut.o.valid & dut.o.ready
    inside = in_order(h, "m", dut.valid, dut.payload, leave, dut.o.payload, places)
    h.forbid(held + inside > places)
    soon(h, inside != 0, dut.o.valid, 2)
    waits = (held + inside < places) & dut.connected & ~dut.block
    soon(h, waits, dut.credit, 2)
    assert h.check() is None


def test_what_is_not_good_costs_nothing_but_itself():
    """Bad messages and those without a credit are told; no place is lost by them."""
    h = Harness()
    h.m.submodules.dut = dut = CreditReceiver(WIDTH, 3)
    send, good, rude = h.free("send"), h.free("good"), h.free("rude")
    with_credit = Signal()
    held = credits(h, dut.credit, with_credit, 3)
    h.m.d.comb += [
        # A credit that is on its way may be used by who has none: then nobody could tell.
        with_credit.eq(send & (held != 0)),
        dut.valid.eq(with_credit | (rude & (held == 0) & ~dut.credit)),
        dut.payload.eq(h.free("payload", WIDTH)),
        dut.good.eq(good),
        dut.connected.eq(connected(h)),
        dut.o.ready.eq(h.free("o_ready")),
    ]
    taken, leave = dut.valid & ~dut.wrong, dut.o.valid & dut.o.ready
    inside = in_order(h, "m", taken, dut.payload, leave, dut.o.payload, 3)
    h.forbid(with_credit & good & dut.wrong)
    h.forbid(dut.valid & ~good & ~dut.wrong)
    soon(h, (held + inside < 3) & dut.connected, dut.credit, 2)
    assert h.check() is None


def test_a_sender_keeps_to_its_credits():
    h = Harness()
    h.m.submodules.dut = dut = CreditSender(WIDTH)
    held = Signal(4)
    h.m.d.comb += [
        dut.credit.eq(h.free("credit") & (held < 4)),
        dut.block.eq(h.free("block")),
        dut.connected.eq(connected(h)),
    ]
    drive(h, "i", dut.i)
    h.m.d.sync += held.eq(held + dut.credit - dut.valid)
    h.forbid(dut.valid & (held == 0))
    h.forbid(dut.valid & h.earlier(dut.block))
    h.forbid(dut.valid != h.earlier(dut.early))
    h.forbid(dut.wrong)
    in_order(h, "i", dut.i.valid & dut.i.ready, dut.i.payload, dut.valid, dut.payload, 1)
    soon(h, dut.i.valid & (held > 1) & ~dut.block, dut.i.ready, 2)
    assert h.check() is None


def test_a_credit_that_is_lost_is_found():
    """The properties see a peer that forgets a credit, and one that invents one."""
    for more in (-1, 1):
        h = Harness()
        h.m.submodules.dut = dut = CreditReceiver(WIDTH, 3)
        held, slip = Signal(3), h.free("slip")
        slipped = Signal()
        h.m.d.comb += [
            dut.valid.eq(h.free("send") & (held != 0)),
            dut.good.eq(1),
            dut.connected.eq(connected(h)),
        ]
        change = Mux(slip & ~slipped & (held != 0), more, 0)
        h.m.d.sync += held.eq(held + dut.credit - dut.valid + change)
        h.m.d.sync += slipped.eq(slipped | (slip & (held != 0)))
        if more == 1:
            h.forbid(dut.wrong)
        else:
            leave = dut.o.valid & dut.o.ready
            inside = in_order(h, "m", dut.valid, dut.payload, leave, dut.o.payload, 3)
            soon(h, (held + inside < 3) & dut.connected, dut.credit, 2)
        assert h.check() is not None
