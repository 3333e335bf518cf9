# amaranth: UnusedElaboratable=no
# (what tells two modules apart is seldom deep in them)
"""Generated files: the same bytes from the same input, and a description that is true."""

import contextlib
import functools
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Fragment
from amaranth.lib import wiring
from amaranth.lib.memory import Memory

from lamina.cell import Cell
from lamina_gen.emit import emit
from lamina_gen.platform import VerilogPlatform, module_text, seldom_collected
from lamina_gen.registry import MODULES, find, make_parameters
from tb.bench import generate

every_module = pytest.mark.parametrize("module", MODULES)


def emitted(module, **settings):
    entry = find(module)
    return emit(entry, make_parameters(entry, settings)).files


def test_same_bytes_in_one_process():
    assert emitted("anda.element") == emitted("anda.element")


def check_shape(shape):
    """Check that the parts of a shape lie within it, as its kind says."""
    if shape["kind"] == "struct":
        for field in shape["fields"]:
            assert field["offset"] + field["shape"]["width"] <= shape["width"]
            check_shape(field["shape"])
    elif shape["kind"] == "array":
        assert shape["stride"] >= shape["element"]["width"]
        assert shape["length"] * shape["stride"] <= shape["width"]
        check_shape(shape["element"])
    else:
        assert shape["kind"] == "bits"
        assert isinstance(shape["signed"], bool)
    assert shape["width"] >= 0


@every_module
def test_description_names_the_ports_of_the_verilog(module):
    files = generate(module, {})[0].files
    description = json.loads(files["json"])
    entry = find(module)
    assert description["module"] == module
    assert description["top"] == entry.top
    text = module_text(files["v"], entry.top)
    found = re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\S+);", text, re.M)
    ports = {name: (flow, int(top or 0) + 1) for flow, top, name in found}
    described = {name for name in (description["clock"], description["reset"]) if name}
    for port in description["ports"]:
        described |= {name for name in port["signals"].values() if name}
        if "shape" not in port:
            continue
        check_shape(port["shape"])
        main = port["signals"].get("payload") or port["signals"].get("value")
        if main:
            assert ports[main] == (f"{port['direction']}put", port["shape"]["width"])
    assert described == set(ports)


class QuickPlatform(VerilogPlatform):
    """Writes RTLIL, which tells hardware apart as well, in a third of the time."""

    def convert(self, component, name):
        with seldom_collected():
            text = rtlil.convert(component, name=name, platform=self)
        return f"module {name}(\nendmodule\n{text}"


@functools.cache
def hardware(module, **settings):
    """Return a module's own text and that of the cells that it is made of."""
    entry, platform = find(module), QuickPlatform()
    top = platform.convert(entry.component(make_parameters(entry, settings)), entry.top)
    return top, tuple(platform.cells.items())


def digests():
    """Return a hash of every module's hardware, by name."""
    texts = {module: repr(hardware(module)) for module in MODULES}
    return {module: hashlib.sha256(text.encode()).hexdigest() for module, text in texts.items()}


def test_same_in_two_processes():
    """Their sets are in different orders; what they write is the same."""
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    program = "import json; from tb.gen.test_emit import digests; print(json.dumps(digests()))"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as other:
        ours = digests()
        assert json.load(other.stdout) == ours


def another_value(module, name, settings):
    """Return a value of a parameter other than the present one that the module accepts."""
    entry = find(module)
    value = getattr(make_parameters(entry, settings), name)
    if isinstance(value, bool):
        guesses = [not value]
    elif isinstance(value, str):
        with pytest.raises(ValueError, match="must be one of") as refusal:
            make_parameters(entry, {name: "-"})
        guesses = str(refusal.value).partition("one of ")[2].partition(", not ")[0].split(", ")
    else:
        guesses = [value + 1, value * 2, value // 2, value - 1, value + 64]
    for guess in guesses:
        with contextlib.suppress(ValueError):
            if guess != value and make_parameters(entry, {**settings, name: guess}):
                return guess
    raise AssertionError(f"no other value found for {module} {name}")


PARAMETERS = [
    (module, name)
    for module, entry in MODULES.items()
    for name in entry.parameters.__dataclass_fields__
    # A single stage has one rank, however many would fit.
    if (module, name) != ("arith.leading_zeros", "stages_per_rank")
]

#: Where a parameter has a choice, or makes a difference, only beside others or from a value on.
BESIDE = {
    ("system", "weight_bits"): {"engine": "anda"},
    ("anda.output_stage", "columns"): {"columns": 64},
    ("anda.output_stage", "sharing"): {"rows": 4},
}


def levels(module, **settings):
    """Yield what a module says itself, then what its submodules do, and theirs, and so on.

    Nothing is elaborated before it is asked for.
    """
    entry, get = find(module), Fragment.get
    level = [entry.component(make_parameters(entry, settings))]
    while level:
        below, texts = {}, []

        def later(part, platform, below=below):
            if not isinstance(part, wiring.Component) or isinstance(part, Memory):
                return get(part, platform)
            part._MustUse__used = True
            alike = (part.kind, part.parameters) if isinstance(part, Cell) else part
            below[alike] = part
            return Fragment()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Fragment, "get", later)
            for part in level:
                own = get(part.elaborate(None), None)
                texts.append(f"{type(part)} {part.signature.members} {own.statements}")
        yield texts
        level = below.values()


def same_hardware(module, ones, others):
    """Tell whether two settings of a module make the same of it; quickly if they do not."""
    pairs = itertools.zip_longest(levels(module, **ones), levels(module, **others))
    if any(one != other for one, other in pairs):
        return False
    return hardware(module, **ones) == hardware(module, **others)


@pytest.mark.parametrize(("module", "name"), PARAMETERS)
def test_each_parameter_changes_the_hardware(module, name):
    """A parameter that is silently ignored would leave the same text."""
    beside = BESIDE.get((module, name), {})
    other = another_value(module, name, beside)
    assert not same_hardware(module, beside, beside | {name: other})


@every_module
def test_levels_are_the_same_every_time(module):
    """Or any two settings would pass for different hardware."""
    assert list(levels(module)) == list(levels(module))


def test_header_tells_parameters_and_versions():
    header = emitted("arith.adder_tree")["v"].splitlines()[:3]
    assert header[0].startswith("// arith.adder_tree: ")
    assert "inputs=" in header[1]
    assert re.search(r"Lamina \d.*Amaranth \d.*Yosys \d", header[2])


def test_core_names_the_files():
    core = emitted("arith.adder_tree")["core"]
    assert core.startswith("CAPI=2:\n")
    assert "files: [arith_adder_tree.v]" in core
    assert "toplevel: arith_adder_tree" in core
