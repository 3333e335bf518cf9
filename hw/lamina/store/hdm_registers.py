"""HDM decoders as software programs them: base, size, skip, commit."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lamina.copies import copies
from lamina.store.device_front import DECODER_LINES_BITS, decoder_members

__all__ = ["HdmRegisters", "choose"]

_GRAIN_SHIFT = DECODER_LINES_BITS + 6


def choose(m: Module, index: Value, words: dict, out: Value) -> None:
    """Let ``out`` be the word at ``index``, three cycles later; 0 where there is none."""
    firsts = sorted({place & ~7 for place in words})
    low = copies(m, f"index_{out.name}", [index[:3]], 1, len(firsts))
    high, values = Signal(len(index) - 3), []
    m.d.sync += high.eq(index[3:])
    for first, place in zip(firsts, low, strict=True):
        chosen = Signal(len(out), name=f"words_{first}_{out.name}")
        here = Signal(name=f"is_{first}_{out.name}")
        m.d.sync += [chosen.eq(0), here.eq(high == first >> 3)]
        with m.Switch(place):
            for n in range(8):
                with m.Case(n):
                    m.d.sync += chosen.eq(words.get(first + n, 0))
        values.append(chosen & here.replicate(len(out)))
    m.d.sync += out.eq(reduce(or_, values))


class HdmRegisters(wiring.Component):
    """The component registers of HDM decoders without interleave.

    Parameters: `DeviceParameters`.

    Members
    -------
    word : In
        Word of the block: 0 capability, 1 global control, 4 + 8 i the first of decoder i.
    write, write_data : In
        ``word`` and ``write_data`` are then as they were in the cycle before.
    read_data : Out
        Three cycles after ``word``.
    decoder_* : Out
        In force a few cycles after they are committed.

    A decoder is committed after the ones before it. While it is committed its registers are kept.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "word": In(8),
                "write": In(1),
                "write_data": In(32),
                "read_data": Out(32),
                **decoder_members(p.decoders, Out),
            }
        )

    def elaborate(self, platform):
        m = Module()
        enable, count = Signal(), self.parameters.decoders
        words = {0: 0 if count == 1 else count // 2, 1: enable << 1}
        with m.If(self.write & self._is(m, 1)):
            m.d.sync += enable.eq(self.write_data[1])
        before, end = 1, 0
        for n in range(count):
            before, end = self._decoder(m, n, enable, before, end, words)
        choose(m, self.word, words, self.read_data)
        return m

    def _is(self, m, word):
        """Return: ``word`` is this one, from a register."""
        here = Signal(name=f"is_{word}")
        m.d.sync += here.eq(self.word == word)
        return here

    def _decoder(self, m, n, enable, before, end, words):
        """One decoder; ``before``: those before it are committed, ``end`` of their addresses.

        What can be read of it is put into ``words``.
        """
        base, size, skip = (Signal(64, name=f"{name}_{n}") for name in ("base", "size", "skip"))
        committed, lock, error = (
            Signal(name=f"{name}_{n}") for name in ("committed", "lock", "error")
        )
        commit = Signal(name=f"commit_{n}")
        start, after = Signal(24, name=f"start_{n}"), Signal(24, name=f"after_{n}")
        grain = slice(_GRAIN_SHIFT, _GRAIN_SHIFT + 24)
        for place, value in ((4, base), (6, size), (9, skip)):
            for half in range(2):
                part = value.word_select(half, 32)
                words[place + 8 * n + half] = part
                with m.If(self.write & self._is(m, place + 8 * n + half) & ~committed):
                    low = 0xF0000000 if half == 0 else 0xFFFFF
                    m.d.sync += part.eq(self.write_data & low)
        words[8 + 8 * n] = Cat(Cat(0).replicate(8), lock, commit, committed, error, 1)
        sized, single = Signal(name=f"sized_{n}"), Signal(name=f"single_{n}")
        m.d.sync += [sized.eq(size.any()), single.eq(~self.write_data[4:8].any())]
        with m.If(self.write & self._is(m, 8 + 8 * n) & ~(lock & committed)):
            wish, good = self.write_data[9], before & single & sized
            m.d.sync += [
                lock.eq(self.write_data[8]),
                commit.eq(wish),
                committed.eq(wish & good),
                error.eq(wish & ~good),
            ]
        decoder = getattr(self, f"decoder_{n}")
        m.d.sync += [
            start.eq(end + skip[grain]),
            after.eq(start + size[grain]),
            decoder.enable.eq(enable & committed),
            decoder.first.eq(base[grain]),
            decoder.limit.eq(base[grain] + size[grain]),
            decoder.delta.eq(start - base[grain]),
        ]
        return committed, after
