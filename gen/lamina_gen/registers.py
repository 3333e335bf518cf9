"""Registers for those who program them: `python -m lamina_gen.registers` writes the files.

From each register map come documentation, a C header and Python constants.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lamina.anda import register_map as engine
from lamina.bus.registers import Field, Register
from lamina.store import register_map as store

__all__ = ["FILES", "MAPS", "RegisterMap", "main"]

_ROOT = Path(__file__).resolve().parents[2]
_NOTE = "Made by `python -m lamina_gen.registers`; a test fails when it is out of date."


@dataclass(frozen=True, kw_only=True)
class RegisterMap:
    """Registers of one thing, ``title``, whose page is ``page``.

    ``name``: of its files. ``prefix``: of the C names.
    """

    name: str
    title: str
    page: str
    prefix: str
    address_bits: int
    registers: tuple[Register, ...]


MAPS = (
    RegisterMap(
        name="registers",
        title="the store's device",
        page="[The device](store_device.md)",
        prefix="LAMINA_STORE",
        address_bits=store.ADDRESS_BITS,
        registers=store.REGISTERS,
    ),
    RegisterMap(
        name="engine_registers",
        title="Anda's engine",
        page="[The engine](anda_engine.md)",
        prefix="LAMINA_ANDA",
        address_bits=engine.ADDRESS_BITS,
        registers=engine.REGISTERS,
    ),
)


def _mask(field: Field) -> int:
    return ((1 << field.width) - 1) << field.low


def python_constants(own: RegisterMap) -> str:
    """Return a Python module: byte offsets, strides and counts, and the fields' masks."""
    lines = [f'"""Registers of {own.title}.', "", f"{_NOTE}", '"""', ""]
    for register in own.registers:
        name = register.name.upper()
        lines.append(f"{name} = 0x{register.offset:03X}")
        if register.count > 1:
            lines.append(f"{name}_STRIDE = {register.stride}")
        for field in register.fields:
            lines.append(f"{name}_{field.name.upper()} = 0x{_mask(field):X}")
            lines.append(f"{name}_{field.name.upper()}_LOW = {field.low}")
    return "\n".join(lines) + "\n"


def c_header(own: RegisterMap) -> str:
    """Return a C header with the same names behind the prefix; macros of what comes in rows."""
    lines = [f"/* Registers of {own.title}. {_NOTE} */", "#pragma once", ""]
    for register in own.registers:
        name = f"{own.prefix}_{register.name.upper()}"
        if register.count > 1:
            lines.append(f"#define {name}(i) ({register.offset:#05x}u + {register.stride}u * (i))")
        else:
            lines.append(f"#define {name} {register.offset:#05x}u")
        for field in register.fields:
            lines.append(f"#define {name}_{field.name.upper()} {_mask(field):#010x}u")
            lines.append(f"#define {name}_{field.name.upper()}_LOW {field.low}")
    return "\n".join(lines) + "\n"


def page(own: RegisterMap) -> str:
    """Return the documentation: a table of registers, the fields below their register."""
    lines = [
        f"# Registers of {own.title}",
        "",
        f"32-bit words on AXI4-Lite, {1 << own.address_bits} bytes. {_NOTE}",
        f"{own.page} says how they are used; the same names are in",
        f"`lamina_sim.device.{own.name}` and in `{own.name}.h` beside it.",
        "",
        "| offset | register | access | what it is |",
        "|---|---|---|---|",
    ]
    for register in own.registers:
        lines.append(_row(register))
        for field in register.fields:
            high = field.low + field.width - 1
            bits = f"{high}:{field.low}" if field.width > 1 else f"{field.low}"
            lines.append(f"| | `{field.name}` [{bits}] | | {field.text} |")
    return "\n".join(lines) + "\n"


def _row(register: Register) -> str:
    where = f"{register.offset:#05x}"
    if register.count > 1:
        where += f" + {register.stride} \\* {register.many}"
    return f"| {where} | `{register.name}` | {register.access} | {register.text} |"


_DEVICE = _ROOT / "sim/lamina_sim/device"

#: What is made, by its path.
FILES: dict[Path, Callable[[], str]] = {}
for _map, _page in zip(MAPS, ("store_registers", "anda_engine_registers"), strict=True):
    FILES |= {
        _ROOT / f"docs/modules/{_page}.md": partial(page, _map),
        _DEVICE / f"{_map.name}.py": partial(python_constants, _map),
        _DEVICE / f"{_map.name}.h": partial(c_header, _map),
    }


def main() -> None:
    """Write all of them."""
    for path, make in FILES.items():
        path.write_text(make())


if __name__ == "__main__":
    main()
