"""What the formats, the searches and the hardware do to a language model: the bundled one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamina_gen.demo import OPENING
from lamina_gen.precision_search import SearchSettings, find, mantissa_search
from lamina_gen.study import Settings, Study
from lamina_gen.text import Settings as TextSettings
from lamina_gen.text import Step, Writer
from lamina_sim.workload.calibrate import quantize_model
from lamina_sim.workload.nested import READINGS, read_planes
from lamina_sim.workload.precision import Precision

__all__ = ["measure"]

TOLERANCE = 0.01
#: Tokens that a search evaluates, and those that the slow arithmetic of the paper's figures gets.
TOKENS = 4096
_PRINTED_TOKENS = 256
_MANTISSA_BITS = (4, 5, 6, 7, 8, 11)
_WEIGHT_BITS = (2, 3, 4, 8)
_PLANES = (2, 3, 4, 5, 6, 8)
_TEXT_TOKENS = 200


def measure(progress: Callable[[str, float], None] | None = None) -> dict[str, Any]:
    """Losses in nats per token by arithmetic and precision, both searches at 1 %, text on RTL."""
    report = progress or (lambda text, fraction: None)
    study = Study(Settings(source="tinylm", tokens=TOKENS), report)
    loss: dict[str, Any] = {
        name: study.score(name).loss for name in ("float", "w4a16", "figna", "pacq")
    }
    loss["anda"] = {
        str(m): study.score("anda", Precision.of((m,) * 4)).loss for m in _MANTISSA_BITS
    }
    printed = Study(Settings(source="tinylm", tokens=_PRINTED_TOKENS))
    loss["pacq_printed"] = _finite(printed.score("pacq-printed").loss)
    loss |= _by_weights(study)
    paper, ours = (
        mantissa_search(study, SearchSettings(tolerance=TOLERANCE, method=method))
        for method in ("paper", "guided")
    )
    layers = find(study, SearchSettings(tolerance=TOLERANCE, method="layers"))
    return {
        "tokens": study.evaluator.tokens,
        "loss": loss,
        "tolerance": TOLERANCE,
        "search_evaluations": {
            "paper": paper.evaluations,
            "ours": ours.evaluations,
            "ours_by_layer": layers["evaluations"],
        },
        "bops_saving": {
            "paper": paper.saving,
            "ours": ours.saving,
            "ours_by_layer": layers["bops_saving"],
        },
        "tuple": {
            "paper": list(paper.best or ()),
            "ours": list(ours.best or ()),
            "ours_by_layer": layers["mantissa_bits"],
        },
        **_text(Precision.of(ours.best or (8,) * 4), report),
    }


def _text(precision: Precision, report: Callable[[str, float], None]) -> dict[str, Any]:
    """Text of tinylm by the hardware, every product of it, beside the golden model's."""
    written: dict[str, list[Step]] = {}
    for on in ("golden", "rtl"):
        writer = Writer(TextSettings(source="tinylm", on=on, precision=precision), progress=report)
        writer.build()
        written[on] = []
        for step in writer.write(OPENING, _TEXT_TOKENS, temperature=0.5, seed=4):
            written[on].append(step)
            report(f"Writing on {on}", len(written[on]) / _TEXT_TOKENS)
    rtl = written["rtl"]
    alone = [step for step in rtl if step.positions == 1]
    pairs = zip(written["golden"], rtl, strict=True)
    return {
        "tokens_written": len(rtl),
        "tokens_identical": sum(golden.token == step.token for golden, step in pairs),
        "rtl_tokens_per_second": len(rtl) / sum(step.seconds for step in rtl),
        "rtl_cycles_per_token": sum(step.cycles for step in alone) / len(alone),
        "rtl_bytes_per_token": sum(step.bytes_fetched for step in alone) / len(alone),
    }


def _by_weights(study: Study) -> dict[str, Any]:
    """Losses by how weights became codes, and by how many planes of INT8 codes are read."""
    model = study.model
    calibration = study.calibration()
    codes = {
        method: {
            bits: quantize_model(model, method, bits=bits, tokens=calibration)
            for bits in _WEIGHT_BITS
        }
        for method in ("nearest", "gptq")
    }
    nested = quantize_model(model, "nested", bits=8, tokens=calibration)
    result: dict[str, Any] = {
        f"weights_{method}": {
            str(bits): study.score("figna", codes=quantized).loss
            for bits, quantized in by_bits.items()
        }
        for method, by_bits in codes.items()
    }
    ways = {f"planes_{reading}": (codes["nearest"][8], reading) for reading in READINGS}
    ways["planes_nested"] = (nested, "midpoint")
    for name, (whole, reading) in ways.items():
        result[name] = {
            str(keep): study.score(
                "figna", codes={n: read_planes(q, keep, reading) for n, q in whole.items()}
            ).loss
            for keep in _PLANES
        }
    return result


def _finite(value: float) -> float | None:
    """JSON has no NaN: None says that the arithmetic overflowed."""
    return value if abs(value) < float("inf") else None
