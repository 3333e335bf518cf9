"""A reader of Liberty cell libraries: areas, pins, functions and registers of the cells.

Timing and power tables are for OpenSTA, which reads the file itself: they are skipped here. That
is why this is not one of the general parsers: liberty-parser needs ten times as long, 12 s for a
library of 13 MB.
"""

import functools
import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Cell", "Library", "Pin", "Register", "read_liberty"]


@dataclass(frozen=True, kw_only=True)
class Pin:
    """A signal pin of a cell; power pins are left out.

    ``function`` is the Liberty expression of an output over input pins and register states, None
    where the library gives none; ``state_function`` one over a clock gate's hidden latch;
    ``three_state`` that of its high impedance. ``clock_gate`` is what the pin is to a clock gate:
    "clock", "enable", "test" or "out". ``capacitance`` loads what drives the pin, and an output may
    drive ``max_capacitance``, in the library's unit.
    """

    name: str
    direction: str
    function: str | None = None
    three_state: str | None = None
    state_function: str | None = None
    clock: bool = False
    clock_gate: str | None = None
    capacitance: float = 0.0
    max_capacitance: float | None = None


@dataclass(frozen=True, kw_only=True)
class Register:
    """A flip-flop ("ff") or latch ("latch") of a cell; expressions are Liberty's, None if absent.

    ``state`` and ``inverse`` name its outputs in the functions of pins. ``clock`` is clocked_on or
    enable, ``data`` next_state or data_in. ``both`` are the values (L, H, N, T, X) of state and
    inverse while clear and preset are active together.
    """

    kind: str
    state: str
    inverse: str
    clock: str | None
    data: str | None
    clear: str | None
    preset: str | None
    both: tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell: ``area`` in the library's unit (um2 in all known ones), ``pins`` by name.

    ``integrated_clock_gate`` is Liberty's clock_gating_integrated_cell, as "latch_posedge".
    ``dont_use``: not for ordinary logic, as the library says or as it is for power domains.
    """

    name: str
    area: float
    pins: dict[str, Pin]
    registers: tuple[Register, ...] = ()
    integrated_clock_gate: str | None = None
    dont_use: bool = False

    @property
    def inputs(self) -> list[str]:
        """Names of the input pins."""
        return [pin.name for pin in self.pins.values() if pin.direction == "input"]

    @property
    def outputs(self) -> list[str]:
        """Names of the output pins."""
        return [pin.name for pin in self.pins.values() if pin.direction == "output"]

    @property
    def signal_pins(self) -> list[Pin]:
        """The pins that a netlist can connect: no internal nodes."""
        return [pin for pin in self.pins.values() if pin.direction in ("input", "output", "inout")]

    @property
    def sequential(self) -> bool:
        """Whether the cell holds a state."""
        return bool(self.registers) or self.integrated_clock_gate is not None


@dataclass(frozen=True, kw_only=True)
class Library:
    """A Liberty file: ``cells`` by name, ``time_ps`` its unit of time."""

    name: str
    cells: dict[str, Cell]
    time_ps: float


@dataclass
class _Group:
    """``kind (arguments) { attributes groups }``; of an attribute given twice the first stays."""

    kind: str
    arguments: list[str]
    attributes: dict[str, str] = field(default_factory=dict)
    groups: list["_Group"] = field(default_factory=list)

    def of(self, *kinds: str) -> Iterator["_Group"]:
        return (group for group in self.groups if group.kind in kinds)


def read_liberty(path: Path | str) -> Library:
    """Read a Liberty file, gzipped (.gz) or plain.

    Raises ValueError with a sentence if there is none or it cannot be read as one.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"The Liberty file must exist, but there is no file {path}.")
    # Path, time and size: a file that is written anew is read anew.
    return _read(path, path.stat().st_mtime_ns, path.stat().st_size)


@functools.lru_cache(maxsize=4)
def _read(path: Path, *_: int) -> Library:
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        library = _parse(data.decode("latin-1"))
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{path} must be a Liberty file: {error}") from None
    cells = {cell.name: cell for cell in map(_cell, library.of("cell"))}
    if not cells:
        raise ValueError(f"{path} must be a Liberty file with cells, but it has none.")
    return Library(
        name=library.arguments[0] if library.arguments else "",
        cells=cells,
        time_ps=_time_ps(library.attributes.get("time_unit", "1ns")),
    )


_STRING = r'"(?:[^"\\]|\\.)*"'
# One match per statement: the end of a group, `name : value ;`, `name (values) ;` or the start of
# a group. Some libraries leave out semicolons at the ends of lines.
_STATEMENT = re.compile(
    rf"""[\s;]*(?:(?P<end>\}})
    | (?P<name>\w+) \s* (?:
        : \s* (?P<value>{_STRING}|[^;{{}}\n]*)
      | \( (?P<arguments>(?:{_STRING}|[^()"])*) \) \s* (?P<start>\{{)?))""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|\\\r?\n", re.DOTALL)
# Most of a library's text, and nothing that is asked for here.
_SKIPPED = {"timing", "internal_power", "leakage_power", "lu_table_template", "test_cell"}


def _parse(text: str) -> _Group:
    """Return the library group of a Liberty text; ValueError says where it is wrong."""
    text = _COMMENT.sub(lambda match: " " + "\n" * match[0].count("\n"), text)
    root = _Group("", [])
    stack, position = [root], 0
    match = _STATEMENT.match(text)
    while match is not None:
        position = match.end()
        if match["end"]:
            if len(stack) == 1:
                raise ValueError(f"a brace too many in line {_line(text, position)}.")
            stack.pop()
        elif match["start"]:
            group = _Group(match["name"], _values(match["arguments"]))
            stack[-1].groups.append(group)
            stack.append(group)
        elif stack[-1].kind not in _SKIPPED:
            value = match["arguments"] if match["value"] is None else match["value"]
            stack[-1].attributes.setdefault(match["name"], _plain(value))
        match = _STATEMENT.match(text, position)
    if text[position:].strip(" \t\r\n;"):
        raise ValueError(f"line {_line(text, position)} cannot be understood.")
    if len(stack) > 1:
        raise ValueError(f"the group {stack[-1].kind} is not closed.")
    libraries = list(root.of("library"))
    if len(libraries) != 1:
        raise ValueError(f"it must hold one library, not {len(libraries)}.")
    return libraries[0]


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _plain(text: str) -> str:
    return text.strip().strip('"').strip()


def _values(text: str) -> list[str]:
    return [_plain(value) for value in text.split(",") if value.strip()]


def _time_ps(unit: str) -> float:
    match = re.fullmatch(r"([\d.]+)\s*(fs|ps|ns|us)", unit)
    if match is None:
        raise ValueError(f"time_unit must be a number of fs, ps, ns or us, not {unit!r}.")
    return float(match[1]) * {"fs": 1e-3, "ps": 1.0, "ns": 1e3, "us": 1e6}[match[2]]


# Besides what the library rules out: cells for the borders of power domains.
_NOT_FOR_LOGIC = ("dont_use", "always_on", "is_isolation_cell", "is_level_shifter")


def _cell(group: _Group) -> Cell:
    name = group.arguments[0]
    pins = {pin.name: pin for inner in group.of("pin", "bundle", "bus") for pin in _pins(inner)}
    return Cell(
        name=name,
        area=_number(group, "area") or 0.0,
        pins=pins,
        registers=tuple(_register(inner) for inner in group.of("ff", "latch")),
        integrated_clock_gate=group.attributes.get("clock_gating_integrated_cell"),
        dont_use=any(group.attributes.get(name) == "true" for name in _NOT_FOR_LOGIC),
    )


def _number(group: _Group, name: str) -> float | None:
    value = group.attributes.get(name)
    try:
        return None if value is None else float(value)
    except ValueError:
        what = f"{group.kind} {group.arguments[0]}"
        raise ValueError(f"The {name} of {what} must be a number, not {value!r}.") from None


_CLOCK_GATE = ("clock", "enable", "test", "out")


def _pins(group: _Group) -> Iterator[Pin]:
    get = group.attributes.get
    gate = [role for role in _CLOCK_GATE if get(f"clock_gate_{role}_pin") == "true"]
    for name in group.arguments:
        yield Pin(
            name=name,
            direction=get("direction", "input"),
            function=get("function"),
            three_state=get("three_state"),
            state_function=get("state_function"),
            clock=get("clock") == "true",
            clock_gate=gate[0] if gate else None,
            capacitance=_number(group, "capacitance") or 0.0,
            max_capacitance=_number(group, "max_capacitance"),
        )


def _register(group: _Group) -> Register:
    get = group.attributes.get
    state, inverse = (*group.arguments, "", "")[:2]
    return Register(
        kind=group.kind,
        state=state,
        inverse=inverse,
        clock=get("clocked_on") or get("enable"),
        data=get("next_state") or get("data_in"),
        clear=get("clear"),
        preset=get("preset"),
        both=(get("clear_preset_var1", "X"), get("clear_preset_var2", "X")),
    )
