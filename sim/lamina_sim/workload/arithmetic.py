"""The products of a model as the engines compute them, by the golden models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lamina_sim.golden import anda, pacq
from lamina_sim.workload.decoder import Decoder, matmul
from lamina_sim.workload.precision import KINDS, Precision
from lamina_sim.workload.quantize import Quantized
from lamina_sim.workload.tensors import Float

#: Name: what it computes with.
ARITHMETICS = {
    "float": "float32 and the weights as they are",
    "w4a16": "FP16 activations and dequantized FP16 weights, FP32 sums in ascending k",
    "anda": "Anda activations of the lengths given, exact group sums, FP32 accumulation",
    "figna": "13 mantissa bits everywhere, exact group sums, FP32 accumulation",
    "pacq": "FP16 activations times packed codes, exact in a scale group, FP32 accumulation",
    "pacq-printed": "the same with every step in FP16, as the paper's figures have it",
}
#: FIGNA's mantissa length, hidden bit included, as the Anda paper compares with it.
FIGNA_BITS = 13
#: Elements of the result that are worked on at a time where every step goes over all of them.
_ELEMENTS = 1 << 14


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """A `Linear`: products of the layers by one of `ARITHMETICS`, all others in float32.

    Members
        name       one of `ARITHMETICS`
        model      whose products they are
        codes      weights of the products by name; unused by "float"
        precision  mantissa lengths, for "anda" alone

    Activations are rounded to FP16 first, as an engine gets them; what overflows there makes its
    row of results NaN or infinite, as in hardware.
    """

    name: str
    model: Decoder
    codes: Mapping[str, Quantized]
    precision: Precision | None = None

    def __post_init__(self) -> None:
        if self.name not in ARITHMETICS:
            raise ValueError(
                f"arithmetic must be one of {', '.join(ARITHMETICS)}, not {self.name!r}."
            )
        if self.name == "anda" and self.precision is None:
            raise ValueError("The arithmetic anda needs mantissa lengths.")

    def __call__(self, name: str, x: Float, weight: Float) -> Float:
        """y [m, out] of x [m, in]."""
        if self.name == "float" or name not in self.codes:
            return matmul(name, x, weight)
        return self._product(name, self.activations(name, x), self.codes[name])

    def activations(self, name: str, x: Float) -> npt.NDArray[np.float16]:
        """What an engine gets for x [m, in]: in the order of the codes, in FP16."""
        with np.errstate(over="ignore"):
            return self.codes[name].arranged(x).astype(np.float16)

    def mantissa_bits(self, name: str) -> int:
        """Mantissa length of a product; of the head, which no search looks at, the longest."""
        if self.name != "anda" or self.precision is None:
            return FIGNA_BITS
        kind = self.model.products().get(name)
        if kind is None:
            return max(max(lengths) for lengths in self.precision.mantissas)
        return self.precision.mantissa_bits(kind, self.model.layer_of(name))

    def key(self, layer: int) -> tuple[str, tuple[int, ...]]:
        """What the results of a layer depend on, beside its inputs and codes."""
        lengths = (
            tuple(self.precision.mantissa_bits(kind, layer) for kind in KINDS)
            if (self.name == "anda" and self.precision)
            else ()
        )
        return self.name, lengths

    def _product(self, name: str, x: np.ndarray, q: Quantized) -> Float:
        if self.name == "w4a16":
            return fp16_products(x, q)
        operands = (x, q.codes, q.scales)
        if self.name == "pacq-printed":
            if q.zero_points is not None:
                raise ValueError("pacq-printed takes symmetric weights, without zero points.")
            printed = pacq.gemm_as_printed(*operands, bits=q.bits, scale_group=q.group)
            return printed.astype(np.float32)
        if self.name == "pacq":
            return pacq.gemm(*operands, bits=q.bits, zero_points=q.zero_points, scale_group=q.group)
        return anda.gemm(
            *operands,
            mantissa_bits=self.mantissa_bits(name),
            bits=q.bits,
            zero_points=q.zero_points,
            scale_group=q.group,
        )


def fp16_products(x: np.ndarray, q: Quantized) -> Float:
    """acc = FP32(acc + x * w) in ascending k, float32 [m, n], with w the weights in FP16.

    Bit for bit `golden.baseline.fp_fp` of every row and column, a step of k at a time. The rows of
    codes may have an order of their own; it is the order of the sum.
    """
    rows = np.arange(len(q.codes)) // q.group
    integers = q.codes.astype(np.float32)
    if q.zero_points is not None:
        integers -= q.zero_points[rows]
    with np.errstate(all="ignore"):
        weights = (integers * q.scales[rows].astype(np.float32)).astype(np.float16)
        a, b = x.astype(np.float32), weights.astype(np.float32)
        result = np.zeros((len(a), b.shape[1]), np.float32)
        step = max(1, _ELEMENTS // b.shape[1])
        term = np.empty((step, b.shape[1]), np.float32)
        for start in range(0, len(a), step):
            part, acc = a[start : start + step], result[start : start + step]
            products = term[: len(part)]
            for k in range(a.shape[1]):
                np.multiply(part[:, k, None], b[k], out=products)
                acc += products
    return result
