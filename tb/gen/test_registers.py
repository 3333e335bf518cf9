"""What is made from the register map is up to date, and the map contradicts nothing."""

import ctypes
import re
import subprocess

import pytest

from lamina_gen.registers import FILES, MAPS
from lamina_sim.device import engine_registers, registers

every_map = pytest.mark.parametrize("own", MAPS, ids=lambda own: own.name)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file_is_up_to_date(path):
    """Else run `python -m lamina_gen.registers`."""
    assert path.read_text() == FILES[path]()


@every_map
def test_registers_do_not_overlap(own):
    taken = {}
    for register in own.registers:
        for n in range(register.count):
            at = register.offset + n * register.stride
            assert at % 4 == 0
            assert at < 1 << own.address_bits
            assert at not in taken, f"{register.name} lies on {taken[at]}"
            taken[at] = register.name


@every_map
def test_fields_do_not_overlap(own):
    for register in own.registers:
        bits = [b for f in register.fields for b in range(f.low, f.low + f.width)]
        assert len(set(bits)) == len(bits), register.name
        assert max(bits, default=0) < 32


@every_map
def test_c_and_python_agree(own, tmp_path):
    """The headers compile, and their macros have the values of the Python constants."""
    constants = {"registers": registers, "engine_registers": engine_registers}[own.name]
    header = next(path for path in FILES if path.name == f"{own.name}.h")
    names = re.findall(rf"#define {own.prefix}_(\w+) ", header.read_text())
    assert len(names) > 60
    values = ", ".join(f"{own.prefix}_{name}" for name in names)
    source = tmp_path / "values.c"
    source.write_text(f'#include "{header}"\nunsigned values[] = {{{values}}};\n')
    library = tmp_path / "values.so"
    subprocess.run(["g++", "-x", "c++", "-shared", "-fPIC", source, "-o", library], check=True)
    found = (ctypes.c_uint * len(names)).in_dll(ctypes.CDLL(str(library)), "values")
    for name, value in zip(names, found, strict=True):
        assert getattr(constants, name) == value, name
