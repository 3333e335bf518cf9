"""What the store's device does to memory and link, counted in Verilator."""

import importlib.util
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lamina_gen.bench import Progress
from lamina_gen.build import build_model
from lamina_gen.device import litedram
from lamina_gen.device import measure as device
from lamina_gen.device.ends import ByHand, run
from lamina_gen.device.host import Host, Setup, random_setup
from lamina_gen.device.traffic import random_traffic
from lamina_sim.golden import store
from lamina_sim.perf import dram
from lamina_sim.verilated import Model

__all__ = ["figures", "measure"]

#: Cycles from an address to its beat, one beat a cycle, in all runs but the random ones.
_LATENCY = 20
_BLOCKS = 256
#: So many that a refresh more or less does not show.
_LITEDRAM_BLOCKS = 1024
_FORMATS = {"int8": store.INT8, "bf16": store.BF16}
_KINDS = ("planes", "packed", "container")
_FIGURES = (
    "bytes_ratio",
    "row_activation_ratio",
    "energy_ratio",
    "bus_utilization",
    "lines_per_cycle",
    "link_lines_per_block",
    "isolated_read_beats",
)
_LATENCIES = ("first_line_added", "streaming_per_line")

#: A host of few reads at a time, and a memory that answers later: with and without prefetch.
_SLOW, _FEW, _DEPTHS = 60, (16, 32), (0, 8)
_FEW_BLOCKS = 96
_FEW_VIEWS = (("planes", 4), ("packed", 4), ("container", 4), ("full", 8))

#: A device whose bursts are longer, as more blocks wait: LiteDRAM pays for every change of bank.
_WIDE = {"blocks": 128, "reads": 512}

#: Messages of random kinds; memory answers after 1 to 60 cycles, and now and then with an error.
_MESSAGES = 100_000


def measure(progress: Progress | None = None) -> dict[str, Any]:
    """Measure every view of INT8 and BF16, and count what random messages find."""
    report = progress or (lambda text, fraction: None)
    model = build_model("store.device", {}, progress=lambda text, part: report(text, part / 4))
    keeps = {name: range(f.least_planes, f.bits + 1) for name, f in _FORMATS.items()}
    found = figures(model, keeps, _MESSAGES, lambda text, part: report(text, 0.25 + 0.7 * part))
    report("LiteDRAM", 0.95)
    found["litedram"] = on_litedram(model, keeps["int8"])
    found["litedram_wide"] = on_litedram(build_model("store.device", _WIDE), keeps["int8"])
    return found


def figures(
    model: Model,
    keeps: Mapping[str, Sequence[int]],
    messages: int,
    report: Progress,
    few: Sequence[tuple[str, int]] = _FEW_VIEWS,
) -> dict[str, Any]:
    """Measure a built device: the prefixes ``keeps`` of each format, then random messages.

    ``few``: views, and their k, that a host of few reads at a time reads.
    """
    rows: list[dict[str, Any]] = []
    for name, planes in keeps.items():
        for keep in planes:
            report(f"{name}, {keep} planes", len(rows) / 100)
            rows += [_view(model, name, _FORMATS[name], kind, keep) for kind in _KINDS]
    found = {figure: _by_view(rows, figure) for figure in _FIGURES}
    latencies = {figure: _by_view(rows, figure) for figure in _LATENCIES}
    return {
        "memory_latency_cycles": _LATENCY,
        "blocks": _BLOCKS,
        **found,
        "read_latency_cycles": latencies,
        "few_reads": [_few(model, *view, reads) for view in few for reads in _FEW],
        **_fuzz(model, messages, report),
        "rows": rows,
    }


def _play(model: Model, scenario: Callable[[Host], Any], setup: Setup, **options: Any) -> Any:
    """Program a device that is out of reset; return what the scenario sees."""

    async def all_of_it() -> Any:
        host = Host(stepped, ByHand(stepped), random.Random(1), setup, **options)
        await host.program()
        return await scenario(host)

    with model.stepped() as stepped:
        stepped.reset()
        return run(all_of_it())


def _view(model: Model, name: str, form: store.Format, kind: str, keep: int) -> dict[str, Any]:
    setup = device.plain_setup(kind, keep, form, blocks=_BLOCKS)
    even = {"latency": (_LATENCY, _LATENCY)}
    stream = _play(model, lambda host: device.streaming(host, _BLOCKS), setup, **even)
    part, whole = dram.Accesses(stream.beats, stream.activations), dram.stream(form.bits, _BLOCKS)
    ddr5 = dram.Ddr5()
    cycles, wait = _play(model, device.first_line, setup, **even)
    return {
        "format": name,
        "planes": keep,
        "view": kind,
        "bytes_ratio": part.bursts / whole.bursts,
        "row_activation_ratio": part.activations / whole.activations,
        "energy_ratio": ddr5.energy_pj(part) / ddr5.energy_pj(whole),
        "bus_utilization": stream.beats_per_cycle,
        "lines_per_cycle": stream.lines_per_cycle,
        "first_line_added": cycles - wait,
        "streaming_per_line": 1 / stream.lines_per_cycle,
        "link_lines_per_block": stream.lines // _BLOCKS,
        "isolated_read_beats": _play(model, device.isolated_beats, setup, **even),
    }


def on_litedram(
    model: Model, keeps: Sequence[int], blocks: int = _LITEDRAM_BLOCKS
) -> dict[str, Any] | None:
    """Measure views `planes` of INT8 on LiteDRAM, which counts the rows; None if there is none.

    Figures by k, of streams of ``blocks``. ``bus_utilization``: beats a cycle; ``of_sequential``:
    the same over what LiteDRAM gives to bursts of 4 KiB from one end of the memory to the other.
    ``refreshed_rows``: opened again because a refresh had closed them, and not counted in
    ``row_activation_ratio``.
    """
    if importlib.util.find_spec("litedram") is None:
        return None
    views = [store.View(kind="planes", format=store.INT8, keep=keep) for keep in keeps]
    whole = dram.stream(store.INT8.bits, blocks)
    latencies: dict[str, Any] = {figure: {} for figure in ("first_line", *_LATENCIES)}
    found: dict[str, Any] = {"read_latency_cycles": latencies}

    async def all_of_it() -> None:
        setup = device.setup_of(views, blocks)
        host = await litedram.begin(stepped, memory, random.Random(1), setup)
        _, sequential = host.memory.sequential()
        found["sequential"] = sequential
        for number, keep in enumerate(keeps, 1):
            before = host.memory.rows.reopened
            stream = await device.streaming(host, blocks, number=number)
            row = {
                "bytes_ratio": stream.beats / whole.bursts,
                "row_activation_ratio": stream.activations / whole.activations,
                "refreshed_rows": host.memory.rows.reopened - before,
                "bus_utilization": stream.beats_per_cycle,
                "of_sequential": stream.beats_per_cycle / sequential,
            }
            for figure, value in row.items():
                found.setdefault(figure, {})[str(keep)] = value
            latencies["streaming_per_line"][str(keep)] = 1 / stream.lines_per_cycle
        for number, keep in enumerate(keeps, 1):  # apart: it leaves rows open
            cycles, wait = await device.first_line(host, number)
            latencies["first_line"][str(keep)] = cycles
            latencies["first_line_added"][str(keep)] = cycles - wait

    with model.stepped() as stepped, litedram.build().stepped() as memory:
        stepped.reset()
        memory.reset()
        run(all_of_it())
    return found


def _few(model: Model, kind: str, keep: int, reads: int) -> dict[str, Any]:
    """Lines a cycle that a host of ``reads`` reads at a time gets, by blocks fetched ahead."""
    found: dict[str, Any] = {"view": kind, "planes": keep, "reads": reads, "memory_latency": _SLOW}
    for depth in _DEPTHS:

        async def scenario(host: Host, depth: int = depth) -> device.Stream:
            await host.write_register("prefetch", depth)
            return await device.streaming(host, _FEW_BLOCKS, reads)

        setup = device.plain_setup(kind, keep, blocks=_FEW_BLOCKS)
        stream = _play(model, scenario, setup, latency=(_SLOW, _SLOW))
        found[f"lines_per_cycle_ahead_{depth}"] = stream.lines_per_cycle
        found[f"bytes_ratio_ahead_{depth}"] = stream.beats / (_FEW_BLOCKS * 8)
    return found


def _by_view(rows: list[dict[str, Any]], figure: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Return a figure by format, view, and planes."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        views = found.setdefault(row["format"], {})
        views.setdefault(row["view"], {})[str(row["planes"])] = row[figure]
    return found


def _fuzz(model: Model, messages: int, report: Progress) -> dict[str, int]:
    """Random messages, half of them at full speed, half with stalls everywhere."""

    async def scenario(host: Host) -> Host:
        host.strict = False
        await random_traffic(host, messages // 2)
        return host

    answers, wrong = 0, Counter[str]()
    for part, stall in enumerate((0.0, 0.4)):
        report("random messages", 0.5 + part / 4)
        setup = random_setup(random.Random(part))
        host = _play(model, scenario, setup, idle=stall, stall=stall, latency=(1, 60))
        answers += host.answers
        wrong += host.wrong
    found = {f"fuzz_{kind}": wrong[kind] for kind in ("lost", "duplicated", "corrupted")}
    return {"fuzz_transactions": answers, **found}
