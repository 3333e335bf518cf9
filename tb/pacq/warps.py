"""Matrix products as warp operations of `pacq.octet` and `pacq.tensor_core`, and back."""

import numpy as np

from lamina_sim.golden import pacq

TILE = 4


def _tiles(matrix, inner):
    """4 x 4 tiles, [tile of rows, tile of columns, 16]; ``inner``: the axis that runs fastest."""
    rows, columns = (extent // TILE for extent in matrix.shape)
    tiles = matrix.reshape(rows, TILE, columns, TILE).transpose(0, 2, 1, 3)
    if inner == 0:
        tiles = tiles.transpose(0, 1, 3, 2)
    return tiles.reshape(rows, columns, TILE * TILE)


class Warps:
    """The operations of a product (`tb.pacq.steps.Product`) in a flow.

    ``octet``: None for all of an operation, else (m, n) of one octet of it.
    """

    def __init__(self, product, flow, octet=None):
        self.product, self.flow, self.octet = product, flow, octet
        shape = (*product.x.shape, product.codes.shape[1])
        self.operations = list(
            pacq.operations((shape[0], shape[2], shape[1]), flow, product.bits, product.scale_group)
        )
        self.shape = pacq.operation_shape(flow, product.bits)

    @property
    def extent(self):
        """Rows, and words of columns, of an operation."""
        return 16 if self.octet is None else 8

    def _part(self, values, axis, index):
        """The octet's half of ``values`` along an axis."""
        if self.octet is None:
            return values
        return np.split(values, 2, axis)[self.octet[index]]

    def inputs(self):
        """Payloads of the input streams."""
        operations, a, b, scales, zeros = [], [], [], [], []
        for operation in self.operations:
            flags = ("group_first", "group_last", "begin", "end")
            operations.append([int(getattr(operation, name)) for name in flags])
            a_tiles, b_tiles, word_scales, word_zeros = self._operands(operation)
            a.append(a_tiles)
            b.append(b_tiles)
            scales.append(word_scales)
            zeros.append(word_zeros)
        operations = np.array(operations)
        return {
            "i": {
                "flow": np.full(len(operations), pacq.FLOWS.index(self.flow)),
                "int2": np.full(len(operations), int(self.product.bits == 2)),
                **{name: operations[:, at] for at, name in enumerate(flags)},
            },
            "i_a": {"values": np.concatenate(a)},
            "i_b": {"words": np.concatenate(b)},
            "i_scales": {"scales": np.concatenate(scales), "zeros": np.concatenate(zeros)},
        }

    def _operands(self, operation):
        product, (rows, columns, depth) = self.product, self.shape
        k = slice(operation.start, operation.stop)
        own = np.s_[operation.column : operation.column + columns]
        a = _padded(product.x[operation.row : operation.row + rows, k], (rows, depth))
        b = _padded(product.codes[k, own], (depth, columns))
        pack = pacq.pack if self.flow == "packed_n" else pacq.pack_k
        a = self._part(_tiles(a.view(np.uint16), 1), 0, 0).transpose(1, 0, 2)
        b = self._part(_tiles(pack(b, product.bits), 0), 1, 1)
        beside = []
        for values in (product.scales.view(np.uint16), product.zero_points):
            words = _padded(values[operation.group, own][None], (1, columns)).reshape(16, -1)
            words = _padded(words, (16, 8))
            beside.append(self._part(words, 0, 1))
        return a.reshape(-1, 16), b.reshape(-1, 16), *beside

    @property
    def ends(self):
        """The operations that finish outputs."""
        return [
            operation for operation in self.operations if operation.group_last and operation.end
        ]

    @property
    def elements(self):
        """Elements that leave."""
        return len(self.ends) * self.extent * self.extent * (self.shape[1] // 16)

    def assert_golden(self, ports):
        """Compare what left the write ports (payloads of each) with golden, bit by bit.

        A place is always of the same port; there, tiles leave in the order of their operations.
        """
        per_word = self.shape[1] // 16
        value, row, word, column = (
            np.concatenate([np.asarray(port[name]).astype(np.int64) for port in ports])
            for name in ("value", "row", "word", "column")
        )
        assert len(value) == self.elements > 0
        place = (row * self.extent + word) * 8 + column
        places, counts = np.unique(place, return_counts=True)
        assert len(places) == self.extent * self.extent * per_word
        assert set(counts) == {len(self.ends)}
        assert column.max() == per_word - 1
        values = value[np.argsort(place, kind="stable")].astype(np.uint32)
        tiles = values.reshape(self.extent, self.extent * per_word, len(self.ends))
        golden, (m, n) = self.product.golden().view(np.uint32), self.octet or (0, 0)
        for number, operation in enumerate(self.ends):
            first = operation.row + 8 * m, operation.column + self.shape[1] // 2 * n
            want = golden[first[0] :, first[1] :][: tiles.shape[0], : tiles.shape[1]]
            got = tiles[: want.shape[0], : want.shape[1], number]
            np.testing.assert_array_equal(got, want)


def _padded(values, shape):
    return np.pad(
        values, [(0, want - have) for want, have in zip(shape, values.shape, strict=True)]
    )
