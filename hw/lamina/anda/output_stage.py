"""Output stage: results of an engine become activations of the next product."""

from dataclasses import dataclass

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.compressor_bank import CompressorBank, CompressorBankParameters
from lamina.anda.result_buffer import ResultBuffer
from lamina.anda.result_reader import ResultReader
from lamina.anda.result_writer import ResultWriter
from lamina.arith.fp32_narrow import Fp32NarrowParameters
from lamina.formats.anda import GROUP, units_of
from lamina.formats.engine import (
    output_job_layout,
    plane_words_layout,
    result_layout,
    span_layout,
)
from lamina.parameters import check_power_of_two, check_range, narrowed
from lamina.stream.buffer import SkidBufferParameters, sliced
from lamina.stream.memory import BlockMemoryParameters

__all__ = ["OutputStage", "OutputStageParameters"]


@dataclass(frozen=True, kw_only=True)
class OutputStageParameters:
    """``rows``, ``columns``, ``block_columns``, ``sharing``, ``slots``: as of the engine whose
    results come; ``columns`` and ``block_columns`` must be powers of two. ``planes``: of the engine
    that takes the activations, which has as many rows. ``lanes``: compressors, a multiple or a
    divisor of ``rows``. ``format`` of the activations, "fp16" or "bf16". ``stages_per_rank``: as of
    `CompressorParameters`, and in the rounding of results.
    """

    rows: int = 2
    columns: int = 4
    block_columns: int = 2
    sharing: int = 3
    slots: int = 4
    planes: int = 2
    lanes: int = 1
    format: str = "fp16"
    stages_per_rank: int = 1

    def __post_init__(self):
        check_power_of_two("columns", self.columns, 1, 256)
        check_power_of_two("block_columns", self.block_columns, 1, min(self.columns, 16))
        check_range("sharing", self.sharing, 2, 16)
        check_range("slots", self.slots, 1, 64)
        _ = self.bank  # whose own checks hold here too

    @property
    def bank(self) -> CompressorBankParameters:
        """Parameters of the compressors."""
        return narrowed(CompressorBankParameters, self)

    @property
    def narrow(self) -> Fp32NarrowParameters:
        """Parameters of the rounding of each result of a beat."""
        return narrowed(Fp32NarrowParameters, self)

    @property
    def units(self) -> int:
        """Rows of a beat of results."""
        return units_of(self.rows, self.sharing)

    @property
    def places(self) -> int:
        """Beats of results that have the same columns, of ``slots`` tiles."""
        return self.slots * -(-self.rows // self.units)

    @property
    def batch_rows(self) -> int:
        """Most rows of a span."""
        return self.slots * self.rows

    @property
    def span(self) -> int:
        """Most columns of a span."""
        return max(self.columns, GROUP)

    @property
    def groups(self) -> int:
        """Groups of a row in a span."""
        return self.span // GROUP

    @property
    def segments(self) -> int:
        """Blocks of columns in a group."""
        return GROUP // self.block_columns

    @property
    def segment_bits(self) -> int:
        """Bits of the number of a block of columns in its group."""
        return self.segments.bit_length() - 1

    @property
    def block_bits(self) -> int:
        """Bits of the number of a column in its block."""
        return self.block_columns.bit_length() - 1

    @property
    def row_bits(self) -> int:
        """Bits of a row's number, so many that rows of a span, and of a beat, are told apart."""
        return (self.batch_rows + self.units).bit_length()

    @property
    def memory(self) -> BlockMemoryParameters:
        """Parameters of each memory of the buffer: two halves, each of ``places`` of all groups."""
        places = 1 << (self.places - 1).bit_length()
        return BlockMemoryParameters(width=16 * self.block_columns, depth=2 * self.groups * places)

    @property
    def buffer_bytes(self) -> int:
        """Bytes that the buffer holds."""
        return self.units * self.segments * self.memory.storage_bits // 8

    @property
    def slices(self) -> tuple[SkidBufferParameters, SkidBufferParameters]:
        """Parameters of the register slices of results and of spans."""
        shapes = (
            result_layout(self.units, self.block_columns),
            span_layout(self.batch_rows, self.span),
        )
        results, spans = (SkidBufferParameters(shape=shape) for shape in shapes)
        return results, spans

    @property
    def latency(self) -> int:
        """Cycles from the last result of the first span accepted to its first beat of planes, if
        there are as many ``lanes`` as ``rows``; else the compression of some groups comes on top.
        """
        buffer = 2  # the span is seen, its first group is read
        slices = sum(part.latency for part in self.slices)
        return slices + self.narrow.latency + buffer + self.rows - 1 + self.bank.latency

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one beat of results a cycle; out of the buffer: " + self.bank.throughput

    @property
    def storage_bits(self) -> int:
        """Buffer, compressors, rounding, slices, what follows results, and both sides' loops."""
        results = self.units * self.block_columns * self.narrow.storage_bits
        slices = sum(part.storage_bits for part in self.slices)
        span = self.slices[1].shape.size
        follows = self.narrow.latency * (self.memory.address_bits + self.segment_bits + span + 2)
        loops = 4 * span + 3 * self.row_bits + output_job_layout().size + 2 * GROUP
        return 8 * self.buffer_bytes + self.bank.storage_bits + results + slices + follows + loops


class OutputStage(wiring.Component):
    """Round results to 16 bits, and encode them as the activations of the next product.

    Members
    -------
    i_job : In(stream of `output_job_layout`)
        One for each GEMM that gives results, in their order: its ``m``, ``n`` and ``row_turns``, as
        an engine accepts them, and how to encode: M from 1 to 16.
    i : In(stream of `result_layout`)
        All results of these GEMMs in the order in which an engine gives them out; ``tag`` and
        ``last`` are not looked at.
    o : Out(stream of `plane_words_layout` (rows, planes))
        Activations of a GEMM with the same ``m`` and ``row_turns`` whose k is this one's n: to be
        joined to ``i_activations``. The last group of a row is filled up with +0, and the last tile
        with rows of +0.

    Timing
    ------
    A beat of results is taken in each cycle, but for one or two between spans, as long as the
    buffer has room. It holds two spans, ``parameters.buffer_bytes``: a span is up to ``row_turns``
    tiles of rows, and of each row a group of 64 columns, or a whole tile where that has more. A
    group is encoded when all its results are there; one span is filled while one is encoded.

    Numerics
    --------
    To nearest even, overflow to Inf, subnormals kept, NaN canonical; then as of `Compressor`:
    `golden.anda.encode_results` bit for bit.

    Source: Anda, HPCA 2025, section IV: output collector and bit-plane compressor.
    """

    def __init__(self, parameters: OutputStageParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i_job": In(stream.Signature(output_job_layout())),
                "i": In(stream.Signature(result_layout(p.units, p.block_columns))),
                "o": Out(stream.Signature(plane_words_layout(p.rows, p.planes))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.writer = writer = ResultWriter(p)
        m.submodules.buffer = buffer = ResultBuffer(p)
        m.submodules.reader = reader = ResultReader(p)
        m.submodules.bank = bank = CompressorBank(p.bank)
        results, spans = p.slices
        wiring.connect(m, wiring.flipped(self.i_job), writer.i_job)
        wiring.connect(m, sliced(m, "results", wiring.flipped(self.i), results), writer.i)
        wiring.connect(m, sliced(m, "spans", writer.o, spans), reader.i)
        wiring.connect(m, reader.o, bank.i)
        wiring.connect(m, bank.o, wiring.flipped(self.o))
        m.d.comb += [
            buffer.write.eq(writer.write),
            buffer.address.eq(writer.address),
            buffer.segment.eq(writer.segment),
            buffer.values.eq(writer.values),
            buffer.read.eq(reader.read),
            buffer.read_address.eq(reader.address),
            buffer.unit.eq(reader.unit),
            reader.values.eq(buffer.read_values),
            writer.freed.eq(reader.freed),
        ]
        return m
