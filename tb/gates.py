"""How tests get at the netlist of a module: generate it, synthesize it to cells, simulate those."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from lamina_gen.synth import abc, tools
from lamina_gen.synth.asic import DEFAULT_LIBERTY
from lamina_gen.synth.cells import Front, unpacked
from lamina_gen.synth.gates import GateModel, gate_model
from lamina_gen.synth.liberty import read_liberty
from lamina_gen.synth.source import split
from lamina_sim.verilated import StuckError
from tb.bench import generate

needs_library = pytest.mark.skipif(
    not DEFAULT_LIBERTY.is_file(), reason="no cell library: apt-get install qflow-tech-osu018"
)
needs_sta = pytest.mark.skipif(
    tools.find_sta() is None, reason="OpenSTA is not installed: apt-get install opensta"
)


def netlist(
    module: str, settings: dict, liberty: Path = DEFAULT_LIBERTY
) -> tuple[Path, Path, dict]:
    """Synthesize ``module``; return its netlist, the library, and MODULE.json, parsed.

    By one ABC script, without timing: `synthesize` does more than a simulation needs.
    """
    emission, _ = generate(module, settings)
    library = read_liberty(liberty)
    front = Front(emission.entry.top, split(emission), library, unpacked(liberty))
    mapped = front.map(abc.SCRIPTS["lean"])
    return mapped.folder / "netlist.v", liberty, json.loads(emission.files["json"])


@functools.cache
def gates(module: str, **settings) -> GateModel:
    """Return the gate-level model of ``module``, as `tb.bench.bulk_model` that of the Verilog."""
    return gate_model(*netlist(module, settings))


def random_words(rng, port, count):
    """Return ``count`` random payloads of a port, uint32 [count, words]."""
    words = rng.integers(0, 1 << 32, (count, -(-port.width // 32)), dtype=np.uint32)
    if port.width % 32:
        words[:, -1] &= (1 << port.width % 32) - 1
    return words


def observe(model, inputs, **options):
    """Run a model and return all that can be seen of the run, also where it gets stuck.

    Every transfer and its cycle, the plain outputs, what memories were asked for.
    """
    try:
        result = model.run(inputs, **options)
    except StuckError as stuck:
        return str(stuck), stuck.transfers
    seen = [result.cycles, result.signals]
    for name, transfers in sorted(result.outputs.items()):
        seen.append((name, transfers.words.tolist(), transfers.cycles.tolist()))
    for name, cycles in sorted(result.accepted.items()):
        seen.append((name, cycles.tolist()))
    for name, traffic in sorted(result.traffic.items()):
        seen.append((name, traffic.addresses.tolist(), traffic.lengths.tolist()))
    return seen
