"""The generated Verilog, cut into what is synthesized and what is not."""

import re
from dataclasses import dataclass

from lamina_gen.emit import Emission
from lamina_gen.synth.technology import behavioural

__all__ = ["MACRO_BITS", "Source", "split"]

#: Memories of more bits than this are left to memory macros, as ASIC users do.
MACRO_BITS = 1024

_MODULE = re.compile(r"^module (\\\S+ |\w+).*?^endmodule\n", re.M | re.S)
_MEMORY = re.compile(r"^  reg (?:\[(\d+):0\] )?(?:\\\S+|\w+) +\[(\d+):0\];", re.M)


@dataclass(frozen=True)
class Source:
    """``logic``: Verilog without technology cells and macros. ``definitions``: modules that stay
    apart. ``macros``: Verilog of the memories left out, by name; ``macro_bits``: their size.
    """

    logic: str
    definitions: tuple[str, ...]
    macros: dict[str, str]
    macro_bits: dict[str, int]


def split(emission: Emission) -> Source:
    """Sort the modules of ``emission``.

    A definition is the top or a shared cell (`lamina.cell`): these have plain names. The parts of
    one, as Amaranth writes them, are named "definition.part" and are synthesized as one with it.
    """
    logic, definitions, macros, bits = [], [], {}, {}
    for match in _MODULE.finditer(emission.files["v"]):
        name = match[1].strip().lstrip("\\")
        size = sum(
            (int(width or 0) + 1) * (int(last) + 1) for width, last in _MEMORY.findall(match[0])
        )
        if name in behavioural():
            continue
        if size > MACRO_BITS:
            macros[name], bits[name] = match[0], size
            continue
        logic.append(match[0])
        if "." not in name:
            definitions.append(name)
    return Source("\n".join(logic), tuple(definitions), macros, bits)
