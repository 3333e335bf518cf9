"""Stimulus of the Anda benches: groups of any mantissa length, as words, and their exact sums."""

from dataclasses import dataclass

import numpy as np

GROUP = 64
LONGEST = 16


@dataclass(kw_only=True)
class Groups:
    """G groups as they are meant: arrays over the groups, elements in the second axis."""

    mantissa_bits: np.ndarray
    sign: np.ndarray
    mantissa: np.ndarray
    exponent: np.ndarray
    index: np.ndarray
    load: np.ndarray
    begin: np.ndarray
    end: np.ndarray

    def __len__(self):
        return len(self.mantissa_bits)

    @property
    def integers(self):
        return np.where(self.sign == 1, -self.mantissa, self.mantissa).astype(np.int64)

    @property
    def weight_set(self):
        """Which set of weights each group meets."""
        return np.cumsum(self.load) - 1

    def words(self):
        """Payloads of `group_word_layout` in stored order: a mapping of arrays over the words."""
        place = np.arange(LONGEST + 1)
        bit = np.maximum(self.mantissa_bits[:, None] - place, 0)
        mantissa = self.mantissa.astype(np.uint16)[:, None, :]
        planes = (mantissa >> bit.astype(np.uint16)[:, :, None]).astype(np.uint8) & 1
        planes[:, 0] = self.sign
        octets = np.packbits(planes, axis=-1, bitorder="little")
        sent = place <= self.mantissa_bits[:, None]
        group = np.broadcast_to(np.arange(len(self))[:, None], sent.shape)[sent]
        shared = ("exponent", "index", "load", "begin", "end")
        return {
            "word": octets.view("<u8")[..., 0][sent],
            "first": np.broadcast_to(place == 0, sent.shape)[sent].astype(np.int64),
            "last": (place == self.mantissa_bits[:, None])[sent].astype(np.int64),
            **{name: getattr(self, name)[group] for name in shared},
        }


def random_groups(rng, count, mantissa_bits=None, index_bits=6, load_share=0.3):
    """Draw groups of random length (or the given ones); a third are corners, all ones or zeros."""
    if mantissa_bits is None:
        mantissa_bits = rng.integers(1, LONGEST + 1, count)
    mantissa_bits = np.broadcast_to(np.asarray(mantissa_bits, np.int64), count).copy()
    ones = (1 << mantissa_bits[:, None]) - 1
    mantissa = rng.integers(0, 1 << LONGEST, (count, GROUP)) & ones
    sign = rng.integers(0, 2, (count, GROUP))
    kind = rng.integers(0, 9, count)[:, None]
    mantissa = np.where(kind == 0, ones, np.where(kind == 1, 0, mantissa))
    # Few ones: the carry of the serial negation has far to go.
    mantissa = np.where(kind == 2, ones & (ones + 1 >> 1), mantissa)
    sign = np.where(kind == 3, 1, np.where(kind == 4, 0, sign))
    load = rng.random(count) < load_share
    load[0] = True
    return Groups(
        mantissa_bits=mantissa_bits,
        sign=sign,
        mantissa=mantissa,
        exponent=rng.integers(1, 31, count),
        index=rng.integers(0, 1 << index_bits, count),
        load=load.astype(np.int64),
        begin=rng.integers(0, 2, count),
        end=rng.integers(0, 2, count),
    )


def random_weights(rng, sets, columns, weight_bits, zero_points=True):
    """Draw payloads of `column_weights_layout`; one set in four holds extreme codes only."""
    low, high = -(1 << weight_bits - 1), (1 << weight_bits - 1) - 1
    codes = rng.integers(low, high + 1, (sets, columns, GROUP))
    extreme = rng.choice([low, high], (sets, columns, GROUP))
    codes = np.where(rng.integers(0, 4, (sets, 1, 1)) == 0, extreme, codes)
    zeros = rng.integers(low, high + 1, (sets, columns))
    zeros = np.where(rng.integers(0, 4, (sets, 1)) == 0, rng.choice([low, high]), zeros)
    return {
        "codes": codes,
        "zeros": zeros * zero_points,
        "scales": random_scales(rng, (sets, columns)),
    }


def random_scales(rng, shape):
    """Draw finite FP16 patterns of any sign, subnormals included; one in sixteen is a zero."""
    scales = rng.integers(0, 1 << 16, shape)
    scales = np.where((scales & 0x7C00) == 0x7C00, scales & 0x83FF, scales)
    return np.where(rng.integers(0, 16, shape) == 0, scales & 0x8000, scales)


def exact_sums(groups, weights):
    """P_g * 2^(16 - M) of every group and column: int64 [G, columns]."""
    b = (weights["codes"] - weights["zeros"][..., None])[groups.weight_set]
    sums = np.einsum("gi,gci->gc", groups.integers, b)
    return sums << (LONGEST - groups.mantissa_bits)[:, None]
