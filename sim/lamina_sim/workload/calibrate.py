"""Quantizing a whole model, layer by layer, on the activations of a calibration text."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from lamina_sim.workload.decoder import Decoder, Tokens, matmul
from lamina_sim.workload.gptq import gptq
from lamina_sim.workload.nested import nested
from lamina_sim.workload.quantize import Quantized, quantize
from lamina_sim.workload.tensors import Float

METHODS = ("nearest", "gptq", "nested")
Report = Callable[[str, float], None]
Hessian = npt.NDArray[np.float64]


def quantize_model(
    model: Decoder,
    method: str = "nearest",
    *,
    bits: int = 4,
    group: int | None = 128,
    symmetric: bool = True,
    tokens: Tokens | None = None,
    report: Report | None = None,
) -> dict[str, Quantized]:
    """Codes of every product of the layers, by name; the head keeps its precision.

    method   "nearest": `quantize`; "gptq" or "nested": by that name, with the activations of the
             windows `tokens` [rows, t] that the layers before, quantized already, give
    report   is told what is done and the fraction of it

    ValueError on another method, or where a method that needs tokens has none.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}.")
    names = list(model.products())
    done: dict[str, Quantized] = {}
    if method == "nearest":
        for name in names:
            _tell(report, name, len(done) / len(names))
            weight = model.weights[f"{name}.weight"].T
            done[name] = quantize(weight, bits, group=group, symmetric=symmetric)
        return done
    if tokens is None:
        raise ValueError(f"The method {method} needs a calibration text.")
    ids = model.checked(tokens)
    x = model.embed(ids)
    for layer in range(model.layers):
        for name, hessian in _layer_hessians(model, layer, x, ids.shape[1]).items():
            _tell(report, name, len(done) / len(names))
            weight = model.weights[f"{name}.weight"].T
            if method == "gptq":
                done[name] = gptq(weight, hessian, bits, group=group, symmetric=symmetric)
            else:
                done[name] = nested(weight, hessian, bits=bits, group=group)
        x = model.layer(layer, x, ids.shape[1], dequantized(done))
    return done


def dequantized(codes: Mapping[str, Quantized]) -> Callable[[str, Float, Float], Float]:
    """A `Linear` with the weights that codes stand for, in float32; others stay as they are."""

    def linear(name: str, x: Float, weight: Float) -> Float:
        q = codes.get(name)
        return x @ (weight.T if q is None else q.dequantize())

    return linear


def _layer_hessians(model: Decoder, layer: int, x: Float, length: int) -> dict[str, Hessian]:
    """Sum x x^T of the activations of each product of a layer, by name."""
    hessians: dict[str, Hessian] = {}
    last: Float | None = None
    hessian: Hessian = np.empty((0, 0))

    def linear(name: str, y: Float, weight: Float) -> Float:
        nonlocal last, hessian
        # Products that share their activations share the sum.
        if last is not y:
            last, hessian = y, (y.T @ y).astype(np.float64)
        hessians[name] = hessian
        return matmul(name, y, weight)

    model.layer(layer, x, length, linear)
    return hessians


def _tell(report: Report | None, name: str, fraction: float) -> None:
    if report:
        report(f"Quantizing {name}", fraction)
