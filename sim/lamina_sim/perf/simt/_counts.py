"""Cycles, register-file and operand-buffer accesses of a tensor core, by the loops of each flow."""

from __future__ import annotations

from dataclasses import dataclass

#: Packed along n and multiplied packed; packed along k and multiplied packed; dequantized to FP16.
FLOWS = ("packed_n", "packed_k", "fp16")
#: Weights a 16-bit word holds, by their bits.
PER_WORD = {4: 4, 2: 8}
#: Octets of a warp operation, its rows and words along n, and its words along k.
OCTETS, _M, _WORDS, _K = 4, 16, 16, 16
#: Edge of a register-file access: a tile of 4 x 4 elements or words.
_TILE = 4
#: Elements of a dot product, and units in an octet.
_LANES, _UNITS = 4, 2


@dataclass(frozen=True, kw_only=True)
class Core:
    """What of the tensor core counts depend on.

    ``trees``: outputs that a DP-4 gives in a cycle where one activation vector meets a packed word;
    the two other flows give one. ``fill``: cycles from a step to its result; the paper's figures
    fit 3. ``sums``: where an unfinished sum over k rests between operations, in "registers", as the
    paper has it, or in the "core".
    """

    trees: int = 2
    fill: int = 3
    sums: str = "registers"

    def __post_init__(self) -> None:
        if self.trees not in (1, 2, 4, 8):
            raise ValueError(f"trees must be 1, 2, 4 or 8, not {self.trees}.")
        if self.fill < 0:
            raise ValueError(f"fill must be at least 0, not {self.fill}.")
        if self.sums not in ("registers", "core"):
            raise ValueError(f"sums must be 'registers' or 'core', not {self.sums!r}.")

    def rate(self, flow: str, bits: int) -> int:
        """Outputs of a DP-4 in a cycle: a word has no more columns than weights."""
        return min(self.trees, PER_WORD[bits]) if flow == "packed_n" else 1


@dataclass(frozen=True, kw_only=True)
class Shape:
    """m, n, k of a product of FP16 activations [m, k] and ``bits``-bit weights [k, n]."""

    m: int
    n: int
    k: int
    bits: int = 4

    def __post_init__(self) -> None:
        for name in ("m", "n", "k"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        _check_bits(self.bits)


@dataclass(frozen=True, kw_only=True)
class Counters:
    """What a product takes on one tensor core.

    Members
        operations          warp operations; at the edges they work on padding
        macs                multiplications done, those of padding too
        issue_cycles        outputs over rate
        cycles              the same and one pipeline fill: operations are issued back to back
        register_file_a     4 x 4 tiles read for the operand buffers: activations
        register_file_b     the same of weights: FP16, or words
        register_file_c     4 x 4 tiles of results: each once an operation, or with sums in the
                            core once in all
        buffer_a            reads of four activations from the operand buffers
        buffer_b            reads of the weights that meet them, one for both units of an octet:
                            four words (packed_n), one (packed_k), four FP16
    """

    operations: int
    macs: int
    issue_cycles: int
    cycles: int
    register_file_a: int
    register_file_b: int
    register_file_c: int
    buffer_a: int
    buffer_b: int

    @property
    def register_file(self) -> int:
        """Accesses of all three operands."""
        return self.register_file_a + self.register_file_b + self.register_file_c


def operation(flow: str, bits: int) -> tuple[int, int, int]:
    """m, n, k of a warp operation: 16 x 16 words of weights, so packing lengthens n or k."""
    _check(flow, bits)
    x = PER_WORD[bits]
    return {
        "packed_n": (_M, _WORDS * x, _K),
        "packed_k": (_M, _WORDS, _K * x),
        "fp16": (_M, _WORDS, _K),
    }[flow]


def octet_accesses(flow: str, bits: int) -> tuple[int, int, int]:
    """Tiles of A, B and C that an octet, m8 by 8 words of n, moves in a warp operation.

    An octet holds a tile of each operand. With x weights in a word, 4 x 4 tiles, n and k in words:

        packed_n    for m in 2: for n in 2: for k in 4:     output-stationary
            A[m, k], B[k, n]; after the k loop x tiles C[m, n]
        packed_k    for k in 4: for n in 2:                 weight-stationary
            B[k, n]; for m in 2: x tiles A[m, k]
        fp16        as packed_k with x = 1

    so 16 : 16 : 4x, 16x : 8 : 4 and 16 : 8 : 4. C is counted once for each of its tiles in all
    flows: a weight-stationary loop would come back to it in every k, which the paper does not
    charge to its baseline.
    """
    _check(flow, bits)
    x = PER_WORD[bits]
    m, n, k = (side // _TILE for side in (_M // 2, _WORDS // 2, _K))
    if flow == "packed_n":
        return m * n * k, m * n * k, m * n * x
    return m * n * k * (x if flow == "packed_k" else 1), n * k, m * n


def count(flow: str, shape: Shape, core: Core | None = None) -> Counters:
    """Counters of a product. ValueError where the flow is none.

    A DP-4 gives outputs, of four products each: those of a row and a word of columns in x / trees
    cycles (packed_n), one a cycle in the other flows, where a word is met x / 4 times. Each time
    four activations are read for each unit, and weights for both.
    """
    core = core or Core()
    x = PER_WORD[shape.bits]
    m, n, k = operation(flow, shape.bits)
    operations = -(-shape.m // m) * -(-shape.n // n) * -(-shape.k // k)
    outputs = operations * m * n * k // _LANES
    issue = outputs // (OCTETS * _UNITS) // core.rate(flow, shape.bits)
    a, b, c = (operations * OCTETS * tiles for tiles in octet_accesses(flow, shape.bits))
    if core.sums == "core":
        c //= -(-shape.k // k)
    met = outputs // (x if flow == "packed_n" else 1)
    return Counters(
        operations=operations,
        macs=operations * m * n * k,
        issue_cycles=issue,
        cycles=issue + core.fill,
        register_file_a=a,
        register_file_b=b,
        register_file_c=c,
        buffer_a=met,
        buffer_b=met // _UNITS,
    )


def _check(flow: str, bits: int) -> None:
    if flow not in FLOWS:
        raise ValueError(f"flow must be {', '.join(FLOWS)}, not {flow!r}.")
    _check_bits(bits)


def _check_bits(bits: int) -> None:
    if bits not in PER_WORD:
        raise ValueError(f"bits must be 2 or 4, not {bits}.")
