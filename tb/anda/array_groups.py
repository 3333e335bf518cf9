"""Stimulus of the array's benches: groups in lockstep rows, their beats, and the exact outputs."""

from dataclasses import dataclass

import numpy as np

from lamina.formats.anda import FORMATS
from lamina_sim.golden import anda
from tb.anda.groups import GROUP, LONGEST, random_weights


@dataclass(kw_only=True)
class ArrayGroups:
    """G groups of ``parameters.rows`` rows each: arrays over the groups, rows in the second axis.

    ``codes`` [sets, columns, 64], ``zeros`` and ``scales`` [sets, columns] of the groups that load.
    """

    parameters: object
    mantissa_bits: np.ndarray
    sign: np.ndarray
    mantissa: np.ndarray
    exponents: np.ndarray
    load: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    codes: np.ndarray
    zeros: np.ndarray
    scales: np.ndarray

    def __len__(self):
        return len(self.mantissa_bits)

    @property
    def cycles(self):
        """Beats of each group."""
        return np.array([self.parameters.cycles(int(m)) for m in self.mantissa_bits])

    def beats(self):
        """Payloads of `array_words_layout`: a mapping of arrays over the beats."""
        p, cycles = self.parameters, self.cycles
        longest = int(cycles.max()) * p.planes
        # Word 0 has the signs, the last words of a group its mantissa, least significant first.
        place = np.arange(longest)
        bit = place - (cycles * p.planes - self.mantissa_bits)[:, None]
        there = (bit >= 0) & (bit < self.mantissa_bits[:, None])
        shift = np.where(there, bit, 0).astype(np.uint16)
        planes = self.mantissa[:, :, None, :] >> shift[:, None, :, None] & 1
        planes = np.where(there[:, None, :, None], planes, 0).astype(np.uint8)
        planes[:, :, 0] = self.sign
        words = np.packbits(planes, axis=-1, bitorder="little").view(f"<u{GROUP // 8}")[..., 0]
        words = words.reshape(len(self), p.rows, -1, p.planes).transpose(0, 2, 1, 3)
        number = np.arange(words.shape[1])
        sent = number < cycles[:, None]
        group = np.broadcast_to(np.arange(len(self))[:, None], sent.shape)[sent]
        return {
            "words": words[sent],
            "first": np.broadcast_to(number == 0, sent.shape)[sent].astype(np.int64),
            "last": (number == cycles[:, None] - 1)[sent].astype(np.int64),
            **{name: getattr(self, name)[group] for name in ("exponents", "load", "begin", "end")},
        }

    def weights(self):
        """Payloads of `column_weights_layout`, one for each block of each set."""
        columns = self.parameters.block_columns
        return {
            "codes": self.codes.reshape(-1, columns, GROUP),
            "zeros": self.zeros.reshape(-1, columns),
            "scales": self.scales.reshape(-1, columns),
        }

    def outputs(self):
        """FP32 patterns of the groups with ``end``: uint32 [ends, rows, columns]."""
        p = self.parameters
        b = (self.codes - self.zeros[..., None]).astype(np.int64)
        mantissa = self.mantissa.astype(np.int64)
        integers = np.where(self.sign == 1, -mantissa, mantissa)
        sums = np.zeros((p.slots, p.rows, p.columns), np.float32)
        done, held = [], np.cumsum(self.load) - 1
        for group in range(len(self)):
            slot = group % p.slots
            if self.begin[group]:
                sums[slot] = 0
            sums[slot] = anda.accumulate(
                sums[slot],
                integers[group] @ b[held[group]].T,
                self.exponents[group].astype(np.uint8)[:, None],
                self.scales[held[group]].astype(np.uint16).view(np.float16)[None],
                mantissa_bits=int(self.mantissa_bits[group]),
                fmt=p.format,
            )
            if self.end[group]:
                done.append(sums[slot].copy())
        return np.array(done).view(np.uint32)


def random_array_groups(rng, parameters, count, mantissa_bits=None, load_share=0.3, end_share=0.3):
    """Draw groups of random length (or the given ones), corners among them."""
    p = parameters
    if mantissa_bits is None:
        mantissa_bits = rng.integers(1, LONGEST + 1, count)
    mantissa_bits = np.broadcast_to(np.asarray(mantissa_bits, np.int64), count).copy()
    ones = ((1 << mantissa_bits) - 1)[:, None, None]
    mantissa = rng.integers(0, 1 << LONGEST, (count, p.rows, GROUP)) & ones
    sign = rng.integers(0, 2, (count, p.rows, GROUP))
    kind = rng.integers(0, 9, (count, p.rows, 1))
    mantissa = np.where(kind == 0, ones, np.where(kind == 1, 0, mantissa))
    # Few ones: the carry of the serial negation has far to go.
    mantissa = np.where(kind == 2, ones & (ones + 1 >> 1), mantissa)
    sign = np.where(kind == 3, 1, np.where(kind == 4, 0, sign))
    nan = FORMATS[p.format].exponent_ones
    exponents = rng.integers(1, nan, (count, p.rows))
    exponents = np.where(rng.integers(0, 40, exponents.shape) == 0, nan, exponents)
    load = (rng.random(count) < load_share).astype(np.int64)
    load[0] = 1
    end = (rng.random(count) < end_share).astype(np.int64)
    end[-1] = 1
    # An output that ended begins anew, or goes on; the first of each slot begins.
    begin = (rng.random(count) < 0.3).astype(np.int64)
    begin[: p.slots] = 1
    sets = int(load.sum())
    return ArrayGroups(
        parameters=p,
        mantissa_bits=mantissa_bits,
        sign=sign,
        mantissa=mantissa.astype(np.uint16),
        exponents=exponents,
        load=load,
        begin=begin,
        end=end,
        **random_weights(rng, sets, p.columns, p.weight_bits, p.zero_points),
    )


def outputs_of(groups):
    """Number of beats of `array_output_layout` that the groups give."""
    p = groups.parameters
    return int(groups.end.sum()) * p.blocks * p.sharing


def received_outputs(parameters, beats):
    """Put beats of `array_output_layout` together: uint32 [ends, rows, columns]."""
    p = parameters
    place = np.arange(len(beats["block"]))
    assert np.array_equal(beats["block"], place % p.blocks)
    assert np.array_equal(beats["step"], place // p.blocks % p.sharing)
    values = beats["values"].reshape(-1, p.sharing, p.blocks, p.block.units, p.block_columns)
    rows = p.sharing * p.block.units
    return values.transpose(0, 1, 3, 2, 4).reshape(-1, rows, p.columns)[:, : p.rows]
