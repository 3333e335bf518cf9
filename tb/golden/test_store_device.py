"""The golden device against lists of codes: no planes, no memory layout, no NumPy arithmetic."""

import random

import numpy as np
import pytest

from lamina_sim.golden import store
from lamina_sim.golden.store import device as golden
from tb.bench import seeds
from tb.golden import oracle_store

BASE, GRAIN = 1 << 16, 1 << 28
BLOCKS, ROW = 5, 4
ALL = (1 << 64) - 1


@pytest.fixture
def rng(request):
    return random.Random(seeds(request.node.nodeid))


def unread_as_zero(code, form, view):
    """A code without the planes that the view does not read."""
    dropped = form.bits - view.planes_read
    return code >> dropped << dropped


def line_of(codes, view, line):
    """A line as the oracle has it."""
    form = view.format
    name = form.name if form.floating else None

    def narrow(code):
        code = unread_as_zero(code, form, view)
        if form.floating:
            return oracle_store.narrow_float(code, name, view.k, view.rounding)
        return oracle_store.narrow_integer(code, form.bits, view.k, view.rounding)

    text = oracle_store.read(codes, form.bits, narrow, view.kind, view.k)
    return text[64 * line : 64 * line + 64]


def device_of(rng, form, **options):
    """A device with all views of a region of random memory; its windows by view."""
    views = [store.View(kind="full", format=form)]
    for keep in range(form.least_planes, form.bits + 1):
        for kind in ("container", "packed", "planes"):
            for rounding in ("truncate", "nearest"):
                views.append(store.View(kind=kind, format=form, keep=keep, rounding=rounding))
    where, windows = BASE, []
    for view in views:
        windows.append(
            golden.Window(view=view, base=where, blocks=BLOCKS, store=8192, blocks_per_row=ROW)
        )
        where += BASE * 2
    rows = -(-BLOCKS // ROW)
    memory = np.frombuffer(rng.randbytes(8192 + rows * ROW * 64 * form.bits), np.uint8).copy()
    decoder = golden.Decoder(base=7 * GRAIN, size=GRAIN)
    return golden.Device(memory, windows, [decoder], **options)


def address(window, block, line):
    return 7 * GRAIN + window.base + 64 * (block * window.view.lines + line)


def codes_of(device, window, block):
    """The codes of a block, as its full view gives them."""
    form, codes = window.view.format, []
    for line in range(window.view.lines):
        data = device.request(1, address(window, block, line), 0).data
        width = form.container_bits // 8
        for at in range(0, 64, width):
            codes.append(int.from_bytes(data[at : at + width], "little", signed=not form.floating))
    return codes


@pytest.mark.parametrize("form", store.FORMATS.values(), ids=store.FORMATS.keys())
def test_writes_are_seen_through_every_view(form, rng):
    device = device_of(rng, form)
    full = device.windows[0]
    blocks = {block: codes_of(device, full, block) for block in range(BLOCKS)}
    width = form.container_bits // 8
    for _ in range(12):
        block, line = rng.randrange(BLOCKS), rng.randrange(full.view.lines)
        data, enable = rng.randbytes(64), rng.choice((ALL, rng.getrandbits(64), 1, 0))
        opcode = rng.choice((1, 2))
        answer = device.write(opcode, address(full, block, line), 3, data, enable, ld_id=2)
        assert answer == golden.Answer("Cmp", 3, 2)
        enable = ALL if opcode == 1 else enable
        for n in range(64 // width):
            at = line * (64 // width) + n
            octets = bytearray((blocks[block][at] % 256**width).to_bytes(width, "little"))
            for byte in range(width):
                if enable >> (n * width + byte) & 1:
                    octets[byte] = data[n * width + byte]
            code = int.from_bytes(octets, "little") % 2**form.bits
            if not form.floating and code >= 2 ** (form.bits - 1):
                code -= 2**form.bits
            blocks[block][at] = code
    for window in device.windows:
        block = rng.randrange(BLOCKS)
        for line in range(window.view.lines):
            got = device.request(2, address(window, block, line), 5, 1)
            wanted = line_of(blocks[block], window.view, line)
            assert got == golden.Answer("MemData", 5, 1, wanted, False)


def holds_bits(view, line, codes):
    """Whether a line of a view changes with any of ``codes``."""
    zero = [0] * 512
    nothing, ones = line_of(zero, view, line), 0xFFFF if view.format.floating else -1
    return any(
        line_of([*zero[:code], ones, *zero[code + 1 :]], view, line) != nothing for code in codes
    )


@pytest.mark.parametrize(
    ("form", "kind", "keep"),
    [
        (store.INT8, "packed", 3),
        (store.INT4, "packed", 3),
        (store.INT5, "planes", 2),
        (store.INT8, "container", 5),
        (store.BF16, "packed", 11),
        (store.FP16, "planes", 7),
    ],
)
def test_poison_reaches_exactly_the_lines_with_its_codes(form, kind, keep, rng):
    device = device_of(rng, form)
    full = device.windows[0]
    view = store.View(kind=kind, format=form, keep=keep)
    window = next(w for w in device.windows if w.view == view)
    bad = rng.randrange(full.view.lines)
    device.write(1, address(full, 2, bad), 0, bytes(64), poison=True)
    per_line = 512 // full.view.lines
    codes = range(bad * per_line, (bad + 1) * per_line)
    for line in range(view.lines):
        holds = holds_bits(view, line, codes)
        assert device.request(1, address(window, 2, line), 0).poison == holds
    assert device.counters["poisoned_reads"] > 0
    # A partial write keeps the poison, a whole line ends it.
    device.write(2, address(full, 2, bad), 0, bytes(64), 0xFF)
    assert device.request(1, address(full, 2, bad), 0).poison
    device.write(1, address(full, 2, bad), 0, bytes(64))
    assert device.request(1, address(full, 2, bad), 0) == golden.Answer(
        "MemData", 0, 0, bytes(64), False
    )


@pytest.mark.parametrize("form", [store.INT4, store.FP16], ids=["int4", "fp16"])
def test_a_failing_plane_spoils_only_what_reads_it(form, rng):
    """Every plane in turn; found again by looking which planes change a line."""
    device = device_of(rng, form)
    planes = [
        8192 + store.plane_address(1, p, form.bits, blocks_per_row=ROW)
        for p in range(16)
        if p < form.bits
    ]
    for failing in range(form.bits):
        device.read_fails = lambda a, bad=planes[failing]: a == bad
        for window in device.windows[:: 5 if form.floating else 1]:
            view = window.view
            for line in range(view.lines):
                got = device.request(1, address(window, 1, line), 0)
                if failing >= view.planes_read or (
                    view.kind != "full" and line >= view.k and view.kind != "container"
                ):
                    assert not got.poison
                elif view.kind == "planes" and view.planes_read == view.k:
                    assert got.poison == (line == failing)
                else:
                    assert got.poison
                assert (got.data is None) == got.poison


def test_what_is_not_there(rng):
    device = device_of(rng, store.INT3)
    last = device.windows[-1]
    nowhere = address(last, BLOCKS, 0)
    assert device.request(1, nowhere, 9) == golden.Answer("MemData-NXM", 9, 0, b"\xff" * 64)
    assert device.request(0, nowhere, 9) == golden.Answer("Cmp", 9, 0)
    assert device.request(8, nowhere, 9) is None
    assert device.request(10, nowhere, 9) is None
    assert device.write(5, nowhere, 9, bytes(64)) is None
    before = device.memory.copy()
    assert device.write(1, nowhere, 9, bytes(64)).kind == "Cmp"
    assert device.write(1, address(last, 0, 0), 9, bytes(64)).kind == "Cmp"
    assert np.array_equal(before, device.memory)
    assert {name: count for name, count in device.counters.items() if count} == {
        "reads": 1, "invalidates": 1, "malformed": 2, "writes": 2, "unmapped_reads": 1,
        "unmapped_writes": 1, "read_only_writes": 1,
    }  # fmt: skip


def test_poison_table_overflows(rng):
    device = device_of(rng, store.INT8, poison_entries=2)
    full = device.windows[0]
    for block in (0, 1, 3, 4):
        device.write(1, address(full, block, 0), 0, bytes(64), poison=True)
    assert len(device.poison) == 2
    assert device.overflow is not None
    for block, line, poison in ((0, 0, True), (0, 1, False), (2, 0, False), (3, 7, True)):
        assert device.request(1, address(full, block, line), 0).poison == poison


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: golden.Decoder(base=5, size=GRAIN), "base must be a multiple of"),
        (lambda: golden.Decoder(base=0, size=1), "size must be a multiple of"),
    ],
)
def test_maps_are_checked(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
