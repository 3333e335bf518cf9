"""Products as warp operations of `pacq.octet` and `pacq.tensor_core`, compared with golden."""

from dataclasses import dataclass

import numpy as np

from lamina_gen.gemm import warps
from lamina_sim.golden import pacq


@dataclass(frozen=True, kw_only=True)
class HalfProduct:
    """x float16 [m, k] times weights float16 [k, n], as `golden.pacq.gemm_fp16` takes them."""

    x: np.ndarray
    codes: np.ndarray  # the weights, FP16
    scales: np.ndarray
    scale_group: int
    zero_points: None = None
    bits: int = 4  # of no weight here: an operation has the same size at any width

    def golden(self):
        return pacq.gemm_fp16(self.x, self.codes, self.scales, scale_group=self.scale_group)


class Warps(warps.Warps):
    """The operations of a product (`tb.pacq.steps.Product`, or of halves) in a flow."""

    def __init__(self, product, flow, octet=None):
        super().__init__(
            x=product.x, weights=product.codes, scales=product.scales,
            zero_points=product.zero_points, bits=product.bits, scale_group=product.scale_group,
            flow=flow, octet=octet,
        )  # fmt: skip
        object.__setattr__(self, "product", product)

    def assert_golden(self, ports):
        """Compare what left the write ports (payloads of each) with golden, bit by bit."""
        golden, (m, n) = self.product.golden().view(np.uint32), self.octet or (0, 0)
        assert self.elements > 0
        for operation, tile in zip(self.ends, self.tiles(ports), strict=True):
            row, column = operation.row + 8 * m, operation.column + self.shape[1] // 2 * n
            want = golden[row:, column:][: tile.shape[0], : tile.shape[1]]
            got = np.ascontiguousarray(tile[: want.shape[0], : want.shape[1]]).view(np.uint32)
            np.testing.assert_array_equal(got, want)
