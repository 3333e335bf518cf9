"""Chain sum: a beat sum of carry chains, which FPGAs have."""

from amaranth.hdl import Cat, Const, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from lamina.anda.beat_sum import PLANE_LEVELS, BeatSum
from lamina.arith.pipeline import delayed
from lamina.cells import add_gated, add_inverted
from lamina.formats.anda import GROUP, PAIRS, weight_pair_layout

__all__ = ["ChainSum"]


class ChainSum(BeatSum):
    """Sum, over planes LSB first, of plane j times the weights of a column times 2^j, exactly.

    Members
    -------
    advance : In(1)
        All registers take what is before them; in other cycles nothing happens.
    planes : In(ArrayLayout(unsigned(GROUP), planes))
        The beat's planes, in two's complement, the one of the least weight first.
    weights : In(ArrayLayout(weight_pair_layout(entry_bits), PAIRS))
    first, last : In(1)
        The beat behind the last rank is the first, the last one of its group: the top plane of the
        last one is the sign plane. If there is one plane in a beat, no beat is both.
    take : In(1), if ``step`` is not 0
        The cycle after the group's last beat was added: the sum is complete.
    high : Out(unsigned(high_bits)), low : Out(unsigned(low_bits))
        In the cycle ``step`` after that: ``high`` with ``low`` below it is the sum, in two's
        complement; of ``low`` the top planes * (beats - 1) bits count.

    Numerics
    --------
    In front of each bit of a carry chain is a table of four inputs, so the chain that adds two
    weights also does their ANDs with the plane. The other chains are a binary tree, each a bit
    longer than those before it. The sign plane is subtracted: NOT of its sum is added, and one,
    which is the carry of a bit below.
    """

    def _operands(self) -> dict[str, wiring.Member]:
        p = self.parameters
        return {
            "planes": In(data.ArrayLayout(unsigned(GROUP), p.planes)),
            "weights": In(data.ArrayLayout(weight_pair_layout(p.entry_bits), PAIRS)),
            "last": In(1),
        }

    def _total(self, m, platform, running, carries) -> Value:
        p = self.parameters
        # From the sums of pairs in all planes to one of all: neighbours are added.
        level, sums = 1, self._pairs(m, platform)
        while len(sums) > 1:
            level += 1
            shift = 1 << level - PLANE_LEVELS - 1 if level > PLANE_LEVELS else 0
            pairs = list(zip(sums[::2], sums[1::2], strict=True))
            signs = level == PLANE_LEVELS + 1
            sums = [
                self._join(m, platform, *pair, shift, signs and pair is pairs[-1]) for pair in pairs
            ]
            if level in p.rank_levels:
                sums = [
                    delayed(m, value, self.advance, 1, f"rank_{level}_{number}")
                    for number, value in enumerate(sums)
                ]
        before, more = running[p.planes :].as_signed(), Signal()
        m.d.comb += more.eq(~self.first)
        if p.planes == 1:
            return self._add(m, platform, before, more, sums[0], self.last)
        return add_gated(m, platform, before, more, sums[0], Const(1))

    def _pairs(self, m, platform) -> list[Value]:
        """Return the sums of the weights that each plane has of each pair."""
        return [
            add_gated(m, platform, pair.w0, plane[2 * number], pair.w1, plane[2 * number + 1])
            for plane in self.planes
            for number, pair in enumerate(self.weights)
        ]

    def _join(self, m, platform, low, high, shift, signs) -> Value:
        """Return ``low`` + ``high`` * 2^shift; ``signs``: ``high`` has the sign plane."""
        above = low[shift:].as_signed()
        if signs:
            total = self._add(m, platform, above, Const(1), high, self.last)
        else:
            total = add_gated(m, platform, above, Const(1), high, Const(1))
        return Cat(low[:shift], total).as_signed()

    def _add(self, m, platform, a, a_on, b, subtract) -> Value:
        """Return ``a``, if ``a_on``, plus or minus ``b``; to ``subtract``, ``a_on`` is set."""
        a, b = Cat(subtract, a).as_signed(), Cat(Const(0, 1), b).as_signed()
        return add_inverted(m, platform, a, a_on, b, subtract)[1:].as_signed()
