"""The platform that Amaranth elaborates for when hardware is written out as Verilog."""

import contextlib
import gc
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator

from amaranth.back import verilog

__all__ = ["VerilogPlatform", "module_text", "seldom_collected"]


#: Of an array's parts, more than these have no names of their own.
_CROWD = 64
_PART = re.compile(r"(\\\S+\[\S*) ")
#: A line that declares or assigns nothing but a part.
_PART_LINE = re.compile(
    rf"^  (?:wire|assign) (?:signed )?(?:\[\d+:0\] )?{_PART.pattern}[^;]*;\n", re.M
)


#: Objects made before the garbage collector looks, and how often it looks at older ones.
_COLLECTED = (200_000, 50, 100)


@contextlib.contextmanager
def seldom_collected() -> Iterator[None]:
    """Let the garbage collector look seldom, as Amaranth makes millions of objects that all stay:
    it takes half of the time else.
    """
    before = gc.get_threshold()
    gc.set_threshold(*_COLLECTED)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def module_text(text: str, name: str) -> str:
    """Return the Verilog of module ``name`` alone out of ``text``."""
    match = re.search(rf"^module {re.escape(name)}\(.*?^endmodule", text, re.M | re.S)
    if match is None:
        raise ValueError(f"The Verilog text holds no module {name!r}.")
    return match.group(0)


def _plain_names(text: str) -> str:
    """Write elements of arrays as ``x.codes.3``: tools take ``x.codes[3]`` for bit 3 of a vector.

    Yosys's ABC9 flow, for one, fails an assertion in large designs that have such names.
    """
    return re.sub(
        r"\\\S*\[\S*", lambda name: name.group(0).replace("[", ".").replace("]", ""), text
    )


def _without_crowds(text: str) -> str:
    """Leave out the names of an array's parts where it has many: a quarter of an engine's text.

    Amaranth declares each part of a signal, `x[3].scale`, and assigns it from the signal, for those
    who look at waves; nothing else reads it.
    """

    def one_module(match: re.Match[str]) -> str:
        module = match.group(0)
        uses = Counter(_PART.findall(module))
        lines = Counter(_PART_LINE.findall(module))
        parts = [name for name, count in lines.items() if count == 2 == uses[name]]
        sizes = Counter(name.partition("[")[0] for name in parts)
        crowd = {name for name in parts if sizes[name.partition("[")[0]] > _CROWD}
        return _PART_LINE.sub(lambda line: "" if line.group(1) in crowd else line.group(0), module)

    return re.sub(r"^module .*?^endmodule", one_module, text, flags=re.M | re.S)


def _loop_over_rows(text: str) -> str:
    """Fill a memory in a loop where all its rows begin alike: else they are most of the text."""
    rows = re.compile(r"^  initial begin\n((?:    \S+\[\d+\] = [^;]*;\n){2,})  end\n", re.M)

    def one_memory(match: re.Match[str]) -> str:
        lines = match.group(1).splitlines()
        first = re.fullmatch(r"    (\S+)\[0\] = ([^;]*);", lines[0])
        if first is None:
            return match.group(0)
        name, value = first.groups()
        if lines != [f"    {name}[{row}] = {value};" for row in range(len(lines))]:
            return match.group(0)
        row = f"{name}_row"
        return (
            f"  integer {row};\n"
            f"  initial for ({row} = 0; {row} < {len(lines)}; {row} = {row} + 1)\n"
            f"    {name}[{row}] = {value};\n"
        )

    return rows.sub(one_memory, text)


def _settle_constants(text: str) -> str:
    """Let constant parts of otherwise assigned variables take their value.

    Yosys writes such a part as ``always @* x[7:4] = 4'h8;``. Nothing is read there, so simulators
    never run it; reading a variable that is initialised makes them run it once.
    """
    constant = re.compile(r"^  always @\*\n    (.* = \d+'s?[hbd][0-9a-fxz]+;)$", re.M)
    settled = r"  always @* begin\n    if (lamina_settle) begin end\n    \1\n  end"

    def one_module(match: re.Match[str]) -> str:
        header, body = match.groups()
        body, count = constant.subn(settled, body)
        return header + ("  reg lamina_settle = 0;\n" if count else "") + body

    return re.sub(r"^(module .*?;\n)(.*?^endmodule)", one_module, text, flags=re.M | re.S)


class VerilogPlatform:
    """Collects the definitions that `lamina.cell.Cell` shares among its instances.

    ``cells`` maps the name of each definition to its Verilog.
    """

    #: Technology cells become instances of the wrapper modules under ``cells/``.
    technology_cells = True

    def __init__(self) -> None:
        self.cells: dict[str, str] = {}
        #: How often a definition names another: of each, and of the top module ("").
        self._inside: dict[str, Counter[str]] = defaultdict(Counter)
        self._defining = ""

    def instances(self) -> dict[str, int]:
        """Return how many instances of each definition the whole design has."""
        total = dict.fromkeys(self.cells, 0)
        waiting = [("", 1)]
        while waiting:
            outer, times = waiting.pop()
            for name, count in self._inside[outer].items():
                total[name] += times * count
                waiting.append((name, times * count))
        return total

    def inside(self, outer: str) -> Collection[str]:
        """Return which definitions another one names itself; of "", the top module."""
        return self._inside[outer].keys()

    def sizes(self) -> dict[str, int]:
        """Return the text of each definition with that of all instances in it."""
        sizes: dict[str, int] = {}
        for name, text in self.cells.items():  # those inside come first
            parts = self._inside[name].items()
            sizes[name] = len(text) + sum(count * sizes[part] for part, count in parts)
        return sizes

    def define_cell(self, kind: type, parameters: object) -> tuple[str, bool]:
        """Return the name of the one definition of this cell, and whether it has a clock."""
        # With the class's full name: components of two folders may share their short ones.
        identity = f"{kind.__module__}.{kind.__qualname__} {parameters!r}"
        digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
        name = f"lamina_{_snake(kind.__name__)}_{digest}"
        if name not in self.cells:
            outer, self._defining = self._defining, name
            self.cells[name] = self.convert(kind(parameters), name)
            self._defining = outer
        self._inside[self._defining][name] += 1
        return name, "input clk;" in module_text(self.cells[name], name)

    def convert(self, component: object, name: str) -> str:
        """Return the Verilog of ``component`` as module ``name``, shared cells left out."""
        with seldom_collected():
            text = verilog.convert(
                component, name=name, platform=self, emit_src=False, strip_internal_attrs=True
            )
        # Yosys writes its version above every module it writes; once in the header is enough.
        text = re.sub(r"^/\* Generated by .*\*/\n+", "", text)
        # Signals of no width are declared, as [-1:0], but never used.
        text = re.sub(r"^  (?:wire|reg) \[-1:0\] [^;\n]*;\n", "", text, flags=re.M)
        return _settle_constants(_plain_names(_without_crowds(_loop_over_rows(text))))
