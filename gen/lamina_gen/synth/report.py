"""What a synthesis run found out."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Report"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result of `lamina_gen.synth.synthesize`.

    ``figures`` are those of the target, by the names of `to_json`; one that could not be had is
    None, and ``notes`` has a sentence on why. ``netlist`` is the Verilog of the result with the
    ports of ``top`` unchanged; ``liberty`` the library that its cells are from, unpacked.
    """

    module: str
    parameters: dict[str, Any]
    target: str
    top: str
    tools: dict[str, str]
    figures: dict[str, Any]
    notes: tuple[str, ...] = ()
    netlist: Path | None = None
    liberty: Path | None = field(default=None)

    def to_json(self) -> dict[str, Any]:
        """Return module, parameters, target and tools, the figures, and the notes."""
        return {
            "module": self.module,
            "parameters": self.parameters,
            "target": self.target,
            "tools": self.tools,
            **self.figures,
            "notes": list(self.notes),
            "netlist": str(self.netlist) if self.netlist else None,
        }
