"""The bulk driver: generated Verilog becomes a shared object that takes and gives NumPy arrays.

    model = build("out/arith_fp32_add.json")
    result = model.run({"i": {"a": a, "b": b, "tag": 0}}, outputs={"o": len(a)}, stall=0.3)
    result["o"].values, result["o"].cycles

It needs MODULE.v and MODULE.json only; nothing is written by hand for a module.
"""

from lamina_sim.verilated.memory import Memory
from lamina_sim.verilated.model import Model, build
from lamina_sim.verilated.result import Result, Traffic, Transfers
from lamina_sim.verilated.session import ProtocolError, StuckError
from lamina_sim.verilated.toolchain import ToolError

__all__ = [
    "Memory",
    "Model",
    "ProtocolError",
    "Result",
    "StuckError",
    "ToolError",
    "Traffic",
    "Transfers",
    "build",
]
