"""What happens to a device in its tests, in whatever simulator."""

import dataclasses

from lamina_gen.device import measure
from lamina_gen.device.host import ALL, MEM_WR_PTL, Host, control_word, line_at, random_setup
from lamina_sim.golden import store


async def begin(dut, simulator, rng, setup=None, **options):
    """A programmed device behind a host."""
    host = Host(dut, simulator, rng, setup or random_setup(rng), **options)
    await host.program()
    return host


async def every_line(host, blocks=3):
    """All lines of some blocks, in order, through every view."""
    for window in host.windows:
        for line in range(blocks * window.view.lines):
            host.read(host.address(window.base + 64 * line))
    await host.drain()
    return await host.check()


async def isolated_reads(host, count=40):
    """Reads of single lines far from each other; returns (planes of the view, beats) of each."""
    costs = []
    for _ in range(count):
        window = host.rng.choice(host.windows)
        line = host.rng.randrange(window.view.lines)
        if window.view.kind in ("packed", "planes"):
            line = host.rng.randrange(window.view.k)
        before = host.memory.beats
        await host.write_register("poison_index", 0)  # forgets what was read
        host.read(line_at(host, window, host.rng.randrange(window.blocks), line))
        await host.drain()
        costs.append((window.view.planes_read, host.memory.beats - before))
    await host.check()
    return costs


async def always_waited_for(host, blocks=220):
    """One block that reads wait for without a pause, while others come and go."""
    await host.write_register("prefetch", 0)  # none beyond the last
    window = host.windows[1]
    for block in range(1, blocks):
        for _ in range(3):
            host.read(line_at(host, window, 0, host.rng.randrange(window.view.lines)))
        host.read(line_at(host, window, block, 0))
    await host.drain()
    return await host.check()


async def crowded(host, rounds=60):
    """As many reads as the device takes wait for one block, while more are fetched ahead of it."""
    rng, window, answers = host.rng, host.windows[1], host.takers[0]
    for _ in range(rounds):
        block = rng.randrange(window.blocks - 8)
        answers.stall = 0
        for ahead in range(3):
            host.read(line_at(host, window, block + ahead, 0))
        for _ in range(rng.randrange(80)):
            await host.stepper.step()
        answers.stall = 1
        for _ in range(rng.randrange(16, 24)):
            host.read(line_at(host, window, block + 2, rng.randrange(window.view.lines)))
        for _ in range(rng.randrange(250)):
            await host.stepper.step()
        answers.stall = rng.choice((0, 0.5, 0.9))
        for _ in range(rng.randrange(400)):
            await host.stepper.step()
    answers.stall = 0
    await host.drain()
    return await host.check()


async def sweep(host, blocks, depth, outstanding):
    """A stream of reads with up to ``depth`` blocks fetched ahead; (stream, counters)."""
    await host.write_register("prefetch", depth)
    stream = await measure.streaming(host, blocks, outstanding)
    return stream, await host.check()


async def view_moves(host, rounds=40):
    """A window is moved to other data while blocks ahead of a stream are asked for."""
    window, half = host.windows[1], host.windows[1].blocks
    for n in range(rounds):
        await host.write_register("counter_clear", 1)
        for block in range(3):
            host.read(line_at(host, window, block, 0))
        while host.expected:
            await host.stepper.step()
        for _ in range(n // 2):
            await host.stepper.step()
        window = dataclasses.replace(window, store=half * 64 * 8 if window.store == 0 else 0)
        host.windows = host.golden.windows = (host.windows[0], window)
        await host.write_register("view_store_low", window.store, 32)
        await host.write_register("view_control", control_word(window), 32)
        for block in range(3, 12):
            host.read(line_at(host, window, block, 0))
        await host.drain()
    return await host.counters()


async def failing_planes(host, rounds=60):
    """Reads of blocks of which one plane fails; then writes of which one fails."""
    rng = host.rng
    for _ in range(rounds):
        window = rng.choice(host.windows)
        block, form = rng.randrange(window.blocks), window.view.format
        plane = rng.randrange(form.bits)
        row = window.blocks_per_row
        bad = window.store + int(store.plane_address(block, plane, form.bits, blocks_per_row=row))
        writes = rng.random() < 0.3
        for memory in (host.memory, host.golden):
            memory.read_fails = lambda address, bad=bad, on=not writes: on and address == bad
            memory.write_fails = lambda address, bad=bad, on=writes: on and address == bad
        same = [w for w in host.windows if w.store == window.store]
        await host.write_register("poison_index", 0)  # forgets what was read before it failed
        if writes:
            full = next(w for w in same if w.view.kind == "full")
            host.write(
                line_at(host, full, block, rng.randrange(full.view.lines)), rng.randbytes(64)
            )
            await host.drain()
        for other in rng.sample(same, 2):
            for line in range(other.view.lines):
                host.read(line_at(host, other, block, line))
        if not writes and rng.random() < 0.3:
            full = next(w for w in same if w.view.kind == "full")
            await host.drain()
            at = line_at(host, full, block, rng.randrange(full.view.lines))
            host.write(at, rng.randbytes(64), rng.getrandbits(64), MEM_WR_PTL)
        await host.drain()
        for memory in (host.memory, host.golden):
            memory.read_fails = memory.write_fails = lambda _address: False
        for line in range(window.view.lines):
            host.read(line_at(host, window, block, line))
        await host.drain()
    return await host.check()


async def seen_once_answered(host, rounds=150):
    """Reads of a block race a write to it; what is read after its Cmp has the written line.

    A line that is read meanwhile has, bit for bit, what was there before or after; where codes are
    rounded, what is rounded.
    """
    rng = host.rng
    raced = 0
    for _ in range(rounds):
        full = rng.choice([w for w in host.windows if w.view.kind == "full"])
        block = rng.randrange(full.blocks)
        same = [w for w in host.windows if w.store == full.store]
        reads = [(w, rng.randrange(w.view.lines)) for w in rng.choices(same, k=6)]
        before = [host.read(line_at(host, w, block, line)) for w, line in reads]
        old = [host.expected[tag].data for tag in before]
        at = rng.randrange(full.view.lines)
        for _ in range(rng.randrange(12)):
            await host.stepper.step()
        # Those that are answered are checked; the others may see either.
        waiting = [n for n, tag in enumerate(before) if tag in host.expected]
        tag = host.write(line_at(host, full, block, at), rng.randbytes(64))
        for n in waiting:
            window, line = reads[n]
            new = host.golden.peek(line_at(host, window, block, line))
            rounded = window.view.planes_read > window.view.k
            host.either[before[n]] = None if rounded else (old[n], new)
            raced += 1
        while tag in host.expected:
            await host.stepper.step()
        for window, line in reads:
            host.read(line_at(host, window, block, line))
        while host.expected:
            await host.stepper.step()
    await host.drain()
    await host.check()
    return raced


async def view_changes_under_a_partial_write(host, view):
    """A full view shows something else, or nothing, when a partial write through it is to be mixed
    with what is there: the line is poisoned, and keeps what it had.
    """
    full, rng = host.windows[0], host.rng
    bits, row = full.view.format.bits, full.blocks_per_row
    planes = [int(store.plane_address(2, plane, bits, blocks_per_row=row)) for plane in range(bits)]
    before = [bytes(host.memory.data[at : at + 64]) for at in planes]
    # The partial write waits for the one before it.
    host.memory.hold_writes = True
    host.write(line_at(host, full, 1, 0), rng.randbytes(64))
    at = line_at(host, full, 2, 1)
    tag = host.write(at, rng.randbytes(64), rng.getrandbits(63), MEM_WR_PTL)
    while host.rwd.queue:
        await host.stepper.step()
    changed = control_word(dataclasses.replace(full, view=view)) if view else 0
    await host.write_register("view_control", changed)
    host.memory.hold_writes = False
    while tag in host.expected:
        await host.stepper.step()
    await host.write_register("view_control", control_word(full))
    tag = host.read(at)
    host.expected[tag] = dataclasses.replace(host.expected[tag], poison=True, data=None)
    await host.drain()
    assert [bytes(host.memory.data[at : at + 64]) for at in planes] == before


async def registers(host):
    """What software may do wrong, and what it finds."""
    assert (await host.access(0x000))[1] == 0x4C414D53
    for nowhere in (0x00C, 0x0FC, 0x7FC, 0x800 + 32 * 16):
        assert (await host.access(nowhere))[0] == 2
        assert (await host.access(nowhere, 1))[0] == 2
    # Part of a word is not written.
    assert (await host.access(0x804, 0xFFFFFFFF, strobes=7))[0] == 2
    assert await host.read_register("view_blocks") == host.windows[0].blocks
    # Entries that contradict themselves are not put into force.
    good = await host.read_register("view_control")
    for wrong in (good & ~0xF0, good | 0xF0, good & ~0x1F0300 | 0x300, good | 31 << 16 | 0x300):
        await host.write_register("view_control", wrong)
        assert not await host.read_register("view_control") & 1
    await host.write_register("view_control", good)
    assert await host.read_register("view_control") == good
    await host.write_register("view_base_low", host.windows[0].base + 64)
    await host.write_register("view_control", good)
    assert not await host.read_register("view_control") & 1
    await host.write_register("view_base_low", host.windows[0].base & 0xFFFFFFFF)
    await host.write_register("view_control", good)
    # A committed decoder keeps its registers; interleave cannot be committed.
    await host.write_register("hdm_size_low", 0)
    assert await host.read_register("hdm_decoder_control") >> 9 & 7 == 3
    await host.write_register("hdm_decoder_control", 0)
    await host.write_register("hdm_decoder_control", 1 << 9 | 1 << 4)
    assert await host.read_register("hdm_decoder_control") >> 9 & 7 == 5
    await host.write_register("hdm_decoder_control", 1 << 9)
    for _ in range(8):
        await host.stepper.step()
    await every_line(host, blocks=1)
    await host.write_register("counter_clear", 1)
    assert not any((await host.counters()).values())


async def poison_registers(host, entries):
    """The table fills, overflows, is read and cleared."""
    rng = host.rng
    full = next(w for w in host.windows if w.view.kind == "full")
    blocks = rng.sample(range(full.blocks), entries + 3)
    for block in blocks:
        line = rng.randrange(full.view.lines)
        host.write(line_at(host, full, block, line), rng.randbytes(64), poison=True)
        await host.drain()
    status = await host.read_register("poison_status")
    assert (status & 0xFF, status >> 31) == (entries, 1)
    for name, wanted in zip(("first", "last"), host.golden.overflow, strict=True):
        low = await host.read_register(f"overflow_{name}_low")
        assert low | await host.read_register(f"overflow_{name}_high") << 32 == wanted
    for block in rng.sample(range(full.blocks), 12):
        host.read(line_at(host, full, block, rng.randrange(full.view.lines)))
    await host.drain()
    await host.write_register("poison_clear", 2)
    host.golden.overflow = None
    for index in range(entries):
        await host.write_register("poison_index", index)
        block = await host.read_register("poison_block_low")
        block |= await host.read_register("poison_block_high") << 32
        assert await host.read_register("poison_lines") == host.golden.poison[block]
        if index % 2:
            await host.write_register("poison_clear", 1)
            del host.golden.poison[block]
    for block in blocks:
        for line in range(full.view.lines):
            host.read(line_at(host, full, block, line))
    await host.drain()
    return await host.check()


async def writes_held(host):
    """Memory takes no writes for a while: reads of other blocks come back all the same."""
    rng, full = host.rng, next(w for w in host.windows if w.view.kind == "full")
    host.memory.hold_writes = True
    half = full.blocks // 2
    for n in range(120):
        line = line_at(host, full, n % half, n // half % full.view.lines)
        enable = rng.getrandbits(64) if n % 50 == 49 else ALL
        host.write(line, rng.randbytes(64), enable, MEM_WR_PTL)
    for _ in range(300):
        await host.stepper.step()
    assert host.rwd.queue, "all writes were taken: the test holds back too few"
    tags = []
    for _ in range(100):
        window = rng.choice([w for w in host.windows if w.store == full.store])
        block = rng.randrange(half, window.blocks)
        tags.append(host.read(line_at(host, window, block, rng.randrange(window.view.lines))))
    for _ in range(4000):
        await host.stepper.step()
    assert all(tag in host.answered for tag in tags)
    host.memory.hold_writes = False
    await host.drain()
    return await host.check()
