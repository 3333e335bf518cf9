"""The device's registers for those who program it: `python -m lamina_gen.registers` writes them.

From `lamina.store.register_map` come the documentation, the C header and the Python constants.
"""

from pathlib import Path

from lamina.store.register_map import ADDRESS_BITS, REGISTERS, Field, Register

__all__ = ["FILES", "main"]

_ROOT = Path(__file__).resolve().parents[2]
_NOTE = "Made by `python -m lamina_gen.registers`; a test fails when it is out of date."


def _mask(field: Field) -> int:
    return ((1 << field.width) - 1) << field.low


def python_constants() -> str:
    """Return a Python module: byte offsets, strides and counts, and the fields' masks."""
    lines = ['"""Registers of the store\'s device.', "", f"{_NOTE}", '"""', ""]
    for register in REGISTERS:
        name = register.name.upper()
        lines.append(f"{name} = 0x{register.offset:03X}")
        if register.count > 1:
            lines.append(f"{name}_STRIDE = {register.stride}")
        for field in register.fields:
            lines.append(f"{name}_{field.name.upper()} = 0x{_mask(field):X}")
            lines.append(f"{name}_{field.name.upper()}_LOW = {field.low}")
    return "\n".join(lines) + "\n"


def c_header() -> str:
    """Return a C header with the same names behind LAMINA_STORE_; macros of what comes in rows."""
    lines = [f"/* Registers of the store's device. {_NOTE} */", "#pragma once", ""]
    for register in REGISTERS:
        name = f"LAMINA_STORE_{register.name.upper()}"
        if register.count > 1:
            lines.append(f"#define {name}(i) ({register.offset:#05x}u + {register.stride}u * (i))")
        else:
            lines.append(f"#define {name} {register.offset:#05x}u")
        for field in register.fields:
            lines.append(f"#define {name}_{field.name.upper()} {_mask(field):#010x}u")
            lines.append(f"#define {name}_{field.name.upper()}_LOW {field.low}")
    return "\n".join(lines) + "\n"


def page() -> str:
    """Return the documentation: a table of registers, the fields below their register."""
    lines = [
        "# Registers of the store's device",
        "",
        f"32-bit words on AXI4-Lite, {1 << ADDRESS_BITS} bytes. {_NOTE}",
        "[The device](store_device.md) says how they are used; the same names are in",
        "`lamina_sim.device.registers` and in `registers.h` beside it.",
        "",
        "| offset | register | access | what it is |",
        "|---|---|---|---|",
    ]
    for register in REGISTERS:
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


#: What is made, by its path.
FILES = {
    _ROOT / "docs/modules/store_registers.md": page,
    _ROOT / "sim/lamina_sim/device/registers.py": python_constants,
    _ROOT / "sim/lamina_sim/device/registers.h": c_header,
}


def main() -> None:
    """Write all of them."""
    for path, make in FILES.items():
        path.write_text(make())


if __name__ == "__main__":
    main()
