"""Cells as strong as their loads want: the smallest that suffices, in every module at once."""

import pytest

from lamina_gen.synth.drive import strengthen
from lamina_gen.synth.liberty import Cell, Library, Pin, Register

_STATE = Register(
    kind="ff",
    state="IQ",
    inverse="IQN",
    clock="C",
    data="D",
    clear=None,
    preset=None,
    both=("X",) * 2,
)


def register(strength, limit, **facts):
    pins = [Pin(name=name, direction="input", capacitance=1.0) for name in "CD"]
    pins.append(Pin(name="Q", direction="output", function="IQ", max_capacitance=limit))
    return cell(f"ff_{strength}", 20.0 + strength, pins, registers=(_STATE,), **facts)


def buffer(strength, limit, load=3.0):
    pins = [
        Pin(name="A", direction="input", capacitance=load),
        Pin(name="X", direction="output", function="A", max_capacitance=limit),
    ]
    return cell(f"buffer_{strength}", 4.0 * strength, pins)


def cell(name, area, pins, **facts):
    return Cell(name=name, area=area, pins={pin.name: pin for pin in pins}, **facts)


def library(*cells):
    return Library(name="test", cells={cell.name: cell for cell in cells}, time_ps=1.0)


def module(ports, **cells):
    """Of ``ports``, name: (direction, wires), and cells, name: (type, wires by pin)."""
    return {
        "ports": {name: {"direction": way, "bits": bits} for name, (way, bits) in ports.items()},
        "cells": {
            name: {"type": kind, "connections": {pin: [wire] for pin, wire in pins.items()}}
            for name, (kind, pins) in cells.items()
        },
    }


def loaded(number):
    """A register that drives so many buffers of load 3."""
    buffers = {f"b{place}": ("buffer_1", {"A": 3, "X": 10 + place}) for place in range(number)}
    return module({}, kept=("ff_1", {"C": 1, "D": 2, "Q": 3}), **buffers)


REGISTERS = (register(1, 10.0), register(2, 20.0), register(4, 40.0))


@pytest.mark.parametrize(
    ("loads", "share", "kind"),
    [(0, 1.0, 1), (3, 1.0, 1), (4, 1.0, 2), (7, 1.0, 4), (99, 1.0, 4), (3, 0.5, 2), (4, 0.5, 4)],
)
def test_smallest_that_suffices(loads, share, kind):
    modules = {"top": loaded(loads)}
    strengthen(modules, library(*REGISTERS, buffer(1, 9.0)), share)
    assert modules["top"]["cells"]["kept"]["type"] == f"ff_{kind}"


def test_what_suffices_stays():
    modules = {"top": loaded(1)}
    modules["top"]["cells"]["kept"]["type"] = "ff_4"
    strengthen(modules, library(*REGISTERS, buffer(1, 9.0)), 1.0)
    assert modules["top"]["cells"]["kept"]["type"] == "ff_4"


def test_not_for_ordinary_logic():
    """Nor a cell of another function, however strong."""
    other = cell("other", 1.0, [Pin(name="Q", direction="output", max_capacitance=99.0)])
    cells = register(1, 1.0), register(2, 20.0, dont_use=True), register(4, 40.0), other
    modules = {"top": loaded(2)}
    strengthen(modules, library(*cells, buffer(1, 9.0)), 1.0)
    assert modules["top"]["cells"]["kept"]["type"] == "ff_4"


@pytest.mark.parametrize(("now", "then"), [(1, 8), (8, 8), (9, 8)])
def test_strongest_is_not_the_largest(now, then):
    """Nor does a cell become a weaker one because none suffices."""
    cells = register(1, 10.0), register(8, 40.0), register(9, 20.0)
    modules = {"top": loaded(50)}
    modules["top"]["cells"]["kept"]["type"] = f"ff_{now}"
    strengthen(modules, library(*cells, buffer(1, 9.0)), 1.0)
    assert modules["top"]["cells"]["kept"]["type"] == f"ff_{then}"


def test_ports_that_share_a_wire():
    leaf = module(
        {"a": ("output", [3]), "b": ("output", [3])}, kept=("ff_1", {"C": 1, "D": 2, "Q": 3})
    )
    sinks = {f"b{place}": ("buffer_1", {"A": 4 + place % 2, "X": 10 + place}) for place in range(6)}
    modules = {"top": module({}, part=("leaf", {"a": 4, "b": 5}), **sinks), "leaf": leaf}
    strengthen(modules, library(*REGISTERS, buffer(1, 9.0)), 1.0)
    assert modules["leaf"]["cells"]["kept"]["type"] == "ff_2"


def test_without_limits_all_stays():
    modules = {"top": loaded(50)}
    strengthen(modules, library(register(1, None), register(2, None), buffer(1, None)), 1.0)
    assert modules["top"]["cells"]["kept"]["type"] == "ff_1"


def test_loads_in_other_modules():
    """``leaf`` has a register at its output and three buffers at its input; two are chained."""
    sinks = {f"b{place}": ("buffer_1", {"A": 2, "X": 10 + place}) for place in range(3)}
    ports = {"i": ("input", [2]), "o": ("output", [3])}
    leaf = module(ports, kept=("ff_1", {"C": 1, "D": 2, "Q": 3}), **sinks)
    first, second = ("leaf", {"i": 5, "o": 6}), ("leaf", {"i": 6, "o": 7})
    start = ("ff_1", {"C": 1, "D": 4, "Q": 5})
    modules = {"top": module({}, first=first, second=second, start=start), "leaf": leaf}
    strengthen(modules, library(*REGISTERS, buffer(1, 9.0)), 0.5)
    # Three buffers and a register are 10; the second leaf's output drives nothing.
    assert modules["leaf"]["cells"]["kept"]["type"] == "ff_2"
    assert modules["top"]["cells"]["start"]["type"] == "ff_2"
