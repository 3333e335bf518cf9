"""Static timing of a netlist of cells by OpenSTA."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lamina_gen.synth import tools
from lamina_gen.synth.cache import cached

__all__ = ["MISSING", "Timing", "timing"]

MISSING = "OpenSTA is not installed (Debian: apt-get install opensta): no timing, no power."

#: A period that every path meets, so that paths are not cut short; in ps.
_LONG = 10_000_000

#: What OpenSTA wrote, in the folder of a timing that is kept.
_REPORT = "report.txt"

# Ports count as registers outside: a path from or to one has the whole period, like any other.
_SCRIPT = """\
read_liberty {liberty}
read_verilog {netlist}
link_design {top}
set_cmd_units -time ps
create_clock -name clk -period {period} {clock}
set_input_delay 0 -clock clk [all_inputs]
set_output_delay 0 -clock clk [all_outputs]
report_checks -path_delay max -digits 3
exit
"""


@dataclass(frozen=True)
class Timing:
    """The slowest path: ``period_ps`` is what it needs, setup time included; None if no path."""

    period_ps: float | None
    start: str = ""
    end: str = ""

    def to_json(self) -> dict[str, str] | None:
        """Return where the path starts and ends."""
        return None if self.period_ps is None else {"from": self.start, "to": self.end}


def timing(netlist: Path, top: str, liberty: Path, clocked: bool) -> Timing | None:
    """Return the slowest path of ``netlist``, or None without OpenSTA.

    It is kept under the netlist's content: of a large one it takes minutes. Raises ToolError if
    OpenSTA fails.
    """
    found = tools.find_sta()
    if found is None:
        return None
    script = _SCRIPT.format(
        liberty=liberty,
        netlist=netlist,
        top=top,
        period=_LONG,
        clock="[get_ports clk]" if clocked else "",
    )

    def make(work: Path) -> None:
        (work / _REPORT).write_text(run_sta(script, f"Timing of {top}"))

    # The library is named by its content, the netlist is not.
    same = _SCRIPT.format(
        liberty=liberty.parent.name, netlist="", top=top, period=_LONG, clock=clocked
    )
    folder = cached(f"{top}-timing", (same, netlist.read_text(), found[1]), make)
    return _slowest((folder / _REPORT).read_text())


def run_sta(script: str, what: str, files: Mapping[str, str] | None = None) -> str:
    """Run an OpenSTA script, without the user's own start-up file; return what it wrote.

    ``files`` (name: text) lie in the folder that it runs in.
    """
    found = tools.find_sta()
    if found is None:
        raise tools.ToolError(MISSING)
    with tempfile.TemporaryDirectory(prefix="lamina-sta-") as name:
        folder = Path(name)
        for file, text in {**(files or {}), "run.tcl": script}.items():
            (folder / file).write_text(text)
        command = [str(found[0]), "-no_init", "-no_splash", "-exit", "run.tcl"]
        output = tools.call(command, folder, what, "sta.log")
    if error := re.search(r"^Error:.*", output, re.M):
        # OpenSTA ends with code 0 all the same.
        raise tools.ToolError(f"{what} failed.{tools.quote(output[: error.end()])}")
    return output


def _slowest(output: str) -> Timing:
    start = re.search(r"^Startpoint: (\S+)", output, re.M)
    end = re.search(r"^Endpoint: (\S+)", output, re.M)
    slack = re.search(r"([-\d.]+)\s+slack", output)
    if not (start and end and slack):
        return Timing(None)
    return Timing(_LONG - float(slack[1]), start[1], end[1])
