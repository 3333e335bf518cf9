"""The Anda paper's evaluation of systems, from counted cycles and bytes, and measured areas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, exp, log
from typing import Any

from lamina_sim.perf.anda._cost import Cost, cost, row_turns
from lamina_sim.perf.anda._schedule import Engine, Gemm

__all__ = ["MODELS", "SEQUENCE", "Figures", "Model", "evaluate", "geomean", "speedup", "traffic"]

#: Tokens of the one sequence.
SEQUENCE = 2048

#: Multiply-accumulates a cycle of the paper's FP-FP array: 256 elements of 4.
_FP_MACS = 256 * 4
#: The paper's areas in mm2 (table III and its derived sums): of all but the elements, of the FP-FP
#: elements. Shares of FP-FP's energy: arithmetic, on-chip memories, DRAM (figure 17).
_SHARED_AREA, _FP_AREA = 1.73, 1.783
_ENERGY = (0.42, 0.11, 0.48)
#: Bytes of either on-chip memory, and elements that share a weight scale (FP16).
_BUFFER, _SCALE_GROUP = 1 << 20, 128
#: Rows and columns of outputs of the paper's array, which read its memories together.
_TILE = 16

Tuple = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Model:
    """``hidden``, ``inner`` sizes and ``layers`` are the published ones.

    ``tuples``: mantissa lengths of the activations of (qkv, o, u, d) at a loss of 0.1 and of 1 %
    on WikiText2 (figure 14 of the paper).
    """

    name: str
    hidden: int
    inner: int
    layers: int
    gated: bool
    tuples: dict[str, Tuple]

    @property
    def products(self) -> tuple[tuple[int, int], ...]:
        """(n, k) of the products of a layer, by the activations they take."""
        d, f = self.hidden, self.inner
        return (3 * d, d), (d, d), (2 * f if self.gated else f, d), (d, f)


def _model(name: str, hidden: int, inner: int, layers: int, low: Tuple, high: Tuple) -> Model:
    return Model(
        name=name,
        hidden=hidden,
        inner=inner,
        layers=layers,
        gated=name.startswith("LLaMA"),
        tuples={"0.1%": low, "1%": high},
    )


MODELS = (
    _model("OPT-1.3B", 2048, 8192, 24, (8, 6, 5, 5), (8, 5, 5, 4)),
    _model("OPT-2.7B", 2560, 10240, 32, (7, 5, 5, 5), (6, 5, 5, 4)),
    _model("OPT-6.7B", 4096, 16384, 32, (7, 5, 5, 4), (6, 4, 5, 4)),
    _model("LLaMA-7B", 4096, 11008, 32, (9, 8, 8, 7), (7, 6, 6, 6)),
    _model("LLaMA2-7B", 4096, 11008, 32, (9, 7, 8, 8), (7, 6, 6, 6)),
    _model("OPT-13B", 5120, 20480, 40, (7, 6, 5, 5), (6, 6, 5, 4)),
    _model("LLaMA-13B", 5120, 13824, 40, (10, 8, 8, 8), (7, 5, 6, 6)),
    _model("LLaMA2-13B", 5120, 13824, 40, (10, 10, 8, 9), (7, 7, 6, 7)),
    _model("OPT-30B", 7168, 28672, 48, (7, 5, 5, 4), (6, 4, 5, 4)),
)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured of an element beside FP-FP's, both on the same cells.

    ``area``: of one of 256 elements, over that of an FP-FP element, which does 4 MACs a cycle.
    ``energy``: of one MAC over FP-FP's, by mantissa length; None: not measured.
    """

    area: float
    energy: Mapping[int, float] | None = None


@cache
def _cost(engine: Engine, n: int, k: int, mantissa_bits: int) -> Cost:
    groups = ceil(k / 64)
    turns = row_turns(engine, SEQUENCE, groups, mantissa_bits)
    gemm = Gemm(m=SEQUENCE, n=n, groups=groups, mantissa_bits=mantissa_bits, row_turns=turns)
    return cost(engine, gemm)


def speedup(engine: Engine, model: Model, tolerance: str) -> float:
    """Cycles of the FP-FP array over those of ``engine``, products queued one after the other.

    FP-FP is taken to be always busy. All layers are alike.
    """
    lengths = model.tuples[tolerance]
    macs = sum(SEQUENCE * n * k for n, k in model.products)
    taken = sum(
        _cost(engine, n, k, length).array_cycles
        for (n, k), length in zip(model.products, lengths, strict=True)
    )
    return macs / _FP_MACS / taken


def traffic(n: int, k: int, activation_bits: float) -> tuple[float, float]:
    """Return (DRAM, on-chip memory) bytes of a product of `SEQUENCE` rows.

    Weights are INT4 with FP16 scales, outputs FP16. From DRAM comes the better of two loops: rows
    of activations stay in their memory while all weights pass, or columns of weights in theirs
    while all activations do. On chip a tile of 16 x 16 outputs reads its rows and columns once.
    """
    row, column = k * activation_bits / 8, k * (4 + 16 / _SCALE_GROUP) / 8
    rows, columns = SEQUENCE * row, n * column
    row_tiles = ceil(SEQUENCE / max(1, int(_BUFFER / row)))
    column_tiles = ceil(n / max(1, int(_BUFFER / column)))
    outputs = 2 * SEQUENCE * n
    dram = min(rows + row_tiles * columns, columns + column_tiles * rows) + outputs
    return dram, ceil(n / _TILE) * rows + ceil(SEQUENCE / _TILE) * columns + outputs


def engine_reads(engine: Engine, n: int, k: int, mantissa_bits: int) -> float:
    """Return on-chip bytes of a product of `SEQUENCE` rows on ``engine``, as its counters say.

    Every turn reads a group of each row, all beats and exponents; weights come as often as they
    are loaded, for all slots at a time. Outputs are FP16, as in `traffic`.
    """
    found = _cost(engine, n, k, mantissa_bits)
    turn = engine.rows * (8 * engine.planes * engine.cycles(mantissa_bits) + 1)
    return found.group_turns * turn + found.weight_bytes + 2 * SEQUENCE * n


def _energy(
    model: Model, lengths: Tuple, energy: Mapping[int, float], engine: Engine | None
) -> float:
    """Energy over FP-FP's: each of its shares in the ratio of what was measured or counted.

    ``engine``: whose on-chip reads count; without one those of a 16 x 16 array, as FP-FP's.
    """
    macs, arithmetic = 0, 0.0
    fp_dram = fp_chip = dram = chip = 0.0
    for (n, k), length in zip(model.products, lengths, strict=True):
        macs += n * k
        arithmetic += n * k * energy[length]
        wide, narrow = traffic(n, k, 16), traffic(n, k, 1 + length + 5 / 64)
        fp_dram, fp_chip = fp_dram + wide[0], fp_chip + wide[1]
        dram += narrow[0]
        chip += engine_reads(engine, n, k, length) if engine else narrow[1]
    ratios = (arithmetic / macs, chip / fp_chip, dram / fp_dram)
    return sum(share * ratio for share, ratio in zip(_ENERGY, ratios, strict=True)) / sum(_ENERGY)


def evaluate(engine: Engine, tolerance: str, figures: Figures | None) -> list[dict[str, Any]]:
    """Return a row for each model: its speedup, and with ``figures`` both efficiencies, over FP-FP.

    Area efficiency is speedup over area, the paper's shared area included; energy efficiency the
    inverse of energy, whose shares are the paper's, with the on-chip reads of ``engine``, or, for
    ``energy_efficiency_same_tiles``, those of a 16 x 16 array.
    """
    rows: list[dict[str, Any]] = []
    for model in MODELS:
        lengths, gain = model.tuples[tolerance], speedup(engine, model, tolerance)
        row: dict[str, Any] = {
            "model": model.name,
            "mantissa_bits": list(lengths),
            "speedup": gain,
        }
        if figures is not None:
            area = (_SHARED_AREA + _FP_AREA * figures.area) / (_SHARED_AREA + _FP_AREA)
            row["area_efficiency"] = gain / area
            if figures.energy is not None:
                for name, own in (("", engine), ("_same_tiles", None)):
                    energy = _energy(model, lengths, figures.energy, own)
                    row[f"energy_efficiency{name}"] = 1 / energy
        rows.append(row)
    return rows


def geomean(values: Sequence[float]) -> float:
    """Return the geometric mean."""
    return exp(sum(map(log, values)) / len(values))
