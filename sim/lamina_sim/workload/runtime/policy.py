"""Which planes of which units are fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lamina_sim.workload.runtime.placement import Keep, Placed, Region

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a product before it is fetched.

    Members
        harm     [rows, bits + 1]: estimated loss of a row read at so many planes, per importance
        sample   [tokens, rows]: importances of the first tokens of the calibration text
        usual    [rows]: their mean over all of it
    """

    harm: Array
    sample: Array
    usual: Array


class Policy(Protocol):
    """Says how many planes of each unit are fetched."""

    def choose(self, name: str, importance: Array) -> Keep:
        """Planes [steps, units] of a product for importances [steps, rows]."""


class ByContext:
    """Each unit's planes are those whose harm and price are least in sum.

    ``price``: the loss, in nats a token, that a byte not fetched is worth.
    """

    def __init__(self, region: Region, known: Mapping[str, Known], price: float) -> None:
        self.region, self.known, self.price = region, known, price

    def choose(self, name: str, importance: Array) -> Keep:
        """As `Policy` says; of equals the fewest."""
        placed = self.region.placed[name]
        return _cheapest(placed, _harms(placed, self.known[name], importance), self.price)

    def frozen(self) -> Fixed:
        """The planes that are chosen for the usual importances, whatever the context."""
        chosen = {name: self.choose(name, item.usual[None])[0] for name, item in self.known.items()}
        return Fixed(self.region, chosen)


class Fixed:
    """The same planes whatever the context: ``planes`` of all, or by product, [units] or one."""

    def __init__(self, region: Region, planes: int | Mapping[str, npt.ArrayLike]) -> None:
        self.region, self.planes = region, planes

    def choose(self, name: str, importance: Array) -> Keep:
        """As `Policy` says; products that are not named are read whole."""
        named = self.planes if isinstance(self.planes, Mapping) else {name: self.planes}
        planes = np.asarray(named.get(name, self.region.form.bits), np.uint8)
        return np.broadcast_to(planes, (len(importance), len(self.region.placed[name].sizes)))


def price_of(
    share: float, region: Region, known: Mapping[str, Known], step: int | None = 1
) -> float:
    """The price at which `ByContext` fetches about ``share`` of all bytes.

    By the importances of the calibration text, ``step`` tokens together; None: by their mean.
    """
    if not 0 < share < 1:
        raise ValueError(f"The share of the bytes must be between 0 and 1, not {share:g}.")
    harms = {}
    for name, item in known.items():
        sample = item.usual[None] if step is None else pooled(item.sample, step)
        harms[name] = _harms(region.placed[name], item, sample)

    def fetched(price: float) -> float:
        planes = 0.0
        for name, harm in harms.items():
            placed = region.placed[name]
            planes += float((_cheapest(placed, harm, price) @ placed.sizes).mean())
        return planes / (region.blocks * region.form.bits)

    low, high = -60.0, 10.0  # of the logarithm of the price
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if fetched(float(np.exp(middle))) > share else (low, middle)
    return float(np.exp(high))


def pooled(importance: Array, step: int) -> Array:
    """Means of every ``step`` rows, the last perhaps fewer."""
    starts = np.arange(0, len(importance), step)
    counts = np.diff(starts, append=len(importance))
    return np.add.reduceat(importance, starts) / counts[:, None]


def _harms(placed: Placed, known: Known, importance: Array) -> Array:
    """Harm [units, steps, bits + 1] of so many planes of each unit at importances [steps, rows]."""
    pad = -placed.length % placed.rows
    steps, units = len(importance), len(placed.sizes)
    each = np.pad(importance, [(0, 0), (0, pad)]).reshape(steps, units, placed.rows)
    harm = np.pad(known.harm, [(0, pad), (0, 0)]).reshape(units, placed.rows, -1)
    return each.transpose(1, 0, 2) @ harm


def _cheapest(placed: Placed, harms: Array, price: float) -> Keep:
    """Planes [steps, units] whose harm and price are least in sum."""
    prices = price * 64 * placed.sizes[:, None, None] * np.arange(harms.shape[2])
    return (harms + prices).argmin(2).T.astype(np.uint8)
