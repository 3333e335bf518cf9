"""Where the weights of a model lie in the store, and which of them are read at one precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lamina_sim.golden import store
from lamina_sim.workload.decoder import Decoder
from lamina_sim.workload.quantize import Quantized

Keep = npt.NDArray[np.uint8]

#: Rows of a tile, the fewest that can be read without their neighbours; and codes of a row in it.
TILE_ROWS, _TILE_CODES = 8, 64

#: Of a gated feed-forward part: an output of `up` counts as much as its gate lets through.
UP, GATE, DOWN = "mlp.up_proj", "mlp.gate_proj", "mlp.down_proj"

UNITS = ("rows", "heads", "matrices")


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A product's codes as blocks of the store, cut into units that are read at one precision.

    Members
        codes   of the product
        by      "inputs": a unit is a few inputs, with their weights of all outputs, as neurons of
                a down-projection and heads of an attention output are; "outputs": the reverse
        rows    inputs or outputs of a unit, a multiple of 8; the last unit may have fewer
        first   the product's first block in its region

    Blocks are tiles (`store.tile`) of 8 rows by 64 codes, those of a unit one behind the other.
    """

    codes: Quantized
    by: str = "inputs"
    rows: int = TILE_ROWS
    first: int = 0

    def __post_init__(self) -> None:
        if self.by not in ("inputs", "outputs"):
            raise ValueError(f"by must be inputs or outputs, not {self.by!r}.")
        if self.rows < 1 or self.rows % TILE_ROWS:
            raise ValueError(f"rows must be a multiple of {TILE_ROWS}, not {self.rows}.")

    @property
    def length(self) -> int:
        """Rows: inputs or outputs of the product."""
        return self.codes.codes.shape[0 if self.by == "inputs" else 1]

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """The first row of each unit."""
        return np.arange(0, self.length, self.rows)

    @cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Blocks of each unit."""
        across = -(-self.codes.codes.size // self.length // _TILE_CODES)
        tiles = -(-np.minimum(self.rows, self.length - self.starts) // TILE_ROWS)
        return tiles * across

    @property
    def blocks(self) -> int:
        """Blocks of the product."""
        return int(self.sizes.sum())

    def tiles(self) -> npt.NDArray[np.int8]:
        """The codes int8 [blocks, 512], in the order in which they are stored."""
        return store.tile(self._turned(self.codes.codes))

    def seen(self, tiles: npt.NDArray[np.int8]) -> Quantized:
        """The product with the codes that were read: ``tiles`` int8 [blocks, 512]."""
        turned = self._turned(self.codes.codes)
        codes = self._turned(store.untile(tiles, *turned.shape))
        return replace(self.codes, codes=np.ascontiguousarray(codes))

    def of_rows(self, keep: Keep) -> Keep:
        """Planes of each row [.., rows] of those of each unit [.., units]."""
        return np.repeat(keep, self.rows, axis=-1)[..., : self.length]

    def _turned(self, codes: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        return codes.T if self.by == "inputs" else codes


class Region:
    """The weights of all products in one region of the store.

    Members
        placed  the products by name, one behind the other
        blocks  of all of them
        form    format of the codes, the same for all
    """

    def __init__(self, products: Mapping[str, Placed]) -> None:
        widths = {item.codes.bits for item in products.values()}
        if len(widths) != 1:
            raise ValueError(f"All codes must have the same width, not {sorted(widths)}.")
        self.placed: dict[str, Placed] = {}
        self.blocks = 0
        for name, item in products.items():
            self.placed[name] = replace(item, first=self.blocks)
            self.blocks += item.blocks
        self.form = store.FORMATS[f"int{widths.pop()}"]

    @cached_property
    def planes(self) -> npt.NDArray[np.uint8]:
        """What is stored: uint8 [blocks, bits, 64]."""
        tiles = np.concatenate([item.tiles() for item in self.placed.values()])
        return store.to_planes(tiles, self.form.bits)

    def view(self, planes: int) -> store.View:
        """The view that a read of so many planes goes through: line p is plane p."""
        return store.View(kind="planes", format=self.form, keep=planes)

    def image(self) -> npt.NDArray[np.uint8]:
        """The same as bytes of memory."""
        return store.to_image(self.planes)

    def reads(self, name: str, keep: Keep) -> list[tuple[int, int]]:
        """(block, planes) of every block to read, of the planes [units] of a product's units.

        Of a block, k planes are its lines 0 to k - 1 in the window of `view(k)`; units of 0 planes
        are not read.
        """
        item = self.placed[name]
        planes = np.repeat(keep, item.sizes)
        return [(item.first + int(block), int(planes[block])) for block in planes.nonzero()[0]]

    def fetch(self, name: str, keep: Keep) -> npt.NDArray[np.int8]:
        """The codes int8 [blocks, 512] that those reads bring, by the golden store."""
        item = self.placed[name]
        planes = np.repeat(keep, item.sizes)
        tiles = np.zeros((item.blocks, 512), np.int8)
        for count in np.unique(planes[planes > 0]).tolist():
            blocks = (planes == count).nonzero()[0]
            lines = store.read(self.planes[item.first + blocks], self.view(count))
            tiles[blocks] = self.codes_of(lines[:, :count])
        return tiles

    def codes_of(self, lines: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
        """The codes int8 [n, 512] of n blocks, of the planes uint8 [n, k, 64] that were read."""
        planes = np.zeros((len(lines), self.form.bits, 64), np.uint8)
        planes[:, : lines.shape[1]] = lines
        return store.from_planes(planes, self.form.bits)


def place(model: Decoder, codes: Mapping[str, Quantized], units: str = "rows") -> Region:
    """The products of a model in a region: by inputs, but `up` beside a gate by outputs.

    ``units``, one of UNITS: "rows", 8 inputs or outputs, a tile; "heads", the same, but whole heads
    of attention outputs; "matrices", which in a mixture are those of an expert.
    """
    if units not in UNITS:
        raise ValueError(f"units must be one of {', '.join(UNITS)}, not {units!r}.")
    kinds, gated = model.products(), GATE in model.PRODUCTS
    placed = {}
    for name, q in codes.items():
        by = "outputs" if gated and name.endswith(UP) else "inputs"
        rows = TILE_ROWS
        if units == "matrices":
            rows = q.codes.shape[by == "outputs"]
        elif units == "heads" and kinds.get(name) == "o":
            rows = q.codes.shape[0] // model.config.num_attention_heads
        placed[name] = Placed(codes=q, by=by, rows=-(-rows // TILE_ROWS) * TILE_ROWS)
    return Region(placed)
