"""The main job, start to finish: the bundled model on the generated hardware.

One layer at many precisions, and a sentence that the hardware writes.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lamina_gen.build import BUILD, Progress
from lamina_gen.configurations import settings_of
from lamina_gen.gemm import Machine, Outcome, Problem
from lamina_gen.text import Settings, Step, Writer
from lamina_sim.workload import tinylm
from lamina_sim.workload.quantize import quantize

__all__ = ["LAYER", "OPENING", "PROMPT", "Row", "layer_operands", "run", "sentence"]

PROMPT = "She was surprised to find that her sister had not been listening"
LAYER = 1

#: What `sentence` begins with, and where it ends.
OPENING = "It is a truth universally acknowledged, that "
_ENDS, _LONGEST = ".!?", 100

WEIGHT_BITS = 4
SCALE_GROUP = 128
PLANES = (4, 3, 2)
MANTISSA_BITS = (4, 6, 8, 11)

#: The products of a layer, by the activations that they share.
_PRODUCTS = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: a layer on one engine at one precision.

    ``mantissa_bits`` is None for PacQ, which takes FP16. ``relative_error``: root mean square
    distance from the float64 products of the same FP16 activations and INT4 weights, over theirs.
    """

    engine: str
    mantissa_bits: int | None
    planes: int
    cycles: int
    macs_per_cycle: float
    bytes_fetched: int
    relative_error: float
    exact: bool


def layer_operands(prompt: str = PROMPT, layer: int = LAYER) -> list[dict[str, Any]]:
    """Return what each product of a layer multiplies when the model reads ``prompt``.

    Activations are float16 [characters, k] as the float model has them; weights are INT4, rounded
    to nearest with a scale for each 128 along k.
    """
    model, vocabulary = tinylm.load()
    seen: dict[str, np.ndarray] = {}
    weights: dict[str, np.ndarray] = {}

    def linear(name: str, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        seen[name], weights[name] = x, weight
        return x @ weight.T

    model.forward([vocabulary.encode(prompt)], linear=linear)
    operands = []
    for names in _PRODUCTS:
        full = [f"model.layers.{layer}.{name}" for name in names]
        stacked = np.concatenate([weights[name] for name in full]).T
        quantized = quantize(stacked, WEIGHT_BITS, group=SCALE_GROUP)
        operands.append(
            {
                "activations": seen[full[0]].astype(np.float16),
                "codes": quantized.codes,
                "scales": quantized.scales,
                "scale_group": SCALE_GROUP,
                "weight_bits": WEIGHT_BITS,
            }
        )
    return operands


def run(*, folder: Path = BUILD, progress: Progress | None = None) -> Iterator[Row]:
    """Yield the rows of the table as the hardware finishes them."""
    report = progress or (lambda text, fraction: None)
    operands = layer_operands()
    settings = settings_of("tiny", "system")
    machines = {engine: Machine(engine, settings, folder=folder) for engine in ("anda", "pacq")}
    _build(machines, report)
    jobs: list[tuple[str, int | None, int]]
    jobs = [("anda", bits, planes) for bits in MANTISSA_BITS for planes in PLANES]
    jobs += [("pacq", None, planes) for planes in PLANES]

    def one(job: tuple[str, int | None, int]) -> Row:
        engine, mantissa_bits, planes = job
        options: dict[str, Any] = {"mantissa_bits": mantissa_bits} if mantissa_bits else {}
        products = [
            machines[engine].run(Problem(engine=engine, planes=planes, **options, **product))
            for product in operands
        ]
        return _row(engine, mantissa_bits, planes, products)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, row in enumerate(pool.map(one, jobs)):
            report("Running the layer", (done + 1) / len(jobs))
            yield row


def sentence(*, folder: Path = BUILD, progress: Progress | None = None) -> Iterator[Step]:
    """Yield what the hardware writes behind `OPENING`, up to the end of the sentence.

    Every product of the model is computed by Anda's engine with 8 mantissa bits, and compared with
    the golden model; raises `lamina_gen.text.MismatchError` where one differs.
    """
    writer = Writer(Settings(source="tinylm"), folder=folder, progress=progress)
    writer.build()
    for step in writer.write(OPENING, _LONGEST, temperature=0.5, seed=4):
        yield step
        if step.text in _ENDS:
            return


def _build(machines: dict[str, Machine], report: Callable[[str, float], None]) -> None:
    for engine, machine in machines.items():
        machine.progress = report
        machine.build()
        machine.progress = lambda text, fraction: None
        report(f"Built {engine}", 1.0)


def _row(engine: str, mantissa_bits: int | None, planes: int, products: list[Outcome]) -> Row:
    cycles = sum(product.cycles for product in products)
    exact = [product.problem.exact for product in products]
    distance = sum(np.sum((p.result - e) ** 2) for p, e in zip(products, exact, strict=True))
    size = sum(np.sum(e**2) for e in exact)
    return Row(
        engine=engine,
        mantissa_bits=mantissa_bits,
        planes=planes,
        cycles=cycles,
        macs_per_cycle=sum(product.problem.macs for product in products) / cycles,
        bytes_fetched=sum(product.bytes_fetched for product in products),
        relative_error=float(np.sqrt(distance / size)),
        exact=all(product.exact for product in products),
    )
