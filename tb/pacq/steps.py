"""Matrix products as the steps of `pacq.dot`, and its sums back to matrices."""

import itertools
from dataclasses import dataclass

import numpy as np

from lamina_sim.golden import pacq
from tb.pacq.operands import Operands, random_operands

LANES = 4


@dataclass(frozen=True, kw_only=True)
class Product(Operands):
    """As `Operands`, in steps.

    ``segment``: steps after which a run of steps is cut; ``order``: "depth" finishes an output
    before the next begins, "breadth" takes one segment of every output in turn.
    """

    segment: int
    order: str = "depth"

    @property
    def per_word(self):
        return 16 // self.bits

    @property
    def words(self):
        return self.codes.shape[1] // self.per_word

    def segments(self):
        """(row, word column, first step, last step) of every segment, in order."""
        steps = self.x.shape[1] // LANES
        per_group = max(1, self.scale_group // LANES)
        cuts = sorted({*range(0, steps, per_group), *range(0, steps, self.segment), steps})
        runs = list(itertools.pairwise(cuts))
        outputs = [(row, word) for row in range(self.x.shape[0]) for word in range(self.words)]
        if self.order == "depth":
            return [(*output, *run) for output in outputs for run in runs]
        return [(*output, *run) for run in runs for output in outputs]

    def steps(self):
        """The payloads of `dot_step_layout`, as arrays with one entry a step."""
        assert self.x.shape[1] % LANES == 0
        packed = pacq.pack(self.codes, self.bits)
        total = self.x.shape[1] // LANES
        per_group = max(1, self.scale_group // LANES)
        names = ("a", "words", "zeros", "scales", "index", "first", "last")
        names += ("group_first", "group_last", "begin", "end")
        fields = {name: [] for name in names}
        for row, word, start, stop in self.segments():
            group = start // per_group
            last_of_group = min((group + 1) * per_group, total)
            columns = slice(word * self.per_word, (word + 1) * self.per_word)
            zeros = _padded(self.zero_points[group, columns])
            scales = _padded(self.scales[group, columns].view(np.uint16))
            for step in range(start, stop):
                k = slice(step * LANES, (step + 1) * LANES)
                values = (self.x[row, k].view(np.uint16), packed[k, word], zeros, scales)
                values += (row * self.words + word, step == start, step == stop - 1)
                values += (start == group * per_group, stop == last_of_group)
                values += (group == 0, last_of_group == total)
                for name, value in zip(names, values, strict=True):
                    fields[name].append(value)
        return {name: np.array(value) for name, value in fields.items()} | {
            "int2": np.full(len(fields["a"]), int(self.bits == 2))
        }

    def accumulate(self, sums):
        """float32 [m, n] of the unit's sums (dict of arrays): scaled and added in FP32."""
        rows, columns = self.x.shape[0], self.codes.shape[1]
        result = np.full((rows, columns), np.nan, np.float32)
        acc = {}
        with np.errstate(all="ignore"):
            for value, scale, index, begin, end in zip(
                sums["value"].astype(np.uint32).view(np.float32),
                sums["scale"].astype(np.uint16).view(np.float16).astype(np.float32),
                sums["index"], sums["begin"], sums["end"], strict=True,
            ):  # fmt: skip
                before = np.float32(0) if begin else acc.pop(index)
                acc[index] = before + np.float32(value * scale)
                if end:
                    word, column = divmod(int(index), 8)
                    row, word = divmod(word, self.words)
                    result[row, word * self.per_word + column] = acc.pop(index)
        assert not acc, f"outputs {sorted(acc)} were never ended"
        return result


def _padded(values):
    return np.pad(values, (0, 8 - len(values)))


def random_product(rng, *, bits, m=2, k=64, words=2, scale_group=16, segment=4, order="depth",
                   kind="normal"):  # fmt: skip
    """A product with activations of one ``kind``, as of `random_operands`."""
    n = words * 16 // bits
    drawn = random_operands(rng, bits=bits, m=m, k=k, n=n, scale_group=scale_group, kind=kind)
    return Product(**drawn, segment=segment, order=order)
