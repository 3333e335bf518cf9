"""Bits that a product moves at each level of memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from lamina_sim.perf.simt._counts import Core, Shape, count

#: Bits of an activation and of a dequantized weight, of a word, of a result and a partial sum, of a
#: scale.
_FP16, _WORD, _SUM, _SCALE = 16, 16, 32, 16
_TILE_ELEMENTS = 16
#: Rows of a warp's tile.
_WARP_M = 16


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """How the product is cut for the memories, the same for all flows.

    ``m``, ``n``: results of a thread block, whose operands come from L2 once. A warp works on 16 of
    its rows and all its columns: that is how often registers are loaded from L1. ``scale_group``:
    weights along k that share a scale. ``dequantize``: where the flow fp16 leaves dequantized
    weights, "l1" (the paper's flow) or "registers", where the warp that uses them makes them.
    """

    m: int = 64
    n: int = 128
    scale_group: int = 128
    dequantize: str = "l1"

    def __post_init__(self) -> None:
        for name in ("m", "n", "scale_group"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if self.dequantize not in ("l1", "registers"):
            raise ValueError(f"dequantize must be 'l1' or 'registers', not {self.dequantize!r}.")


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Bits read and written, by level; ``dequantized``: weights that became FP16, each time."""

    operand_buffer: int
    register_file: int
    l1: int
    l2: int
    dram: int
    dequantized: int

    @property
    def bits(self) -> dict[str, int]:
        """The same by the name of the memory."""
        return {name: value for name, value in asdict(self).items() if name != "dequantized"}


def traffic(
    flow: str, shape: Shape, core: Core | None = None, blocks: Blocks | None = None
) -> Traffic:
    """Bits that a product moves.

        DRAM             A, weights, scales once; C once
        L2               A once per block column, weights and scales once per block row; C once
        L1               what comes from L2 is written and read once per warp that needs it
        register file    loads written; tiles of A and B read; of C read and written; C read once
        operand buffers  tiles of A and B written; vectors read

    Weights have their own bits at every level, but that those of the flow fp16 are dequantized
    between L1 and the tensor core: with ``dequantize`` "l1" they are read from L1 once, pass the
    register file in both forms, go back to L1 as FP16 and are loaded as such; with "registers" each
    warp loads them packed, and writes and reads the FP16 in its registers. Sums are FP32 in all
    flows. No miss but these: what is reused stays in L2. Padding moves nothing above the registers.
    """
    blocks = blocks or Blocks()
    counted = count(flow, shape, core)
    rows, columns = -(-shape.m // blocks.m), -(-shape.n // blocks.n)
    warps = -(-shape.m // _WARP_M)
    weights = shape.k * shape.n
    a, c = shape.m * shape.k * _FP16, shape.m * shape.n * _SUM
    scales = -(-shape.k // blocks.scale_group) * shape.n * _SCALE
    stored = weights * shape.bits + scales

    from_l2 = a * columns + stored * rows
    loads = a * columns
    dequantized = passed = 0
    if flow != "fp16":
        loads += stored * warps
        l1 = from_l2 + loads
    elif blocks.dequantize == "l1":
        dequantized = weights * rows
        loads += weights * _FP16 * warps
        passed = 2 * (stored * rows + dequantized * _FP16)
        l1 = from_l2 + loads + passed // 2
    else:
        dequantized = weights * warps
        loads += stored * warps
        passed = stored * warps + dequantized * _FP16
        l1 = from_l2 + loads
    tiles = counted.register_file_a + counted.register_file_b
    registers = loads + passed + tiles * _TILE_ELEMENTS * _FP16
    registers += 2 * counted.register_file_c * _TILE_ELEMENTS * _SUM + c
    per_b = {"packed_n": 4 * _WORD, "packed_k": _WORD, "fp16": 4 * _FP16}[flow]
    buffers = tiles * _TILE_ELEMENTS * _FP16
    buffers += counted.buffer_a * 4 * _FP16 + counted.buffer_b * per_b
    return Traffic(
        operand_buffer=buffers,
        register_file=registers,
        l1=l1,
        l2=from_l2 + c,
        dram=a + stored + c,
        dequantized=dequantized,
    )
