"""Readers that are not ours take the Verilog of every module; Yosys in test_storage.py."""

import pyslang
import pytest

from lamina_gen.registry import MODULES
from lamina_sim.verilated import toolchain
from tb.bench import generate

every_module = pytest.mark.parametrize("module", MODULES)


@every_module
def test_verilator(module):
    """Every -Wall warning that the waiver list does not name is an error."""
    emission, paths = generate(module, {})
    command = ["verilator", "--lint-only", "-Wall", "--quiet", "--top-module", emission.entry.top]
    toolchain.run([*command, paths["vlt"], paths["v"]], paths["v"].parent, f"lint of {module}")


@every_module
def test_slang(module):
    emission, paths = generate(module, {})
    compilation = pyslang.ast.Compilation()
    compilation.addSyntaxTree(pyslang.syntax.SyntaxTree.fromFile(str(paths["v"])))
    tops = [instance.name for instance in compilation.getRoot().topInstances]
    assert tops == [emission.entry.top]
    errors = [found for found in compilation.getAllDiagnostics() if found.isError()]
    assert not errors, [str(found.code) for found in errors]


def test_lint_is_strict(tmp_path):
    """What the waivers do not name fails."""
    source = tmp_path / "open.v"
    source.write_text("module open(input a, output b); wire c; assign b = a & c; endmodule\n")
    command = ["verilator", "--lint-only", "-Wall", "--quiet", source]
    with pytest.raises(toolchain.ToolError, match="UNDRIVEN"):
        toolchain.run(command, tmp_path, "lint")
