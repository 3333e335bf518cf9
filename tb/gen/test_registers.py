"""What is made from the register map is up to date, and the map contradicts nothing."""

import ctypes
import re
import subprocess

import pytest

from lamina.store.register_map import ADDRESS_BITS, REGISTERS
from lamina_gen.registers import FILES
from lamina_sim.device import registers


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file_is_up_to_date(path):
    """Else run `python -m lamina_gen.registers`."""
    assert path.read_text() == FILES[path]()


def test_registers_do_not_overlap():
    taken = {}
    for register in REGISTERS:
        for n in range(register.count):
            at = register.offset + n * register.stride
            assert at % 4 == 0
            assert at < 1 << ADDRESS_BITS
            assert at not in taken, f"{register.name} lies on {taken[at]}"
            taken[at] = register.name


def test_fields_do_not_overlap():
    for register in REGISTERS:
        bits = [b for f in register.fields for b in range(f.low, f.low + f.width)]
        assert len(set(bits)) == len(bits), register.name
        assert max(bits, default=0) < 32


def test_c_and_python_agree(tmp_path):
    """The header compiles, and its macros have the values of the Python constants."""
    header = next(path for path in FILES if path.suffix == ".h")
    names = re.findall(r"#define LAMINA_STORE_(\w+) ", header.read_text())
    assert len(names) > 60
    values = ", ".join(f"LAMINA_STORE_{name}" for name in names)
    source = tmp_path / "values.c"
    source.write_text(f'#include "{header}"\nunsigned values[] = {{{values}}};\n')
    library = tmp_path / "values.so"
    subprocess.run(["g++", "-x", "c++", "-shared", "-fPIC", source, "-o", library], check=True)
    found = (ctypes.c_uint * len(names)).in_dll(ctypes.CDLL(str(library)), "values")
    for name, value in zip(names, found, strict=True):
        assert getattr(registers, name) == value, name
