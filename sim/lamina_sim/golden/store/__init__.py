"""The bit-plane store: planes of blocks, the views of a region, and where planes lie in memory.

Source: SmartQuant's bit-plane placement and logical spaces; docs/numerics.md has the contract.
"""

from lamina_sim.golden.store._formats import (
    BF16,
    FORMATS,
    FP16,
    INT2,
    INT3,
    INT4,
    INT5,
    INT6,
    INT7,
    INT8,
    Format,
    View,
)
from lamina_sim.golden.store._layout import (
    from_image,
    plane_address,
    tile,
    to_image,
    untile,
)
from lamina_sim.golden.store._planes import from_planes, narrow, to_planes
from lamina_sim.golden.store._views import read, write

__all__ = [
    "BF16",
    "FORMATS",
    "FP16",
    "INT2",
    "INT3",
    "INT4",
    "INT5",
    "INT6",
    "INT7",
    "INT8",
    "Format",
    "View",
    "from_image",
    "from_planes",
    "narrow",
    "plane_address",
    "read",
    "tile",
    "to_image",
    "to_planes",
    "untile",
    "write",
]
