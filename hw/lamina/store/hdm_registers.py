"""HDM decoders as software programs them: base, size, skip, commit."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lamina.store.device_front import DECODER_LINES_BITS, decoder_members

__all__ = ["HdmRegisters"]

_GRAIN_SHIFT = DECODER_LINES_BITS + 6


class HdmRegisters(wiring.Component):
    """The component registers of HDM decoders without interleave.

    Parameters: `DeviceParameters`.

    Members
    -------
    word : In
        Word of the block: 0 capability, 1 global control, 4 + 8 i the first of decoder i.
    write, write_data : In
    read_data : Out
        Combinational.
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
        with m.If(self.word == 0):
            m.d.comb += self.read_data.eq(0 if count == 1 else count // 2)
        with m.Elif(self.word == 1):
            m.d.comb += self.read_data.eq(enable << 1)
            with m.If(self.write):
                m.d.sync += enable.eq(self.write_data[1])
        before, end = 1, 0
        for n in range(count):
            before, end = self._decoder(m, n, enable, before, end)
        return m

    def _decoder(self, m, n, enable, before, end):
        """One decoder; ``before``: those before it are committed, ``end`` of their addresses."""
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
                with m.If(self.word == place + 8 * n + half):
                    m.d.comb += self.read_data.eq(part)
                    with m.If(self.write & ~committed):
                        low = 0xF0000000 if half == 0 else 0xFFFFF
                        m.d.sync += part.eq(self.write_data & low)
        with m.If(self.word == 8 + 8 * n):
            m.d.comb += self.read_data.eq(
                Cat(Cat(0).replicate(8), lock, commit, committed, error, 1)
            )
            with m.If(self.write & ~(lock & committed)):
                wish, ways = self.write_data[9], self.write_data[4:8]
                good = before & ~ways.any() & size.any()
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
