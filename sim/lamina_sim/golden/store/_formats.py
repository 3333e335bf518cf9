"""What a region stores and how a window shows it."""

from dataclasses import dataclass, field

import numpy as np

from lamina_sim.golden import _check, ieee

BLOCK = 512
LINE_BYTES = 64


@dataclass(frozen=True, kw_only=True)
class Format:
    """Format of the codes of a region.

    ``bits`` planes are stored. The host sees a code in ``container_bits``: INTn sign-extended in
    a byte, a float as it is. ``floating`` gives the float's fields and is None for integers.
    """

    name: str
    bits: int
    floating: ieee.Format | None = None

    @property
    def container_bits(self) -> int:
        """Bits of a code in the host's arrays."""
        return 16 if self.floating else 8

    @property
    def dtype(self) -> np.dtype:
        """Of arrays of codes: int8, or uint16 for the bit patterns of floats."""
        return np.dtype(np.uint16 if self.floating else np.int8)

    @property
    def least_planes(self) -> int:
        """The fewest planes that can be read: floats need sign and exponent."""
        return 1 + self.floating.exponent_bits if self.floating else 1


INT2, INT3, INT4, INT5, INT6, INT7, INT8 = (Format(name=f"int{n}", bits=n) for n in range(2, 9))
FP16 = Format(name="fp16", bits=16, floating=ieee.FP16)
BF16 = Format(name="bf16", bits=16, floating=ieee.BF16)
FORMATS = {form.name: form for form in (INT2, INT3, INT4, INT5, INT6, INT7, INT8, FP16, BF16)}


def format_of(bits: int, fmt: str) -> Format:
    """INTn for 2 to 8 bits; for 16 the float format that ``fmt`` names."""
    ieee.format_of(fmt)
    bits = _check.integer("bits", bits, 0)
    if bits == 16:
        return FORMATS[fmt]
    if not 2 <= bits <= 8:
        raise ValueError(f"bits must be between 2 and 8, or 16, not {bits}.")
    return FORMATS[f"int{bits}"]


KINDS = ("full", "container", "packed", "planes")


@dataclass(frozen=True, kw_only=True)
class View:
    """A window onto a region: which planes it reads and how its lines hold them.

    ``kind``: "full" (every plane, the one to write), "container" (``keep`` planes in a dense
    array of host containers), "packed" (``keep``-bit codes side by side) or "planes" (line p is
    plane p). ``keep`` is k; None and the full view mean all planes. ``rounding`` is "truncate" or
    "nearest".

    Raises:
        TypeError: ``format`` is no Format, or ``keep`` no integer.
        ValueError: an unknown kind or rounding, or a number of planes the format cannot give.
    """

    kind: str
    format: Format
    keep: int | None = None
    rounding: str = "truncate"
    k: int = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.format, Format):
            raise TypeError(f"format must be a Format, not {type(self.format).__name__}.")
        _check.choice("kind", self.kind, KINDS)
        _check.choice("rounding", self.rounding, _check.ROUNDINGS)
        k = check_keep(self.keep, self.format)
        if self.kind == "full" and k != self.format.bits:
            raise ValueError(f"keep of a full view must be {self.format.bits}, not {k}.")
        object.__setattr__(self, "k", k)

    @property
    def lines(self) -> int:
        """Lines of 64 bytes that a block of 512 codes takes in the window."""
        if self.kind in ("full", "container"):
            return self.format.container_bits
        return 1 << (self.k - 1).bit_length()

    @property
    def planes_read(self) -> int:
        """Planes that a read fetches: k, and one guard plane to round to nearest."""
        guard = self.rounding == "nearest" and self.k < self.format.bits
        return self.k + guard


def check_keep(keep: int | None, form: Format) -> int:
    """Returns the number of planes that ``keep`` asks of ``form``; None asks for all."""
    if keep is None:
        return form.bits
    return _check.integer(f"keep of {form.name}", keep, form.least_planes, form.bits)
