"""Compressor trees against Python's integers, in Amaranth's simulator."""

import random

import pytest
from amaranth.hdl import Const, Module, Shape, Signal
from amaranth.sim import Simulator

from lamina.arith import compressor_tree
from lamina.arith.compressor_tree import Inverse, compress, compress_rows, reduce_inverse


def simulate(m: Module, signals: list[Signal], vectors, result: Signal) -> list[int]:
    """Set ``signals`` to each vector in turn; return what ``result`` shows."""
    seen = []

    async def drive(ctx):
        for vector in vectors:
            for signal, value in zip(signals, vector, strict=True):
                ctx.set(signal, value)
            await ctx.delay(1e-9)
            seen.append(ctx.get(result))

    sim = Simulator(m)
    sim.add_testbench(drive)
    sim.run()
    return seen


def corners_and_random(shapes: list[Shape], count: int, seed: int) -> list[list[int]]:
    """Every operand at its least, its greatest, each alone at its greatest, and random."""
    low = [-(1 << s.width - 1) if s.signed else 0 for s in shapes]
    high = [(1 << s.width - s.signed) - 1 for s in shapes]
    alone = [[h if i == j else 0 for j, h in enumerate(high)] for i in range(len(shapes))]
    rng = random.Random(seed)
    drawn = [[rng.randint(*ends) for ends in zip(low, high, strict=True)] for _ in range(count)]
    return [low, high, *alone, *drawn]


@pytest.mark.parametrize(
    "heights",
    [(0,), (1,), (2, 0), (3, 1), (1, 2, 3, 4), (7, 0, 0, 0), (12, 12, 12, 0, 0, 0, 0), (33,) * 3],
    ids=str,
)
def test_columns(heights):
    m = Module()
    columns = [[Signal(name=f"b{c}_{b}") for b in range(h)] for c, h in enumerate(heights)]
    result = Signal(len(heights))
    total = compress(m, None, columns)
    assert len(total) == len(heights)
    m.d.comb += result.eq(total)
    bits = [bit for column in columns for bit in column]
    weights = [1 << c for c, column in enumerate(columns) for _ in column]
    vectors = corners_and_random([bit.shape() for bit in bits], 100, seed=1)
    expected = [
        sum(w * v for w, v in zip(weights, vector, strict=True)) % (1 << len(heights))
        for vector in vectors
    ]
    assert simulate(m, bits, vectors, result) == expected


@pytest.mark.parametrize("rows", [1, 2])
def test_inverted_columns(rows):
    """Inverted bits among others, and in a tree of their own."""
    heights = (4, 7, 0, 12, 1, 0, 0, 0)
    m = Module()
    columns = [[Signal(name=f"b{c}_{b}") for b in range(h)] for c, h in enumerate(heights)]
    bits = [bit for column in columns for bit in column]
    weights = [1 << c for c, column in enumerate(columns) for _ in column]
    result = Signal(len(heights))
    if rows == 1:
        mixed = [[Inverse(bit) if b % 3 else bit for b, bit in enumerate(c)] for c in columns]
        m.d.comb += result.eq(compress(m, None, mixed))
        inverted = [b % 3 > 0 for h in heights for b in range(h)]
    else:
        most = [1, 2, 1, 2, 1, 2, 1, 2]
        left = reduce_inverse(m, None, columns, most)
        assert all(len(bits) <= rows for bits, rows in zip(left, most, strict=True))
        m.d.comb += result.eq(sum(~bit << c for c, column in enumerate(left) for bit in column))
        inverted = [True] * len(bits)
    vectors = corners_and_random([bit.shape() for bit in bits], 100, seed=1)
    expected = [
        sum(w * (v ^ i) for w, v, i in zip(weights, vector, inverted, strict=True)) % 256
        for vector in vectors
    ]
    assert simulate(m, bits, vectors, result) == expected


def test_constant_bits_are_added():
    m = Module()
    a = Signal(3)
    result = Signal(4)
    columns = [[a[0], Const(1)], [a[1], Const(0)], [a[2], Const(1)], []]
    m.d.comb += result.eq(compress(m, None, columns))
    assert simulate(m, [a], [[v] for v in range(8)], result) == [v + 5 for v in range(8)]


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 5, 9])
def test_rows(rows):
    shapes = [Shape(5 + i % 3, signed=i % 2 == 0) for i in range(rows)]
    m = Module()
    operands = [Signal(shape, name=f"row{i}") for i, shape in enumerate(shapes)]
    result = Signal(9)
    m.d.comb += result.eq(compress_rows(m, None, operands, 9))
    vectors = corners_and_random(shapes, 200, seed=2)
    assert simulate(m, operands, vectors, result) == [sum(v) % (1 << 9) for v in vectors]


@pytest.mark.parametrize(
    "heights", [[3, 2, 2, 2, 2, 0], [32] * 5 + [0] * 5, [1], [9, 0, 5, 1, 7, 2]]
)
@pytest.mark.parametrize("rows", [2, 3, 6])
def test_levels(heights, rows, monkeypatch):
    """The sum stays, no column is higher than asked, and no carry runs along the columns."""
    depth = {}

    def leveled(name):
        adder = getattr(compressor_tree, name)

        def call(m, platform, *operands):
            results = adder(m, platform, *operands)
            level = 1 + max(depth.get(id(bit), 0) for bit in operands)
            depth.update((id(bit), level) for bit in results)
            return results

        return call

    for name in ("full_adder", "half_adder"):
        monkeypatch.setattr(compressor_tree, name, leveled(name))
    bits = [Signal(height, name=f"column{i}") for i, height in enumerate(heights)]
    m, result = Module(), Signal(len(heights))
    reduced = compressor_tree.reduce_levels(m, None, [list(column) for column in bits], rows)
    assert all(1 <= len(column) <= rows for column in reduced)
    assert len(reduced[-1]) == 1
    levels, height = 0, max(heights)
    while height > rows:
        height, levels = -(-height * 2 // 3), levels + 1
    assert (
        max((depth.get(id(bit), 0) for column in reduced[:-1] for bit in column), default=0)
        <= levels
    )
    m.d.comb += result.eq(
        sum(bit << place for place, column in enumerate(reduced) for bit in column)
    )
    vectors = corners_and_random([Shape(height) for height in heights], 50, seed=3)
    expected = [sum(v.bit_count() << place for place, v in enumerate(row)) for row in vectors]
    assert simulate(m, bits, vectors, result) == [e % (1 << len(heights)) for e in expected]


def test_adders_are_as_few_as_can_be(monkeypatch):
    """A full adder takes one bit out of the tree; all bits but those of the result have to go."""
    calls = {"full_adder": 0, "half_adder": 0}

    def counted(name):
        adder = getattr(compressor_tree, name)

        def call(*operands):
            calls[name] += 1
            return adder(*operands)

        return call

    for name in calls:
        monkeypatch.setattr(compressor_tree, name, counted(name))
    width, operands = 5, 32
    columns = [[Signal() for _ in range(operands)] if c < width else [] for c in range(11)]
    m = Module()
    compress(m, None, columns)
    simulate(m, [], [[]], Signal())
    assert width * operands - len(columns) <= calls["full_adder"] < width * operands
    assert calls["half_adder"] < len(columns)
