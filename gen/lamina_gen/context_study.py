"""Loss against bytes of weights that a runtime fetches by context, on golden and on the device."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lamina_gen import plots
from lamina_gen.device.reader import Reader
from lamina_gen.precision_search import mean_squares
from lamina_gen.study import Study
from lamina_gen.text import MismatchError
from lamina_sim.perf.dram import Accesses, Ddr5
from lamina_sim.verilated import Model
from lamina_sim.workload.attention import KeyValues
from lamina_sim.workload.calibrate import dequantized
from lamina_sim.workload.evaluation import Evaluator
from lamina_sim.workload.quantize import Quantized
from lamina_sim.workload.runtime import (
    ByContext,
    Fetch,
    Fixed,
    Policy,
    Runtime,
    place,
    price_of,
    survey,
)
from lamina_sim.workload.runtime.placement import TILE_ROWS
from lamina_sim.workload.search import plane_search
from lamina_sim.workload.search.planes import Planes, fraction, read_rows

__all__ = ["POLICIES", "SHARES", "ContextStudy", "plot"]

Report = Callable[[str, float], None]

#: Name: what picks the planes.
POLICIES = {
    "uniform": "the same planes everywhere",
    "searched": "planes by 8 outputs, as `lamina search --planes rows` finds them",
    "usual": "planes by unit, for the mean importances of the calibration text",
    "context": "planes by unit, for the importances at hand",
}

#: Shares of the bytes of all planes to fetch by context where none are given.
SHARES = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55)


class _Losses:
    """Losses of static planes of every 8 outputs; of those that come again, as they were found.

    Searches within several tolerances have the same reference, and the same probes.
    """

    def __init__(self, evaluator: Evaluator, codes: Mapping[str, Quantized]) -> None:
        self._evaluator, self._codes = evaluator, codes
        self._reference = evaluator.score(dequantized(codes))
        self.powers = mean_squares(evaluator, codes)
        self._found: dict[tuple[tuple[int, ...], ...], float] = {}

    def of(self, planes: Planes) -> float:
        """Loss over that of all planes."""
        key = tuple(tuple(planes[name]) for name in self._codes)
        if key not in self._found:
            linear = dequantized(read_rows(self._codes, planes, TILE_ROWS))
            self._found[key] = self._evaluator.score(linear).over(self._reference)
        return self._found[key]


class ContextStudy:
    """A study's model with its codes in the store; nothing of the text evaluated is known before.

    ``units``: what is fetched at one precision, as `place` has it. Rows say of a policy: policy,
    aimed (planes, tolerance or share), share of the bytes of all planes that was fetched,
    bytes_per_step of tokens, loss, over_whole (nats a token more than at all planes).
    """

    def __init__(self, study: Study, report: Report, units: str = "rows") -> None:
        self.study, self.report = study, report
        self.region = place(study.model, study.codes, units)
        self.calibration = study.calibrator()
        self.known = survey(self.region, self.calibration, report)
        whole = Runtime(self.region, Fixed(self.region, self.region.form.bits))
        self.whole = study.evaluator.score(whole).loss  # at all planes
        self._usual: dict[float, dict[str, Any]] = {}  # rows by share

    def with_units(self, units: str) -> ContextStudy:
        """The same with other units; what was learned of the products and the text holds."""
        other = copy.copy(self)
        other.region, other._usual = place(self.study.model, self.study.codes, units), {}
        return other

    @property
    def bytes(self) -> int:
        """Bytes of all planes."""
        return 64 * self.region.blocks * self.region.form.bits

    @property
    def tokens(self) -> int:
        """Tokens that a loss is of."""
        return self.study.evaluator.tokens

    def policy(self, share: float, step: int | None = 1) -> ByContext:
        """By the context of ``step`` tokens, to fetch about ``share`` of all bytes.

        None: as `frozen` fetches them.
        """
        price = price_of(share, self.region, self.known, step)
        return ByContext(self.region, self.known, price)

    def measure(
        self, shares: Sequence[float], tolerances: Sequence[float], step: int = 1
    ) -> dict[str, Any]:
        """Rows of every policy, and the tokens, bytes and loss at all planes they are beside."""
        rows = self.uniform() + [self.searched(tolerance) for tolerance in tolerances]
        rows += self.shares(shares, step)
        return {"tokens": self.tokens, "bytes": self.bytes, "loss": self.whole, "rows": rows}

    def uniform(self) -> list[dict[str, Any]]:
        """Rows of the same planes everywhere."""
        rows, bits = [], self.region.form.bits
        for planes in range(max(1, bits // 4), bits):
            self.report("Same planes everywhere", planes / bits)
            rows.append(self._row("uniform", planes, Fixed(self.region, planes)))
        return rows

    def shares(self, shares: Sequence[float], step: int = 1) -> list[dict[str, Any]]:
        """Rows by context, ``step`` tokens together, and for the usual importances."""
        rows = []
        for number, share in enumerate(shares):
            self.report("Planes by context", number / len(shares))
            if share not in self._usual:
                # The same for every step: its planes are too.
                fixed = self.policy(share, None).frozen()
                self._usual[share] = self._row("usual", share, fixed)
            rows.append(self._usual[share])
            rows.append(self._row("context", share, self.policy(share, step), step))
        return rows

    def _row(self, name: str, aimed: float, policy: Policy, step: int = 1) -> dict[str, Any]:
        runtime = Runtime(self.region, policy, step=step)
        loss = self.study.evaluator.score(runtime).loss
        return self._entries(name, aimed, runtime.share, loss)

    def _entries(self, name: str, aimed: float, share: float, loss: float) -> dict[str, Any]:
        return {
            "policy": name,
            "aimed": aimed,
            "share": share,
            "bytes_per_step": share * self.bytes,
            "loss": loss,
            "over_whole": loss - self.whole,
        }

    def searched(self, tolerance: float) -> dict[str, Any]:
        """The row of static planes of every 8 outputs, searched on the calibration text."""
        codes, losses = self.study.codes, self._losses
        self.report("Searching static planes", 0.0)
        found = plane_search(losses.of, codes, tolerance, powers=losses.powers, rows=TILE_ROWS)
        read = read_rows(codes, found.planes, TILE_ROWS)
        loss = self.study.evaluator.score(dequantized(read)).loss
        return self._entries("searched", tolerance, fraction(found.planes, codes, TILE_ROWS), loss)

    @cached_property
    def _losses(self) -> _Losses:
        return _Losses(self.calibration, self.study.codes)

    def on_device(self, model: Model, share: float, tokens: int, step: int = 1) -> dict[str, Any]:
        """The text's first tokens, step by step, with weights out of ``store.device`` in RTL.

        The device, built, is first given the whole model as arrays. MismatchError where a line is
        not golden's. On AXI there is less than the runtime asked for where a product has so few
        blocks that the device still has them from the step before.
        """
        policy = self.policy(share, step)
        ids = self.study.ids[:tokens]
        runs: list[tuple[np.ndarray, int]] = []
        with model.stepped() as stepped:
            stepped.reset()
            self.report("Writing the weights", 0.0)
            reader = Reader(stepped, self.region)
            try:
                stored = reader.store()
                for fetch in (reader, self.region.fetch):
                    self.report("Reading by context", len(runs) / 2)
                    runs.append(self._step_by_step(policy, fetch, ids, step))
            except AssertionError as error:
                raise MismatchError(f"store.device is not as its golden model: {error}.") from None
            opened = reader.host.memory.rows.activations
        (logits, _), (golden, asked) = runs
        if (logits != golden).any():
            raise MismatchError("Logits with weights out of store.device are not golden's.")
        moved, steps = Accesses(reader.bytes // 64, opened), -(-len(ids) // step)
        return {
            "aimed": share,
            "tokens": len(ids),
            "lines_compared": moved.bursts,
            "bytes_per_step": asked / steps,
            "axi_bytes_per_step": reader.bytes / steps,
            "activations_per_step": opened / steps,
            "nj_per_step": Ddr5().energy_pj(moved) / 1000 / steps,
            "cycles_per_step": reader.cycles / steps,
            "cycles_to_store": stored,
        }

    def _step_by_step(
        self, policy: Policy, fetch: Fetch, ids: np.ndarray, step: int
    ) -> tuple[np.ndarray, int]:
        """Logits of the tokens ``ids``, and the bytes that were asked for."""
        model, past = self.study.model, KeyValues()
        runtime = Runtime(self.region, policy, step=step, fetch=fetch)
        states = [
            model.states(ids[start : start + step], linear=runtime, past=past)
            for start in range(0, len(ids), step)
        ]
        return model.head(np.concatenate(states), runtime), runtime.bytes


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Loss over that of all planes against the share of the bytes, a line for each policy."""
    chart, axes = plots.figure()
    for name in POLICIES:
        points = sorted(
            (100 * row["share"], row["over_whole"]) for row in rows if row["policy"] == name
        )
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set(xlabel="bytes of all planes, %", ylabel="nats a token over all planes")
    axes.set_yscale("symlog", linthresh=1e-3)  # a short text may gain by chance
    axes.legend(fontsize=7)
    plots.save(chart, path)
