"""Proof that a netlist of cells computes what the generated Verilog says: `prove`.

Both are cut at their registers (`register_cut`), which are paired (`register_pairs`), and at their
memory macros. Two circuits without state are left, and the equivalence checker that comes with
Yosys, ABC's, compares them output by output. Yosys elaborates the Verilog with the technology cells
as behaviour, and the netlist with models out of the Liberty file.

What is proved: from equal contents of all registers, whatever they are, outputs and next contents
are equal for every input. So the two never part once they are equal, for which a reset cares.
"""

import re
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lamina_gen.emit import Emission, emit
from lamina_gen.registry import find, make_parameters
from lamina_gen.synth import tools
from lamina_gen.synth.cell_models import cell_models
from lamina_gen.synth.flat import used_cells
from lamina_gen.synth.liberty import Library, read_liberty
from lamina_gen.synth.register_cut import Circuit, CutError, cut
from lamina_gen.synth.register_pairs import pair
from lamina_gen.synth.report import Report
from lamina_gen.synth.source import split
from lamina_gen.synth.technology import behavioural

__all__ = ["LIMIT_S", "Verdict", "prove", "with_proof"]

#: Seconds that a proof may take unless another limit is given.
LIMIT_S = 120.0

# The last `opt` finds wires that are a register's after all, and may have named it in the netlist.
_GOLD = """\
read_verilog -lib macros.v
read_verilog gold.v
hierarchy -check -top {top}
proc
flatten
opt_expr
opt_clean
opt -nodffe -nosdff
memory_collect
memory_map
opt
simplemap
techmap
opt
dffunmap
aigmap
clean
write_json gold.json
"""

_GATE = """\
read_verilog -lib macros.v
read_verilog gate.v
hierarchy -check -top {top}
proc
simplemap
flatten
opt_expr
opt_dff -nodffe -nosdff
opt_clean
dffunmap
aigmap
clean
write_json gate.json
"""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """``verdict`` is "proved", "different", "not proved", or "not proved in time".

    ``reason``: why not. ``registers`` are those of the netlist, of both circuits ``guessed`` those
    that are paired by what they do, and ``outputs`` the functions compared.
    """

    verdict: str
    reason: str | None
    registers: int
    guessed: int
    outputs: int
    seconds: float


def with_proof(
    result: Report,
    settings: dict[str, Any],
    limit_s: float,
    report: Callable[[str, float], None] = lambda text, fraction: None,
) -> Report:
    """Return ``result``, of the target cells, with the verdict on its netlist."""
    assert result.netlist is not None
    assert result.liberty is not None
    entry = find(result.module)
    emission = emit(entry, make_parameters(entry, settings))
    verdict = prove(emission, result.netlist, read_liberty(result.liberty), limit_s, report)
    figures = {
        "equivalence": verdict.verdict,
        "equivalence_registers": verdict.registers,
        "equivalence_guessed": verdict.guessed,
        "equivalence_outputs": verdict.outputs,
        "equivalence_time_s": verdict.seconds,
    }
    note = f"The netlist is {verdict.verdict}: {verdict.reason}."
    notes = (*result.notes, *(note for _ in range(verdict.reason is not None)))
    return replace(result, figures=result.figures | figures, notes=notes)


def prove(
    emission: Emission,
    netlist: Path,
    library: Library,
    limit_s: float = LIMIT_S,
    report: Callable[[str, float], None] = lambda text, fraction: None,
) -> Verdict:
    """Prove that ``netlist``, of cells of ``library``, computes what ``emission`` says.

    If it does not, the verdict names an output and inputs that show it. Raises ToolError if Yosys
    is missing or fails. A tool that takes longer than ``limit_s`` allows is ended.
    """
    start, name = time.monotonic(), emission.entry.name
    sizes = {"registers": 0, "guessed": 0, "outputs": 0}

    def left() -> float:
        seconds = start + limit_s - time.monotonic()
        if seconds <= 0:
            raise tools.TimeLimitError("The proof took its time.")
        return seconds

    def verdict(text: str, reason: str | None = None) -> Verdict:
        seconds = round(time.monotonic() - start, 1)
        return Verdict(verdict=text, reason=reason, **sizes, seconds=seconds)

    with tempfile.TemporaryDirectory(prefix="lamina-prove-") as folder:
        try:
            report(f"{name}: Yosys elaborates Verilog and netlist", 0.0)
            gold, gate = _circuits(emission, netlist, library, Path(folder), left)
            report(f"{name}: registers are paired", 0.4)
            guessed, free = pair(gold, gate)
            sizes |= {"registers": len(gate.data), "guessed": guessed}
            outputs = _outputs(gold, gate)
            sizes["outputs"] = len(outputs)
            report(f"{name}: ABC compares {len(outputs)} functions", 0.5)
            difference = _compare(gold, gate, outputs, Path(folder), left)
        except tools.TimeLimitError:
            return verdict("not proved in time", f"it may take {limit_s:g} s")
        except CutError as error:
            return verdict("not proved", str(error))
    report(f"{name}: compared", 1.0)
    if difference is None:
        return verdict("proved")
    # The netlist may be right all the same, by what a register always holds.
    if free:
        return verdict("not proved", f"register {free} has no partner, and {difference}")
    if guessed:
        return verdict("not proved", f"{guessed} registers have lost their names, and {difference}")
    return verdict("different", difference)


def _circuits(
    emission: Emission, netlist: Path, library: Library, folder: Path, left: Callable[[], float]
) -> tuple[Circuit, Circuit]:
    """Elaborate the Verilog and the netlist, and cut them."""
    source, top, text = split(emission), emission.entry.top, netlist.read_text()
    for macro in source.macros.values():
        text = text.replace(macro, "")
    models = cell_models(used_cells(text, library).values())
    files = {
        "macros": "\n".join(source.macros.values()),
        "gold": "\n".join([source.logic, *behavioural().values()]),
        "gate": text + models,
    }
    for name, verilog in files.items():
        (folder / f"{name}.v").write_text(verilog)
    clock = "clk" if re.search(r"^  input clk;", text, re.M) else None
    circuits = []
    for name, script in (("gold", _GOLD), ("gate", _GATE)):
        what = f"Elaboration of {top}"
        tools.run_yosys(script.format(top=top), folder, what, limit_s=left())
        circuits.append(cut(folder / f"{name}.json", top, source.macros, clock))
    return circuits[0], circuits[1]


# It is time that is limited: as many conflicts as ABC can count.
_COMPARE = "miter gold.blif gate.blif; &get -n; &cec -m -C 1000000000; write_cex shown.txt"


def _outputs(gold: Circuit, gate: Circuit) -> list[str]:
    """Return the outputs to compare, each pair of functions once: registers of one label share."""
    if unknown := gold.outputs.keys() ^ gate.outputs.keys():
        raise CutError(f"Verilog and netlist must both have {min(unknown)}")
    pairs = {(bit, gate.outputs[name]): name for name, bit in reversed(gold.outputs.items())}
    return list(pairs.values())


def _compare(
    gold: Circuit, gate: Circuit, outputs: list[str], folder: Path, left: Callable[[], float]
) -> str | None:
    """Return how the circuits differ, or None if they do not."""
    inputs = sorted(gold.inputs.keys() | gate.inputs.keys())
    for name, circuit in (("gold", gold), ("gate", gate)):
        (folder / f"{name}.blif").write_text(circuit.blif(inputs, outputs))
    command: list[str | Path] = [tools.find_abc(), "-c", _COMPARE]
    log = tools.call(command, folder, "The equivalence check", "abc.log", limit_s=left())
    if "Networks are equivalent" in log:
        return None
    if "NOT EQUIVALENT" not in log:
        raise tools.ToolError("The equivalence check failed." + tools.quote(log))
    shown = (folder / "shown.txt").read_text()[: len(inputs)]
    return _difference(gold, gate, dict(zip(inputs, map(int, shown), strict=True)))


def _difference(gold: Circuit, gate: Circuit, case: Mapping[str, int]) -> str:
    """Return an output that differs for the inputs ``case``, and those that it depends on."""
    right, wrong = (circuit.simulate(case, {}, 1) for circuit in (gold, gate))
    for name, bit in gold.outputs.items():
        other = gate.outputs[name]
        if right[bit] != wrong[other]:
            needed = gold.cone([bit]), gate.cone([other])
            ones = [
                name
                for name, one in case.items()
                if one
                and (gold.inputs.get(name) in needed[0] or gate.inputs.get(name) in needed[1])
            ]
            return f"{name} is {wrong[other]} and not {right[bit]} where 1 is {_some(ones)}"
    raise tools.ToolError("The equivalence check failed: what it says to differ does not.")


def _some(names: list[str]) -> str:
    """Return the first of a long list of names."""
    more = len(names) - 8
    return (", ".join(names[:8]) or "no input") + (f" and {more} more" if more > 0 else "")
