"""Operand buffer: groups as they are stored become the planes that an element eats."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.anda import (
    GROUP,
    MANTISSA_BITS_MAX,
    group_descriptor_layout,
    group_word_layout,
    plane_layout,
)
from lamina.parameters import check_power_of_two, check_range
from lamina.stream.buffer import Queue, QueueParameters
from lamina.stream.memory import BlockMemory, BlockMemoryParameters

__all__ = ["OperandBuffer", "OperandBufferParameters"]


@dataclass(frozen=True, kw_only=True)
class OperandBufferParameters:
    """``index_bits`` of an output index; ``words`` of the ring; ``groups`` that can wait in it."""

    index_bits: int
    words: int = 64
    groups: int = 16

    def __post_init__(self):
        check_range("index_bits", self.index_bits, 1, 24)
        # One group of 17 words is played while the next one fills.
        check_power_of_two("words", self.words, 64, 1024)
        check_range("groups", self.groups, 2, 512)

    @property
    def ring(self) -> BlockMemoryParameters:
        """Parameters of the ring of words."""
        return BlockMemoryParameters(width=GROUP, depth=self.words)

    @property
    def waiting(self) -> QueueParameters:
        """Parameters of the queue of group descriptors."""
        return QueueParameters(shape=group_descriptor_layout(self.index_bits), depth=self.groups)

    def group_latency(self, mantissa_bits: int) -> int:
        """Cycles from the sign word of a lone group accepted to its first plane valid."""
        return mantissa_bits + 4

    @property
    def latency(self) -> int:
        """`group_latency` of the longest group: the least significant word comes in last."""
        return self.group_latency(MANTISSA_BITS_MAX)

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one word in and one plane out a cycle, any mix of mantissa lengths"

    @property
    def storage_bits(self) -> int:
        """Ring, descriptors, signs, carries, the group on its way out, pointers and flags."""
        ring, waiting = self.ring, self.waiting
        pointers = 3 * (ring.address_bits + 1) + ring.address_bits + 5 + 5
        group = group_descriptor_layout(self.index_bits).size
        flags = 1 + 2 + 3 + 2
        return ring.storage_bits + waiting.storage_bits + 2 * GROUP + group + pointers + flags


class OperandBuffer(wiring.Component):
    """Turn sign-magnitude words, most significant first, into two's complement planes, LSB first.

    A group comes in as its sign word and 1 to 16 mantissa words and leaves as as many planes: of
    v_i = (-1)^s_i * m_i, whose sign plane, of weight -2^M, is the last.

    Members
    -------
    i : In(stream of `group_word_layout`)
        The words. A group plays once its last word is in.
    o : Out(stream of `plane_layout`)
        The planes.

    Timing
    ------
    A group of M + 1 words takes M + 1 slots at the read port: its sign word, then its mantissa
    words from the last one back. The planes trail by one slot, so that the sign plane, which is
    made of registers only, leaves while the next group's sign word comes: no bubble between
    groups. After the first long group the ring stays ahead by its length, and from then on one
    word a cycle in gives one plane a cycle out for any mix of mantissa lengths.

    Numerics
    --------
    Negation is serial, one carry register per lane: a lane with sign s puts out m XOR s from the
    bit after the lowest set one on. Exact; a zero mantissa gives zero planes whatever its sign.
    """

    def __init__(self, parameters: OperandBufferParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(group_word_layout(p.index_bits))),
                "o": Out(stream.Signature(plane_layout(p.index_bits))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        pointer_bits = self.parameters.ring.address_bits + 1
        tail = Signal(pointer_bits)
        head = Signal(pointer_bits)
        advance = Signal()
        m.submodules.ring = ring = BlockMemory(self.parameters.ring)
        m.submodules.waiting = waiting = Queue(self.parameters.waiting)
        m.d.comb += advance.eq(self.o.ready | ~self.o.valid)
        self._fill(m, ring, waiting, tail, head)
        kind = self._fetch(m, ring, waiting, head, advance)
        self._negate(m, ring, waiting, advance, kind)
        return m

    def _fill(self, m, ring, waiting, tail, head):
        """Write words at ``tail``; with the last of a group its length is known: queue it."""
        length = Signal(range(MANTISSA_BITS_MAX + 1))
        # Full is found out a cycle late, so it is said a word, or a group, early.
        full = Signal()
        words = (tail - head)[: len(tail)] >= self.parameters.words - 1
        groups = waiting.level >= self.parameters.groups - 1
        m.d.sync += full.eq(words | groups)
        m.d.comb += [
            self.i.ready.eq(~full),
            ring.write_enable.eq(self.i.valid & self.i.ready),
            ring.write_address.eq(tail),
            ring.write_data.eq(self.i.payload.word),
        ]
        with m.If(ring.write_enable):
            m.d.sync += [tail.eq(tail + 1), length.eq(Mux(self.i.payload.last, 0, length + 1))]
        m.d.comb += [
            waiting.i.valid.eq(ring.write_enable & self.i.payload.last),
            waiting.i.payload.mantissa_bits.eq(length),
        ]
        for field in ("exponent", "index", "load", "begin", "end"):
            m.d.comb += waiting.i.payload[field].eq(self.i.payload[field])

    def _fetch(self, m, ring, waiting, head, advance):
        """Issue the reads of the group at ``head``; return of which kind the word in the ring's
        output is: a sign word, a mantissa word, the last of its group.

        A group's words are given free together, because they are not read in order.
        """
        mantissa_bits = waiting.o.payload.mantissa_bits
        # The next slot of the group; whether this one is its sign word's, or its last.
        following = Signal(range(MANTISSA_BITS_MAX + 2), init=1)
        sign, final = Signal(init=1), Signal()
        address = Signal(self.parameters.ring.address_bits)
        behind = Signal.like(head, reset_less=True)
        kind = Signal(3)
        m.d.comb += [
            ring.read_enable.eq(advance),
            ring.read_address.eq(address),
            waiting.o.ready.eq(advance & final),
        ]
        with m.If(advance):
            m.d.sync += kind.eq(Cat(waiting.o.valid & sign, waiting.o.valid & ~sign, final))
            with m.If(waiting.o.valid):
                m.d.sync += [
                    following.eq(Mux(final, 1, following + 1)),
                    sign.eq(final),
                    final.eq(~final & (following == mantissa_bits)),
                    address.eq(address - 1),
                ]
                with m.If(sign):
                    # After the sign word comes the last one, and from there back.
                    m.d.sync += address.eq(head + mantissa_bits)
                    m.d.sync += behind.eq(head + mantissa_bits + 1)
                with m.Elif(final):
                    m.d.sync += [head.eq(behind), address.eq(behind)]
        return kind

    def _negate(self, m, ring, waiting, advance, kind):
        """Put out the planes: of the word just read, or, after a group's last, of its signs."""
        is_sign, is_mantissa, is_last = kind
        signs = Signal(GROUP, reset_less=True)
        carries = Signal(GROUP, reset_less=True)
        opening = Signal()
        closing = Signal()
        group = Signal(waiting.o.payload.shape(), reset_less=True)
        word = ring.read_data
        m.d.comb += [
            self.o.valid.eq(is_mantissa | closing),
            self.o.payload.plane.eq(Mux(closing, signs & carries, word ^ (signs & carries))),
            self.o.payload.first.eq(opening),
            self.o.payload.last.eq(closing),
            self.o.payload.group.eq(group),
        ]
        with m.If(advance):
            m.d.sync += closing.eq(is_mantissa & is_last)
            with m.If(is_mantissa):
                m.d.sync += [carries.eq(carries | word), opening.eq(0)]
            with m.If(is_sign):
                # The descriptor is still at the queue's head: a group has at least two slots.
                m.d.sync += [signs.eq(word), carries.eq(0), opening.eq(1)]
                m.d.sync += group.eq(waiting.o.payload)
        return m
