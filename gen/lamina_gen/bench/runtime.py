"""Loss against bytes of weights that are fetched by context, and what real models would read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lamina_gen.bench import Progress
from lamina_gen.build import build_model
from lamina_gen.context_study import SHARES, ContextStudy, plot
from lamina_gen.study import Settings, Study
from lamina_sim.perf.loading import KINDS, SHAPES, cost

__all__ = ["measure", "record", "traffic"]

#: Losses that the static search tolerates.
_TOLERANCES = (0.003, 0.01, 0.03)
#: What else may share a fetch: (units, tokens), at these shares.
_COARSER = (("heads", 1), ("matrices", 1), ("rows", 4), ("rows", 16))
_COARSER_SHARES = (0.35, 0.45)
#: Tokens on the device in RTL, and their share.
_TOKENS, _SHARE = 8, 0.45

#: Planes stored, and those read of attention, feed-forward part, and embedding with head.
_MIXES = (
    (16, (16, 16, 16)),
    (16, (12, 12, 16)),
    (16, (12, 10, 16)),
    (8, (8, 8, 8)),
    (8, (6, 4, 8)),
    (8, (4, 4, 8)),
)


def measure(progress: Progress | None = None) -> dict[str, Any]:
    """Measure tinylm in INT8 under each policy, some tokens on RTL; the model for real shapes."""
    report = progress or (lambda text, fraction: None)
    study = Study(Settings(source="tinylm", tokens=4096, weight_bits=8), report)
    context = ContextStudy(study, report)
    found = context.measure(SHARES, _TOLERANCES)
    model = build_model("store.device", {}, progress=report)
    found["rtl"] = context.on_device(model, _SHARE, _TOKENS)
    studies = {"rows": context}
    found["coarser"] = []
    for units, step in _COARSER:
        if units not in studies:
            studies[units] = context.with_units(units)
        for row in studies[units].shares(_COARSER_SHARES, step):
            found["coarser"].append({"units": units, "step": step, **row})
    found["shapes"] = traffic()
    return found


def traffic() -> list[dict[str, Any]]:
    """Model-load time and per-token traffic of published shapes at mixed precision."""
    rows = []
    for shape in SHAPES:
        for stored, planes in _MIXES:
            mix = dict(zip(KINDS, planes, strict=True))
            load = cost(shape.weights(), mix, stored)
            plain = cost(shape.weights(), mix, stored, container=True)
            token = cost(shape.weights(per_token=True), mix, stored)
            rows.append(
                {
                    "model": shape.name,
                    "planes": f"{'/'.join(map(str, planes))} of {stored}",
                    "load_gb": load.accesses.bytes / 1e9,
                    "load_ms": 1000 * load.seconds,
                    "load_container_ms": 1000 * plain.seconds,
                    "load_joules": load.energy_joules,
                    "token_gb": token.accesses.bytes / 1e9,
                    "token_ms": 1000 * token.seconds,
                    "token_joules": token.energy_joules,
                }
            )
    return rows


def record(result: dict[str, Any], docs: Path) -> None:
    """Bring the plot of the policies up to date."""
    plot(result["rows"], docs / "plots" / "runtime.svg")
