"""LiteDRAM behind `store.device`: a controller, and a model of DDR3, that are not ours.

Its own generator writes the Verilog; its AXI port is wired to the device's pin by pin. Rows are
counted where they are opened: in the commands that the controller gives its PHY.
"""

import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from lamina.formats.planes import BEAT_BYTES
from lamina_gen.device.host import Host, Setup
from lamina_gen.device.measure import fill
from lamina_sim import verilated
from lamina_sim.verilated.stepped import Pin, Stepped

__all__ = ["LiteDram", "Rows", "begin", "build"]

#: Rows of a bank, an eighth of the real ones: 128 MiB. Fewer have not all bits of a column.
_ROWS = 2048
_CLOCK_HZ = 100e6
_ADDRESS_BITS = 27
#: Beats of reads, and of writes, that the AXI port takes ahead: more than the way to a row is long.
_AHEAD = 64
_PHASES, _BANK_BITS, _ROW_BITS = 4, 3, 11

#: cs_n, ras_n, cas_n and we_n, from the least significant bit.
_ACTIVATE, _REFRESH = 0b1100, 0b1000
_COMMAND_BITS = 4 + _BANK_BITS + _ROW_BITS

_CHANNELS = {
    "ar": ("addr", "len", "size", "burst"),
    "aw": ("addr", "len", "size", "burst"),
    "w": ("data", "strb", "last"),
    "r": ("data", "resp", "last"),
    "b": ("resp",),
}


@cache
def _verilog() -> str:
    """Return DDR3-800 of 64 bits at a quarter of its clock, as LiteDRAM's generator writes it."""
    # Imported here: only who asks for it needs to have it.
    from litedram.core import LiteDRAMCore
    from litedram.frontend.axi import LiteDRAMAXI2Native
    from litedram.modules import MT41K64M16
    from litedram.phy.model import SDRAMPHYModel
    from litex.gen.fhdl.verilog import convert
    from litex.soc.interconnect.axi import AXIInterface
    from migen import Cat, ClockDomain, Module, Signal

    class Chips(MT41K64M16):
        nrows = _ROWS

    top, chips = Module(), Chips(_CLOCK_HZ, f"1:{_PHASES}")
    top.clock_domains.sys = ClockDomain("sys")
    top.submodules.phy = phy = SDRAMPHYModel(chips, data_width=64, clk_freq=_CLOCK_HZ)
    top.submodules.core = core = LiteDRAMCore(
        phy=phy,
        geom_settings=chips.geom_settings,
        timing_settings=chips.timing_settings,
        clk_freq=_CLOCK_HZ,
    )
    axi = AXIInterface(data_width=8 * BEAT_BYTES, address_width=_ADDRESS_BITS, id_width=1)
    top.submodules.front = LiteDRAMAXI2Native(axi, core.crossbar.get_port(), _AHEAD, _AHEAD)
    pins = {"clk": top.sys.clk, "rst": top.sys.rst, "commands": Signal(_PHASES * _COMMAND_BITS)}
    phases = [getattr(phy.dfi, f"p{n}") for n in range(_PHASES)]
    commands = [Cat(p.cs_n, p.ras_n, p.cas_n, p.we_n, p.bank, p.address) for p in phases]
    top.comb += pins["commands"].eq(Cat(*commands))
    for channel, payload in _CHANNELS.items():
        for name in (*payload, "valid", "ready"):
            pins[f"s_axi_{channel}{name}"] = getattr(getattr(axi, channel), name)
    for name, pin in pins.items():
        pin.name_override = name
    text = str(convert(top, set(pins.values()), name="litedram"))
    return re.sub(r"^//.*\n", "", text, flags=re.MULTILINE)  # comments name the time of day


def build() -> verilated.Model:
    """Generate and build LiteDRAM; ImportError if it is not installed."""
    text = _verilog()
    names = re.findall(r"s_axi_\w+", text[: text.index(");")])
    width = _PHASES * _COMMAND_BITS
    commands = {"kind": "signal", "direction": "out", "shape": {"kind": "bits", "width": width}}
    axi = {"kind": "axi4", "direction": "in", "signals": {name[6:]: name for name in names}}
    description = {
        "top": "litedram",
        "clock": "clk",
        "reset": "rst",
        "ports": [
            {"name": "s_axi", **axi},
            {"name": "commands", **commands, "signals": {"value": "commands"}},
        ],
    }
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "litedram.v"), Path(folder, "litedram.json")
        for path, content in zip(files, (text, json.dumps(description)), strict=True):
            path.write_text(content)
        return verilated.build(files, optimize="-O1")  # few cycles are run


class _Channel:
    """An AXI channel from a sender's pins to a receiver's."""

    def __init__(self, name: str, sender: tuple[Stepped, str], receiver: tuple[Stepped, str]):
        def pair(field: str) -> list[Pin]:
            return [getattr(dut, f"{port}_{name}{field}") for dut, port in (sender, receiver)]

        self.valid, self.ready = pair("valid"), pair("ready")
        self.payload = [pair(field) for field in _CHANNELS[name]]

    @property
    def moves(self) -> bool:
        """A transfer is made in this cycle."""
        return bool(self.valid[1].value and self.ready[0].value)

    def forth(self) -> None:
        """Valid and payload, to the receiver."""
        sent, received = self.valid
        received.value = sent.value
        if received.value:
            for given, taken in self.payload:
                taken.value = given.value

    def back(self) -> None:
        """Ready, to the sender."""
        sender, receiver = self.ready
        sender.value = receiver.value


@dataclass
class Rows:
    """Counts the rows that a controller opens.

    ``reopened``: rows that were open until a refresh, and were opened again after it. They depend
    on how long something takes, not on what is read; ``activations`` are all others.
    """

    activations: int = 0
    reopened: int = 0
    _last: dict[int, int] = field(default_factory=dict)
    _refreshed: set[int] = field(default_factory=set)

    def see(self, commands: int) -> None:
        """All phases of a cycle."""
        for phase in range(_PHASES):
            command = commands >> phase * _COMMAND_BITS
            kind, bank = command & 15, command >> 4 & ((1 << _BANK_BITS) - 1)
            if kind == _REFRESH:
                self._refreshed = set(self._last)
            elif kind == _ACTIVATE:
                row = command >> 4 + _BANK_BITS & ((1 << _ROW_BITS) - 1)
                again = bank in self._refreshed and self._last[bank] == row
                self.reopened += again
                self.activations += not again
                self._last[bank] = row
                self._refreshed.discard(bank)


class LiteDram:
    """LiteDRAM wired to a device: steps both, and is the memory that the host knows of.

    ``lines`` of 64 bytes are the host's. What the device says to memory must not depend on what
    memory says in the same cycle.
    """

    def __init__(self, device: Stepped, memory: Stepped, lines: int) -> None:
        self.device, self.memory, self.lines = device, memory, lines
        ends = (device, "m_axi"), (memory, "s_axi")
        self._out = {name: _Channel(name, *ends) for name in ("ar", "aw", "w")}
        self._in = {name: _Channel(name, *ends[::-1]) for name in ("r", "b")}
        self.rows = Rows()
        self.beats = self.written = self._under_way = 0
        self.on_address: Callable[[int], object] = lambda _cycle: None
        self.on_beat: Callable[[int], object] = self.on_address

    async def settle(self) -> None:
        """Let inputs take effect."""
        self.device.settle()
        for channel in self._out.values():
            channel.forth()
        for channel in self._in.values():
            channel.back()
        self.memory.settle()
        for channel in self._in.values():
            channel.forth()
        for channel in self._out.values():
            channel.back()
        self.device.settle()

    async def tick(self) -> None:
        """Go on to the next cycle."""
        self.device.edge()
        self.memory.edge()

    def drive(self, _cycle: int) -> None:
        """Nothing: `settle` does."""

    def observe(self, cycle: int) -> None:
        """Look at what moves."""
        moves = {name: channel.moves for name, channel in (self._out | self._in).items()}
        if moves["ar"]:
            self._under_way += self._out["ar"].payload[1][0].value + 1
            self.on_address(cycle)
        if moves["r"]:
            self.beats += 1
            self.on_beat(cycle)
        self.written += moves["w"]
        self._under_way += moves["aw"] - moves["r"] - moves["b"]
        self.rows.see(self.memory.commands.value)

    @property
    def idle(self) -> bool:
        """Nothing is under way."""
        return not self._under_way

    @property
    def data(self) -> bytes:
        """What is in memory: `sequential` reads it."""
        return self.sequential()[0]

    def sequential(self) -> tuple[bytes, float]:
        """Read all lines from the first to the last in the longest bursts, while the device rests.

        Returns what there is, and how many beats came in a cycle, from the first to the last. The
        rows that this opens are not counted.
        """
        counted = self.rows.activations, self.rows.reopened
        pins, burst = self.memory, 4096 // BEAT_BYTES
        starts, lines, beats = list(range(0, self.lines, burst)), [], []
        pins.s_axi_arsize.value, pins.s_axi_arburst.value = BEAT_BYTES.bit_length() - 1, 1
        pins.s_axi_rready.value = 1
        for cycle in range(1000 + 20 * self.lines):
            if starts:
                pins.s_axi_araddr.value = BEAT_BYTES * starts[0]
                pins.s_axi_arlen.value = min(burst, self.lines - starts[0]) - 1
            pins.s_axi_arvalid.value = int(bool(starts))
            pins.settle()
            if starts and pins.s_axi_arready.value:
                starts.pop(0)
            if pins.s_axi_rvalid.value:
                lines.append(pins.s_axi_rdata.value.to_bytes(BEAT_BYTES, "little"))
                beats.append(cycle)
            self.rows.see(pins.commands.value)
            pins.edge()
            if len(lines) == self.lines:
                break
        self.rows.activations, self.rows.reopened = counted
        return b"".join(lines), len(beats) / (beats[-1] - beats[0] + 1)


async def begin(
    device: Stepped, memory: Stepped, rng: Random, setup: Setup, **options: Any
) -> Host:
    """Program a device on LiteDRAM, both out of reset, and have its host write random codes."""
    windows, decoders, data = setup
    dram = LiteDram(device, memory, len(data) // BEAT_BYTES)
    blank = windows, decoders, bytes(len(data))
    host = Host(device, dram, rng, blank, memory=dram, **options)
    await host.program()
    await fill(host)
    return host
