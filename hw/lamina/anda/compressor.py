"""Compressor: groups of 64 FP16 or BF16 values become a shared exponent, signs and planes."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.anda.aligner import SerialAligner, SerialAlignerParameters
from lamina.anda.max_exponent import MaxExponent, MaxExponentParameters
from lamina.cell import Cell
from lamina.formats.anda import (
    EXPONENT_BITS,
    FORMATS,
    GROUP,
    compressed_plane_layout,
    group_values_layout,
)
from lamina.parameters import check_choice

__all__ = ["Compressor", "CompressorParameters"]


@dataclass(frozen=True, kw_only=True)
class CompressorParameters:
    """``format`` of the values: "fp16" or "bf16"."""

    format: str = "fp16"

    def __post_init__(self):
        check_choice("format", self.format, tuple(FORMATS))

    @property
    def maximum(self) -> MaxExponentParameters:
        """Parameters of the search for the group's exponent."""
        return MaxExponentParameters(format=self.format)

    @property
    def aligner(self) -> SerialAlignerParameters:
        """Parameters of each element's aligner."""
        return SerialAlignerParameters(format=self.format)

    def cycles(self, mantissa_bits: int) -> int:
        """Cycles that a group takes in steady state: one per mantissa plane."""
        return mantissa_bits

    @property
    def latency(self) -> int:
        """Cycles from a group accepted to its first plane valid."""
        return self.maximum.latency + self.aligner.latency

    @property
    def throughput(self) -> str:
        """Rate in steady state."""
        return "one group in M cycles"

    @property
    def storage_bits(self) -> int:
        """The search, the aligners, and twice what a group has beside its significands."""
        taken = GROUP + EXPONENT_BITS + 5 + 1 + 1
        started = GROUP + EXPONENT_BITS + 5 + 1
        return self.maximum.storage_bits + GROUP * self.aligner.storage_bits + taken + started


class Compressor(wiring.Component):
    """Encode groups of 64 values: common exponent, signs, and M mantissa planes.

    Members
    -------
    i : In(stream of `group_values_layout`)
        One group a beat, with its mantissa length and rounding.
    o : Out(stream of `compressed_plane_layout`)
        M beats a group, most significant plane first.

    Timing
    ------
    ``parameters.cycles(M)`` = M cycles per group in steady state: the exponent of the next groups
    is found, and their significands rounded, while this one is put out.

    Numerics
    --------
    E_g is the largest exponent (a field of 0 counts as 1, so 0 is never put out), m_i the
    significand cut, or rounded to nearest even and saturated, at M bits below it. Inf and NaN count
    as their bits say: the group's exponent is then all ones, which marks it.

    Source: Anda, HPCA 2025, section IV: bit-plane compressor with serial aligner; rounding to
    nearest is Lamina's.
    """

    def __init__(self, parameters: CompressorParameters):
        self.parameters = parameters
        super().__init__(
            {
                "i": In(stream.Signature(group_values_layout())),
                "o": Out(stream.Signature(compressed_plane_layout())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.maximum = maximum = MaxExponent(self.parameters.maximum)
        wiring.connect(m, wiring.flipped(self.i), maximum.i)
        found = maximum.o.payload
        signs = Signal(GROUP, reset_less=True)
        exponent = Signal(EXPONENT_BITS, reset_less=True)
        mantissa_bits = Signal(5, reset_less=True)
        rounding = Signal(reset_less=True)
        remaining = Signal(5)
        taken = Signal()
        load, shift = Signal(), Signal()
        m.d.comb += [
            shift.eq(self.o.valid & self.o.ready),
            # The next group starts as the last plane leaves: no cycle is lost between groups.
            load.eq(taken & (~self.o.valid | (shift & self.o.payload.last))),
            maximum.o.ready.eq(load | ~taken),
            self.o.valid.eq(remaining != 0),
            self.o.payload.last.eq(remaining == 1),
        ]
        with m.If(maximum.o.ready):
            m.d.sync += [
                taken.eq(maximum.o.valid),
                signs.eq(Cat(value[-1] for value in found.group.values)),
                exponent.eq(found.exponent),
                mantissa_bits.eq(found.group.mantissa_bits),
                rounding.eq(found.group.rounding),
            ]
        with m.If(load):
            m.d.sync += [
                self.o.payload.signs.eq(signs),
                self.o.payload.exponent.eq(exponent),
                remaining.eq(mantissa_bits),
            ]
        with m.Elif(shift):
            m.d.sync += remaining.eq(remaining - 1)
        with m.If(load | shift):
            m.d.sync += self.o.payload.first.eq(load)
        for index, value in enumerate(found.group.values):
            m.submodules[f"aligner_{index}"] = aligner = Cell(
                SerialAligner, self.parameters.aligner
            )
            m.d.comb += [
                aligner.value.eq(value),
                aligner.exponent.eq(found.exponent),
                aligner.take.eq(maximum.o.ready),
                aligner.mantissa_bits.eq(mantissa_bits),
                aligner.rounding.eq(rounding),
                aligner.load.eq(load),
                aligner.shift.eq(shift),
                self.o.payload.plane[index].eq(aligner.plane_bit),
            ]
        return m
