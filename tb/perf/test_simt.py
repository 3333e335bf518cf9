"""The SIMT model against its loops, walked a tile and a multiplication at a time."""

import itertools
from collections import Counter

import pytest

from lamina_sim.golden import pacq
from lamina_sim.perf import simt
from lamina_sim.perf.simt import Blocks, Core, Shape, Unit

FLOWS = simt.FLOWS
BITS = (4, 2)


def walk_octet(flow, bits):
    """Tiles that reach an octet's buffers, and are left for registers, in one operation."""
    x = 16 // bits
    held, seen = {}, Counter()

    def fetch(operand, *tile):
        if held.get(operand) != tile:
            held[operand] = tile
            seen[operand] += 1

    results = set()
    if flow == "packed_n":
        for m, n, k in itertools.product(range(2), range(2), range(4)):
            fetch("a", m, k)
            fetch("b", k, n)
            results |= {(m, n, column) for column in range(x)}
    else:
        slices = x if flow == "packed_k" else 1
        for k, n, m in itertools.product(range(4), range(2), range(2)):
            fetch("b", k, n)
            for part in range(slices):
                fetch("a", m, k, part)
            results.add((m, n))
    return seen["a"], seen["b"], len(results)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("flow", FLOWS)
def test_accesses_are_those_of_the_loops(flow, bits):
    assert simt.octet_accesses(flow, bits) == walk_octet(flow, bits)


@pytest.mark.parametrize("trees", [1, 2, 4, 8])
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("flow", FLOWS)
def test_counts_are_the_tensor_cores(flow, bits, trees):
    """Of its golden model, whose counts tb/pacq finds in the hardware's registers."""
    m, n, k = simt.operation(flow, bits)
    core = Core(trees=trees, sums="core")
    counted = simt.count(flow, Shape(m=m, n=n, k=k, bits=bits), core)
    want = vars(pacq.count(flow, bits, trees))
    assert {name: getattr(counted, name) for name in want} == want


def test_accesses_are_the_published_bars():
    """Figure 7a: 16:2:1 against 4:4:4 for INT4, 32:2:1 against 4:4:8 for INT2."""
    assert simt.octet_accesses("packed_k", 4) == (64, 8, 4)
    assert simt.octet_accesses("packed_n", 4) == (16, 16, 16)
    assert simt.octet_accesses("packed_k", 2) == (128, 8, 4)
    assert simt.octet_accesses("packed_n", 2) == (16, 16, 32)
    for bits, saved in ((4, 0.368), (2, 0.543)):
        mine, theirs = (sum(simt.octet_accesses(f, bits)) for f in ("packed_n", "packed_k"))
        assert 1 - mine / theirs == pytest.approx(saved, abs=5e-4)


def walk_octet_units(flow, bits, core):
    """Cycles and buffer reads of an octet's two units in an operation, a step at a time."""
    x = 16 // bits
    cycles = a = b = 0
    # Tiles of four rows by four words by four words along k; each unit has two of the rows.
    for _ in itertools.product(range(2), range(2), range(4)):
        slices = x if flow == "packed_k" else 1
        for _ in itertools.product(range(slices), range(4), range(2)):
            a, b = a + 2, b + 1
            cycles += -(-x // core.trees) if flow == "packed_n" else 1
    return cycles, a, b


@pytest.mark.parametrize("trees", [1, 2, 4, 8])
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("flow", FLOWS)
def test_cycles_and_buffer_reads_are_those_of_the_loops(flow, bits, trees):
    core = Core(trees=trees, fill=7)
    m, n, k = simt.operation(flow, bits)
    counted = simt.count(flow, Shape(m=m, n=n, k=k, bits=bits), core)
    cycles, a, b = walk_octet_units(flow, bits, core)
    assert counted.operations == 1
    assert counted.macs == m * n * k
    assert (counted.issue_cycles, counted.cycles) == (cycles, cycles + 7)
    assert (counted.buffer_a, counted.buffer_b) == (4 * a, 4 * b)
    assert counted.register_file == 4 * sum(walk_octet(flow, bits))


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("flow", FLOWS)
def test_any_size_is_whole_operations(flow, bits):
    m, n, k = simt.operation(flow, bits)
    one = simt.count(flow, Shape(m=1, n=1, k=1, bits=bits))
    assert one == simt.count(flow, Shape(m=m, n=n, k=k, bits=bits))
    more = simt.count(flow, Shape(m=m + 1, n=3 * n, k=2 * k - 1, bits=bits))
    assert more.operations == 2 * 3 * 2
    for name in ("macs", "issue_cycles", "register_file", "buffer_a", "buffer_b"):
        assert getattr(more, name) == 12 * getattr(one, name)
    # One fill for all of them.
    assert more.cycles - more.issue_cycles == one.cycles - one.issue_cycles


def test_sums_that_stay_in_the_core():
    """Then only finished results go to the registers, however long k is."""
    shape = Shape(m=32, n=128, k=160)
    for flow in FLOWS:
        m, n, k = simt.operation(flow, 4)
        kept, there = (simt.count(flow, shape, Core(sums=where)) for where in ("core", "registers"))
        assert kept.register_file_c == -(-32 // m) * m * (-(-128 // n) * n) // 16
        assert there.register_file_c == kept.register_file_c * -(-160 // k)
        assert there.register_file_a == kept.register_file_a


def speedup(bits, trees, fill, operations=16):
    x = 16 // bits
    core = Core(trees=trees, fill=fill)
    shapes = {"packed_k": (16, 16 * x), "packed_n": (16 * x, 16)}
    cycles = {
        flow: simt.count(flow, Shape(m=16 * operations, n=n, k=k, bits=bits), core).cycles
        for flow, (n, k) in shapes.items()
    }
    return cycles["packed_k"] / cycles["packed_n"]


def test_speedup_is_the_published_one():
    """Figure 7b: one operation with the three cycles of fill that the paper's cycle counts fit."""
    assert speedup(4, 2, 3, operations=1) == pytest.approx(515 / 259)
    assert speedup(4, 2, 3, operations=1) == pytest.approx(1.988, abs=1e-3)
    assert speedup(4, 1, 20) == speedup(2, 1, 20) == 1
    assert speedup(4, 8, 20) == speedup(4, 4, 20)


def walk_traffic(flow, shape, blocks):
    """Bits of a product by level, thread block by thread block and warp by warp."""
    m, n, k = shape.m, shape.n, shape.k
    bits = Counter()

    def stored(columns):
        groups = -(-k // blocks.scale_group)
        return k * columns * shape.bits + groups * columns * 16

    bits["dram"] = m * k * 16 + stored(n) + m * n * 32
    bits["l2"] = m * n * 32
    for row in range(0, m, blocks.m):
        for column in range(0, n, blocks.n):
            rows, columns = min(blocks.m, m - row), min(blocks.n, n - column)
            a, b, unpacked = rows * k * 16, stored(columns), k * columns * 16
            bits["l2"] += a + b
            bits["l1"] += a + b
            if flow == "fp16" and blocks.dequantize == "l1":
                bits["l1"] += b + unpacked
                bits["registers"] += 2 * b + 2 * unpacked
            for warp in range(0, rows, 16):
                own = min(16, rows - warp) * k * 16
                whole = flow == "fp16" and blocks.dequantize == "l1"
                bits["l1"] += own + (unpacked if whole else b)
                bits["registers"] += own + (unpacked if whole else b)
                if flow == "fp16" and not whole:
                    bits["registers"] += b + unpacked
    return bits


SHAPES = [Shape(m=16, n=256, k=128), Shape(m=128, n=300, k=200, bits=2), Shape(m=5, n=7, k=9)]


@pytest.mark.parametrize("dequantize", ["l1", "registers"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("flow", FLOWS)
def test_traffic_is_that_of_the_blocks(flow, shape, dequantize):
    blocks = Blocks(m=32, n=64, scale_group=48, dequantize=dequantize)
    moved = simt.traffic(flow, shape, blocks=blocks)
    due = walk_traffic(flow, shape, blocks)
    assert (moved.dram, moved.l2, moved.l1) == (due["dram"], due["l2"], due["l1"])
    counted = simt.count(flow, shape)
    tiles = counted.register_file_a + counted.register_file_b
    core = 256 * tiles + 2 * 512 * counted.register_file_c + shape.m * shape.n * 32
    assert moved.register_file == due["registers"] + core
    b = {"packed_n": 64, "packed_k": 16, "fp16": 64}[flow]
    reads = 64 * counted.buffer_a + b * counted.buffer_b
    assert moved.operand_buffer == 256 * tiles + reads
    assert (moved.dequantized > 0) == (flow == "fp16")


def test_energy_adds_up():
    shape, unit = Shape(m=16, n=64, k=64), Unit(pj_per_mac=2.0, pj_per_dequantized=3.0)
    for flow in FLOWS:
        moved, counted = simt.traffic(flow, shape), simt.count(flow, shape)
        result = simt.energy(flow, shape, unit)
        due = 2 * counted.macs + 3 * moved.dequantized
        due += sum(bits * simt.MEMORIES[name].pj_per_bit for name, bits in moved.bits.items())
        assert result.total == pytest.approx(due)
        assert result.delay_product == pytest.approx(due * counted.cycles)


def test_the_table_is_horowitz():
    per_access = {name: 64 * m.pj_per_bit for name, m in simt.MEMORIES.items()}
    assert per_access["register_file"] == 10
    assert per_access["l2"] == 100
    assert 20 < per_access["l1"] < 40
    assert per_access["operand_buffer"] < per_access["register_file"] < per_access["l1"]
    assert all(memory.source for memory in simt.MEMORIES.values())


def test_sensitivity():
    shape = Shape(m=16, n=4096, k=4096)
    mine, other = Unit(pj_per_mac=1.0), Unit(pj_per_mac=3.0)
    found = simt.sensitivity(shape, "packed_n", mine, "fp16", other)
    assert set(found) == {"all", *simt.MEMORIES}
    result = found["all"][1.0]
    expected = [
        simt.energy(flow, shape, unit).delay_product
        for flow, unit in (("packed_n", mine), ("fp16", other))
    ]
    assert result == pytest.approx(expected[0] / expected[1])
    # Both flows fetch the same weights from memory: dearer memory makes them more alike.
    assert found["dram"][0.5] < result < found["dram"][2.0]
    # What the packed flow uses less of counts the more for it.
    assert found["l1"][2.0] < result < found["l1"][0.5]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Shape(m=0, n=1, k=1), "m must be at least 1, not 0"),
        (lambda: Shape(m=1, n=1, k=1, bits=3), "bits must be 2 or 4, not 3"),
        (lambda: Core(trees=3), "trees must be 1, 2, 4 or 8, not 3"),
        (lambda: Core(fill=-1), "fill must be at least 0, not -1"),
        (lambda: Core(sums="l1"), "sums must be 'registers' or 'core', not 'l1'"),
        (lambda: simt.operation("packed", 4), "flow must be packed_n, packed_k, fp16"),
        (lambda: Blocks(n=0), "n must be at least 1, not 0"),
        (lambda: Blocks(dequantize="l2"), "dequantize must be 'l1' or 'registers'"),
        (lambda: Unit(pj_per_mac=0), "pj_per_mac must be above 0, not 0"),
        (lambda: Unit(pj_per_mac=1, pj_per_dequantized=-1), "pj_per_dequantized must be at least"),
    ],
)
def test_bad_parameters(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
