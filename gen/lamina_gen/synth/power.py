"""Power of a netlist that runs real operands: activity of every pin, counted, given to OpenSTA.

    run = {"i": groups, "i_weights": weights}
    activity = count_activity(netlist, liberty, "anda_element.json", run, outputs={"o": 1000})
    power = measure_power(activity, clock_ps=5000)
    power.total_mw, power.energy_pj(macs=64 * 1000)

OpenSTA's own guess, a rate at the inputs that it propagates, is wrong by a factor of several for
adder trees. Counted is once per cycle, without delays: glitches are not in the figures, nor are
wires, clock tree and memory macros.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina_gen.synth.boundary import registered_inputs
from lamina_gen.synth.cells import unpacked
from lamina_gen.synth.flat import FlatNetlist
from lamina_gen.synth.gates import Description, gate_model
from lamina_gen.synth.liberty import Library, read_liberty
from lamina_gen.synth.sta import run_sta
from lamina_sim.verilated import Result

__all__ = ["Activity", "Power", "count_activity", "measure_power"]


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What every wire of a netlist does on average in a run.

    ``rates`` and ``duties`` float64 in the order of ``flat.wires``: changes per clock cycle, and
    the share of cycles in which it is 1. ``cycles`` were counted; ``result`` is what the run gave,
    for a caller to check.
    """

    flat: FlatNetlist
    liberty: Path
    clock: str
    cycles: int
    rates: NDArray[np.float64]
    duties: NDArray[np.float64]
    result: Result


@dataclass(frozen=True, kw_only=True)
class Power:
    """Power at a clock, in mW: inside the cells, in their loads, by leakage, and the sum."""

    clock_ps: float
    cycles: int
    internal_mw: float
    switching_mw: float
    leakage_mw: float
    total_mw: float

    def energy_pj(self, macs: float) -> float:
        """Energy of one of ``macs`` operations that the counted cycles did, leakage included."""
        return self.total_mw * self.clock_ps * 1e-3 * self.cycles / macs

    def to_json(self) -> dict[str, float]:
        """Return all figures by name."""
        return asdict(self)


def count_activity(
    netlist: Path | str,
    liberty: Path | str,
    description: Description,
    inputs: Mapping[str, Any],
    **options: Any,
) -> Activity:
    """Run a netlist and count.

    ``netlist``, ``liberty`` and ``description`` are those of `gate_model`, ``inputs`` and
    ``options`` those of `verilated.Model.run`. Give ``outputs`` their
    numbers of transfers, lest the run end with a thousand idle cycles. Counting starts behind the
    last reset.

    Raises ValueError if the netlist has no clock or the run is empty; and what `gate_model` and
    the run raise.
    """
    model = gate_model(netlist, liberty, description)
    clock = model.description["clock"]
    result = model.run(inputs, **options)
    if clock is None or model.cycles == 0:
        raise ValueError("Activity must be counted over clock cycles, but the run has none.")
    return Activity(
        flat=model.flat,
        liberty=Path(liberty),
        clock=clock,
        cycles=model.cycles,
        rates=model.toggles / model.cycles,
        duties=model.ones / model.cycles,
        result=result,
    )


def measure_power(activity: Activity, clock_ps: float) -> Power:
    """Power at the clock period ``clock_ps``, by OpenSTA; ToolError if it is missing or fails.

    Below the period that the netlist needs it could not run: that is not checked here.
    """
    if clock_ps <= 0:
        raise ValueError(f"The clock must be a period above 0 ps, not {clock_ps}.")
    what = f"Power of {activity.flat.top}"
    library = read_liberty(activity.liberty)
    gated = dict(_gated_cells(activity, library))
    activity, entries = _behind_registers(activity, library)
    script = _script(activity, clock_ps, gated, entries)
    output = run_sta(script, what, {"netlist.v": activity.flat.verilog()})
    match = re.search(r"^Total\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)", output, re.M)
    if match is None:
        raise ValueError(f"{what}: OpenSTA must report a total, but wrote:\n{output[-1000:]}")
    internal, switching, leakage, _ = map(float, match.groups())
    for cell in re.finditer(r"^ *(\S+) +(\S+) +(\S+) +\S+ (\S+)$", output[match.end() :], re.M):
        if cell[4] in entries:
            internal -= float(cell[1])
            switching -= float(cell[2])
            leakage -= float(cell[3])
        elif cell[4] in gated:
            share, is_gate = gated[cell[4]]
            internal -= (1 - share) * float(cell[1]) * (not is_gate)
            switching -= (1 - share) * float(cell[2])
    return Power(
        clock_ps=clock_ps,
        cycles=activity.cycles,
        internal_mw=1e3 * internal,
        switching_mw=1e3 * switching,
        leakage_mw=1e3 * leakage,
        total_mw=1e3 * (internal + switching + leakage),
    )


def _behind_registers(activity: Activity, library: Library) -> tuple[Activity, set[str]]:
    """Leave out memory macros, and put registers where inputs and they drive cells.

    OpenSTA would make black boxes of macros, on which, beside clock gates, version 2.0.17 crashes.
    The registers do what the inputs do, and do not count.
    """
    flat, entries = registered_inputs(activity.flat, library, activity.clock)
    places = {wire: place for place, wire in enumerate(activity.flat.wires)}
    same = [places[wire] for wire in entries.values()]
    rates, duties = (
        np.concatenate([values, np.asarray(values)[same]])
        for values in (activity.rates, activity.duties)
    )
    return replace(activity, flat=flat, rates=rates, duties=duties), set(entries)


def _script(
    activity: Activity, clock_ps: float, gated: Iterable[str], entries: Iterable[str]
) -> str:
    """Tcl that sets every pin, and reports; then again cells that do not count as they are.

    These are ``entries``, and ``gated`` cells with nothing but clocks. Units of power are set last,
    so that they hold for the reports.
    """
    lines = [
        f"read_liberty {{{unpacked(activity.liberty)}}}",
        "read_verilog netlist.v",
        f"link_design {activity.flat.top}",
        "set_cmd_units -time ps",
        f"create_clock -name clk -period {clock_ps} [get_ports {activity.clock}]",
    ]
    facts = dict(
        zip(activity.flat.wires, zip(activity.rates, activity.duties, strict=True), strict=True)
    )
    clocks = {w for name, _, wires in activity.flat.ports if name == activity.clock for w in wires}
    still, gated = [], set(gated)
    for instance in activity.flat.instances:
        for pin, wire in instance.pins.items():
            # Constants are known to OpenSTA, and so is the clock, behind clock gates too.
            if wire in facts and wire not in clocks:
                rate, duty = facts[wire]
                lines.append(f"a {instance.name}/{pin} {rate:.5g} {duty:.5g}")
                if instance.name in gated:
                    still.append(f"a {instance.name}/{pin} 0 {duty:.5g}")
    lines += ["set_cmd_units -power W", "report_power -digits 9"]
    if gated or entries:
        cells = " ".join(sorted({*gated, *entries}))
        lines += [*still, f"report_power -instances [get_cells {{{cells}}}] -digits 9"]
    return "\n".join([_PROCEDURES, *lines, "exit\n"])


def _gated_cells(activity: Activity, library: Library) -> Iterator[tuple[str, tuple[float, bool]]]:
    """Clock gates and the registers behind them: name, share of cycles with a clock, if a gate.

    To OpenSTA a gated clock never rests: what it takes while it does is subtracted afterwards. Of
    the gates themselves that is only the load that they drive.
    """
    cells = library.cells
    rates = dict(zip(activity.flat.wires, activity.rates, strict=True))
    shares: dict[str, float] = {}
    for instance in activity.flat.instances:
        if instance.kind in cells and cells[instance.kind].integrated_clock_gate:
            pins = cells[instance.kind].pins.values()
            (out,) = (instance.pins[pin.name] for pin in pins if pin.clock_gate == "out")
            shares[out] = float(rates[out]) / 2
            yield instance.name, (shares[out], True)
    for instance in activity.flat.instances:
        if instance.kind in cells and cells[instance.kind].registers:
            for wire in instance.pins.values():
                if wire in shares:
                    yield instance.name, (shares[wire], False)


# The option -pins of Debian's OpenSTA 2.0.17 does not work, but the procedure behind it does.
_PROCEDURES = """\
if {[info commands ::sta::set_power_pin_activity] != ""} {
  proc a {pin rate duty} { ::sta::set_power_pin_activity [get_pins $pin] $rate $duty }
} else {
  proc a {pin rate duty} { set_power_activity -pins [get_pins $pin] -activity $rate -duty $duty }
}"""
