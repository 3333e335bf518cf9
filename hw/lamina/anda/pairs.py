"""Pairs of neighbouring elements: what a plane selects of each, and the sum of what is selected."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Fragment, Module, Signal, Value, signed
from amaranth.lib import data

from lamina.arith.compressor_tree import carry_save, compress, reduce_levels
from lamina.cells import and_or_select

__all__ = ["PairTree", "decode_pair", "decode_pairs", "select_entries"]


def decode_pair(even: Value, odd: Value) -> Value:
    """Return three bits, one-hot or zero: only ``even`` is set, only ``odd``, both.

    Of wider values: first the first of these bits of all pairs, then the second, then the third.
    """
    return Cat(even & ~odd, ~even & odd, even & odd)


def decode_pairs(m: Module, plane: Value) -> Value:
    """Return `decode_pair` of the bits 2p and 2p + 1 of ``plane`` for each p, p = 0 first."""
    pairs = len(plane) // 2
    # Amaranth writes an operation out for each part of it, and the whole of what a part is of: so
    # all pairs are in one, with signals around it.
    bits, decoded = Signal(len(plane), name="plane"), Signal(3 * pairs)
    even, odd = Signal(pairs), Signal(pairs)
    m.d.comb += [
        bits.eq(plane),
        even.eq(bits[::2]),
        odd.eq(bits[1::2]),
        decoded.eq(decode_pair(even, odd)),
    ]
    return Cat(decoded[pair::pairs] for pair in range(pairs))


def select_entries(
    m: Module, platform, selects: Iterable[Value], tables: data.View, entry_bits: int
) -> list[Value]:
    """Return NOT of the entry of each table that its select picks.

    ``selects``: as `decode_pair` has them; ``tables``: `pair_table_layout`. An entry has
    ``entry_bits`` + 1 bits; where nothing is selected it is 0.
    """
    selected = []
    for select, table in zip(selects, tables, strict=True):
        entries = [Signal(signed(entry_bits + 1)) for _ in range(3)]
        for entry, value in zip(entries, (table.w0, table.w1, table.both), strict=True):
            m.d.comb += entry.eq(value)
        selected.append(and_or_select(m, platform, list(select), entries))
    return selected


@dataclass(frozen=True)
class PairTree:
    """A tree that adds selected entries up, cut by ranks of registers.

    ``rank_rows``: bits of each weight that the ranks hold, first to last.
    """

    rank_rows: tuple[int, ...]

    def storage_bits(self, columns: list[list[Value]]) -> int:
        """Flip-flops of the ranks: found by building the tree, so that it cannot go stale."""
        m, bits = Module(), 0
        for rows in self.rank_rows:
            columns = reduce_levels(m, None, columns, rows)
            bits += sum(map(len, columns))
        Fragment.get(m, None)  # or Amaranth warns of a module that goes nowhere
        return bits

    def add(
        self,
        m: Module,
        platform,
        columns: list[list[Value]],
        addend: Value,
        advance: Value,
    ) -> Value:
        """Return the sum of the bits in ``columns`` and, behind all ranks, ``addend``.

        Bits come by weight, as `compress` takes them; the ranks move with ``advance``.
        """
        for rank, rows in enumerate(self.rank_rows):
            with m.If(advance):
                columns = [
                    _registered(m, bits, f"rank_{rank}_{weight}")
                    for weight, bits in enumerate(reduce_levels(m, platform, columns, rows))
                ]
        columns = [bits + list(addend[place : place + 1]) for place, bits in enumerate(columns)]
        if not self.rank_rows:
            return compress(m, platform, columns)
        # An FPGA adds two rows in a carry chain, which is faster than any tree down to one.
        sums, carries = carry_save(m, platform, columns, reduce_levels)
        return sums + carries


def _registered(m: Module, bits: Sequence[Value], name: str) -> list[Value]:
    """Return a register that takes ``bits``, bit by bit."""
    register = Signal(len(bits), name=name, reset_less=True)
    m.d.sync += register.eq(Cat(bits))
    return list(register)
