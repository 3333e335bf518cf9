"""Engine: GEMMs of any size on an array of Anda, told by registers or by a stream."""

from dataclasses import dataclass

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.array import ArrayParameters
from lamina.anda.engine_core import EngineCore, data_ports
from lamina.anda.engine_registers import EngineRegisters
from lamina.anda.error_ledger import ledger_queues
from lamina.anda.register_map import ADDRESS_BITS
from lamina.bus.axi4_lite import add_registers, lite_pins
from lamina.formats.anda import GROUP
from lamina.formats.engine import (
    counters_layout,
    done_layout,
    gemm_layout,
    job_layout,
    plane_words_layout,
    result_layout,
    tile_layout,
)
from lamina.parameters import check_flag, check_power_of_two, check_range, narrowed
from lamina.stream.buffer import Queue, QueueParameters

__all__ = ["Engine", "EngineParameters"]


@dataclass(frozen=True, kw_only=True)
class EngineParameters(ArrayParameters):
    """What an engine is built for: see `ArrayParameters`, and here.

    ``depth``: rows of the plane memory, a power of two; a group takes ceil((M + 1) / planes) of
    them. ``queue``: descriptors that can wait. ``registers``: whether descriptors come over
    AXI4-Lite; else there are streams of them and of completions.
    """

    depth: int = 512
    queue: int = 8
    registers: bool = True

    def __post_init__(self):
        # Turns of one cycle and rounds of one turn are left out: nothing is tested with them.
        check_range("sharing", self.sharing, 2, 16)
        check_range("slots", self.slots, 2, 64)
        super().__post_init__()
        check_power_of_two("depth", self.depth, 64, 1 << 20)
        check_range("queue", self.queue, 1, 128)
        check_flag("registers", self.registers)

    @property
    def array(self) -> ArrayParameters:
        """Parameters of the array."""
        return narrowed(ArrayParameters, self)

    @property
    def address_bits(self) -> int:
        """Bits of a row's address in the plane memory."""
        return self.depth.bit_length() - 1

    @property
    def steps(self) -> int:
        """Beats of outputs of a block and tile."""
        return -(-self.rows // self.array.block.units)

    @property
    def tiles(self) -> int:
        """Tiles of outputs that may be on their way: those that begin until one is finished, and
        those that wait for others to leave.
        """
        array = self.array
        way = array.latency + array.blocks + self.sharing + 3
        return 1 << (way // self.sharing + 1 + self.slots).bit_length()

    @property
    def places(self) -> QueueParameters:
        """Of the queue in which the places of tiles wait."""
        return QueueParameters(shape=tile_layout(self.rows, self.columns), depth=self.tiles)

    @property
    def latency(self) -> int:
        """Cycles from the first beat of activations to the first result, with one group of the
        fewest cycles: it is loaded whole, and read while it is multiplied.
        """
        return 2 * self.sharing + 2 + self.array.latency

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return self.array.throughput

    @property
    def storage_bits(self) -> int:
        """Plane memory, array, what is loaded and read, tiles under way, counters, descriptors."""
        words = plane_words_layout(self.rows, self.planes).size - 1  # an error is not kept there
        memory = words * (self.depth + 1) + self.rows * GROUP
        results = result_layout(self.array.block.units, self.block_columns).size
        tiles = self.places.storage_bits
        queue = QueueParameters(shape=gemm_layout(), depth=self.queue).storage_bits
        # Jobs: checked, loaded and worked on, and the loops about as many bits as two more.
        control = 5 * job_layout().size + counters_layout().size + done_layout().size
        errors = sum(queue.storage_bits for queue in ledger_queues(self).values())
        control += errors + 3 + self.array.blocks.bit_length()
        if self.registers:
            control += gemm_layout().size + 2 * done_layout().size + 100
        return self.array.storage_bits + memory + results + tiles + queue + control


class Engine(wiring.Component):
    """Multiply matrices of any size: descriptors, activations and weights in, results out.

    Members
    -------
    s_axil_* : AXI4-Lite slave
        Registers of `register_map`.
    i_activations : In(stream of `plane_words_layout` (rows, planes))
    i_weights : In(stream of `weights_beat_layout` (block_columns, weight_bits))
    o : Out(stream of `result_layout`)
    i_gemm, o_done, counters, clear
        Without ``registers``, in their place: as of `EngineCore`.

    Timing
    ------
    A round of ``slots`` groups in each row takes slots * `ArrayParameters.cycles`; or as many
    cycles as there are beats of weights in it. Nothing is lost between rounds, tiles and GEMMs of
    four cycles or more: so long a descriptor is checked.
    Activations of the next tile come in while this one is worked on, of the next GEMM as well.

    Numerics
    --------
    As of `Array`, groups in ascending k: `golden.anda.gemm` bit for bit.

    Source: Anda, HPCA 2025, section IV: address generator, activation buffer in bit-plane layout,
    output stationary array, controller.
    """

    def __init__(self, parameters: EngineParameters):
        self.parameters = p = parameters
        if p.registers:
            control = lite_pins("s_axil", ADDRESS_BITS)
        else:
            control = {
                "i_gemm": In(stream.Signature(gemm_layout())),
                "o_done": Out(stream.Signature(done_layout())),
                "counters": Out(counters_layout()),
                "clear": In(1),
            }
        super().__init__({**control, **data_ports(p)})

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.core = core = EngineCore(p)
        m.submodules.queue = queue = Queue(QueueParameters(shape=gemm_layout(), depth=p.queue))
        wiring.connect(m, queue.o, core.i_gemm)
        for name in ("i_activations", "i_weights", "o"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(core, name))
        if p.registers:
            self._registers(m, core, queue)
        else:
            wiring.connect(m, wiring.flipped(self.i_gemm), queue.i)
            wiring.connect(m, core.o_done, wiring.flipped(self.o_done))
            m.d.comb += [self.counters.eq(core.counters), core.clear.eq(self.clear)]
        return m

    def _registers(self, m, core, queue):
        registers = EngineRegisters(self.parameters)
        wiring.connect(m, registers.gemm, queue.i)
        wiring.connect(m, core.o_done, registers.completed)
        m.d.comb += [
            registers.level.eq(queue.level),
            registers.counters.eq(core.counters),
            core.clear.eq(registers.clear),
        ]
        add_registers(m, self, registers)
