"""The one wrapper of memories over 1 Kibit, so that ASIC flows find a single place for macros."""

from dataclasses import dataclass

from amaranth.hdl import Module, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from lamina.parameters import check_range

__all__ = ["BlockMemory", "BlockMemoryParameters"]

#: Up to this depth an FPGA shall take LUTs: most of a block RAM would be wasted, and its output is
#: slow.
_SHALLOW = 64


@dataclass(frozen=True, kw_only=True)
class BlockMemoryParameters:
    """``width`` bits a row, ``depth`` rows.

    ``apart``: nothing is made of a row that is read in the cycle in which it is written. Without
    this promise an FPGA's block RAM gets registers and multiplexers around it.
    """

    width: int = 64
    depth: int = 512
    apart: bool = False

    def __post_init__(self):
        check_range("width", self.width, 1, 4096)
        check_range("depth", self.depth, 2, 1 << 20)

    @property
    def address_bits(self) -> int:
        """Bits of a row address."""
        return (self.depth - 1).bit_length()

    @property
    def shallow(self) -> bool:
        """Whether an FPGA shall make it of LUTs."""
        return self.depth <= _SHALLOW

    @property
    def latency(self) -> int:
        """Cycles from an address to its row."""
        return 1

    @property
    def throughput(self) -> str:
        """Rows a cycle."""
        return "1 row written and 1 row read per cycle"

    @property
    def storage_bits(self) -> int:
        """Bits held; the output register is the block RAM's own and not counted."""
        return self.width * self.depth


class BlockMemory(wiring.Component):
    """One write port, one read port, both synchronous: infers block RAM, or LUT RAM if shallow.

    Members
    -------
    write_enable, write_address, write_data : In
        Written at the clock edge.
    read_enable, read_address : In
        The row is read at the clock edge; ``read_data`` keeps its value while not enabled.
    read_data : Out
        The row, one cycle after its address. A row read in the cycle in which it is written gives
        the old data, or, if the parameters keep them ``apart``, anything.
    """

    def __init__(self, parameters: BlockMemoryParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "write_enable": In(1),
                "write_address": In(p.address_bits),
                "write_data": In(p.width),
                "read_enable": In(1),
                "read_address": In(p.address_bits),
                "read_data": Out(p.width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        attributes = {"ram_style": "distributed"} if p.shallow else {}
        if p.apart:
            attributes["no_rw_check"] = 1
        m.submodules.rows = rows = memory.Memory(
            shape=unsigned(p.width), depth=p.depth, init=[], attrs=attributes
        )
        write, read = rows.write_port(), rows.read_port()
        m.d.comb += [
            write.en.eq(self.write_enable),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            read.en.eq(self.read_enable),
            read.addr.eq(self.read_address),
            self.read_data.eq(read.data),
        ]
        return m
