"""The two ends of a channel with credits: who sends has been told how much the other can take."""

from amaranth.hdl import Module, Mux, ShapeLike, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["CreditReceiver", "CreditSender"]

#: Bits of a sender's count of credits.
CREDIT_BITS = 8


class CreditReceiver(wiring.Component):
    """Takes what comes with a credit into a queue, and gives credits for its free places.

    Parameters: ``shape`` of a payload, ``credits``: places of the queue.

    Members
    -------
    valid, payload : In
    good : In
        The payload is one that is to be taken. One that is not uses up its credit all the same.
    connected : In
        Credits may be given. Those that the sender holds are void when this falls.
    block : In
        No credit may be given in the next cycle.
    credit : Out
        One credit more, in this cycle.
    wrong : Out
        Pulse: what came had no credit, or was not ``good``; it is dropped.
    o : Out(stream)
    empty : Out
        Nothing waits.
    """

    def __init__(self, shape: ShapeLike, credits: int):
        self.shape, self.credits = shape, credits
        super().__init__(
            {
                "valid": In(1),
                "payload": In(shape),
                "good": In(1),
                "connected": In(1),
                "block": In(1),
                "credit": Out(1),
                "wrong": Out(1),
                "o": Out(stream.Signature(shape)),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = Queue(QueueParameters(shape=self.shape, depth=self.credits))
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        given, owed = Signal(range(self.credits + 1)), Signal(range(self.credits + 1))
        taken, used, back = Signal(), Signal(), Signal()
        m.d.comb += [
            used.eq(self.valid & self.connected & (given != 0)),
            taken.eq(used & self.good),
            self.wrong.eq(self.valid & ~taken),
            queue.i.valid.eq(taken),
            queue.i.payload.eq(self.payload),
            # A place is free again when its payload leaves, or when none came into it.
            back.eq(self.o.valid & self.o.ready),
            self.empty.eq(queue.level == 0),
        ]
        give = self.connected & ~self.block & (owed != 0)
        m.d.sync += [
            self.credit.eq(give),
            owed.eq(owed - give + back + (used & ~taken)),
        ]
        with m.If(give ^ used):
            m.d.sync += given.eq(Mux(used, given - 1, given + 1))
        with m.If(~self.connected):
            m.d.sync += [given.eq(0), owed.eq(self.credits - queue.level + back)]
        return m


class CreditSender(wiring.Component):
    """Sends a stream, a credit for each payload.

    Parameters: ``shape`` of a payload.

    Members
    -------
    i : In(stream)
    credit : In
        The receiver has one place more.
    block : In
        Nothing may be sent in the next cycle.
    connected : In
        Credits count. All are void when this falls.
    early, valid, payload : Out
        ``early`` a cycle before ``valid``, which is a register.
    wrong : Out
        Pulse: more credits came than can be counted.
    """

    def __init__(self, shape: ShapeLike):
        self.shape = shape
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "credit": In(1),
                "block": In(1),
                "connected": In(1),
                "early": Out(1),
                "valid": Out(1),
                "payload": Out(shape),
                "wrong": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count, full = Signal(CREDIT_BITS), Signal()
        some = Signal()  # count != 0, in a register: what may be sent waits for it
        more, counted = Signal(), Signal()
        m.d.comb += [
            full.eq(count.all()),
            more.eq(self.credit & self.connected),
            counted.eq(more & ~full),
            self.wrong.eq(more & full),
            self.i.ready.eq(self.connected & ~self.block & some),
            self.early.eq(self.i.valid & self.i.ready),
        ]
        m.d.sync += [
            self.valid.eq(self.early),
            some.eq(self.connected & (more | (some & ~self.early) | count[1:].any())),
        ]
        with m.If(~self.connected):
            m.d.sync += count.eq(0)
        with m.Elif(counted ^ self.early):
            m.d.sync += count.eq(Mux(self.early, count - 1, count + 1))
        with m.If(self.early):
            m.d.sync += self.payload.eq(self.i.payload)
        return m
