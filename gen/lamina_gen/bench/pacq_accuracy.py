"""How far PacQ's arithmetic, the printed one and dequantization are from the right sums."""

from typing import Any

import numpy as np

from lamina_gen.study import Settings, Study
from lamina_sim.golden import baseline, pacq
from lamina_sim.workload.arithmetic import Arithmetic

__all__ = ["errors", "losses", "right_sums"]

#: Lengths with their scale groups, and the rows and columns of results of each.
_SIZES = ((16, 16, 64), (128, 128, 64), (4096, 4096, 16), (4096, 128, 16))
_SEED = 1
#: Tokens that the slow arithmetic of the paper's figures gets.
_TOKENS = 256


def errors() -> list[dict[str, Any]]:
    """Relative root mean square error of each arithmetic, over the results that are finite.

    Activations are normal, with mean 0 and, at k = 128, mean 0.5; codes uniform; the reference is
    the sum of each scale group, rounded once, times the scale, added in FP32. ``not_finite`` is the
    share of results that overflowed.
    """
    rng = np.random.default_rng(_SEED)
    rows = []
    for k, group, side in _SIZES:
        for bits in (4, 2):
            for mean in (0.0, 0.5) if k == 128 else (0.0,):
                x = (rng.standard_normal((side, k)) + mean).astype(np.float16)
                low = -(1 << bits - 1)
                codes = rng.integers(low, -low, (k, side), np.int8)
                scales = rng.uniform(0.01, 0.02, (k // group, side)).astype(np.float16)
                due = right_sums(x, codes, scales, group)
                for name, got in _computed(x, codes, scales, bits, group).items():
                    error, share = _error(got.astype(np.float64), due.astype(np.float64))
                    rows.append(
                        {
                            "k": k,
                            "scale_group": group,
                            "bits": bits,
                            "mean": mean,
                            "arithmetic": name,
                            "rel_rms_error": error,
                            "not_finite": share,
                        }
                    )
    return rows


def right_sums(x: np.ndarray, codes: np.ndarray, scales: np.ndarray, group: int) -> np.ndarray:
    """float32 [m, n]: exact group sums rounded once, scaled and added in FP32, without the models.

    Exact where sums in units of 2^-24 stay below 2^53, which is checked.
    """
    acc = np.zeros((len(x), codes.shape[1]), np.float32)
    for g, scale in enumerate(scales):
        part = slice(g * group, (g + 1) * group)
        units = np.ldexp(x[:, part].astype(np.float64), 24)
        b = codes[part].astype(np.float64)
        if (np.abs(units) @ np.abs(b)).max() >= 2.0**53:
            raise ValueError("Activations must be small enough for sums in float64.")
        total = (units @ b).astype(np.float32) * np.float32(2.0**-24)
        acc += total * scale.astype(np.float32)
    return acc


def _computed(
    x: np.ndarray, codes: np.ndarray, scales: np.ndarray, bits: int, group: int
) -> dict[str, np.ndarray]:
    weights = codes * np.repeat(scales, group, axis=0).astype(np.float32)
    pairs = x[:, None], weights.astype(np.float16).T[None]
    return {
        "exact": pacq.gemm(x, codes, scales, bits=bits, scale_group=group),
        "as_printed": pacq.gemm_as_printed(x, codes, scales, bits=bits, scale_group=group),
        "dequantized": baseline.tree_dot(*pairs),
        "dequantized_fp32": baseline.tree_dot(*pairs, sums="fp32"),
    }


def _error(got: np.ndarray, due: np.ndarray) -> tuple[float | None, float]:
    """Error over what is finite, or None, and the share that is not."""
    finite = np.isfinite(got)
    norm = np.sqrt(np.square(due[finite]).sum())
    error = np.sqrt(np.square(got[finite] - due[finite]).sum())
    return float(error / norm) if norm else None, float(1 - finite.mean())


def losses() -> dict[str, float | None]:
    """Nats per token of the bundled model with INT4 weights; None: the loss is not finite.

    ``as_printed_where_finite``: results that overflow in the printed arithmetic are taken from the
    exact one, so that what is left is its rounding.
    """
    study = Study(Settings(source="tinylm", tokens=_TOKENS))
    names = {"exact": "pacq", "as_printed": "pacq-printed", "dequantized": "w4a16"}
    found = {key: study.score(name).loss for key, name in names.items()}
    exact, printed = (
        Arithmetic(name=name, model=study.model, codes=study.codes)
        for name in ("pacq", "pacq-printed")
    )

    def mixed(name: str, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        first = printed(name, x, weight)
        return np.where(np.isfinite(first), first, exact(name, x, weight))

    found["as_printed_where_finite"] = study.evaluator.score(mixed).loss
    return {key: value if abs(value) < float("inf") else None for key, value in found.items()}
