"""Weights of the steps at work: fresh ones, or those of steps that come again."""

from dataclasses import dataclass

from amaranth.hdl import Module, Mux
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from lamina.formats.packed import LANES
from lamina.formats.window import window_words_layout
from lamina.parameters import check_power_of_two, check_range
from lamina.stream.buffer import Queue, QueueParameters, SkidBufferParameters, sliced

__all__ = ["WindowWords", "WindowWordsParameters"]


@dataclass(frozen=True, kw_only=True)
class WindowWordsParameters:
    """``words`` of each of the ``lanes`` k of a step; ``steps`` of the longest group.

    ``stages_per_rank``: with 1 a slice is in front of the weights that are kept.
    """

    words: int = 2
    lanes: int = LANES
    steps: int = 32
    stages_per_rank: int = 1

    def __post_init__(self):
        check_power_of_two("words", self.words, 1, 16)
        check_range("steps", self.steps, 1, 1 << 16)
        check_range("stages_per_rank", self.stages_per_rank, 1, 16)

    @property
    def shape(self) -> data.StructLayout:
        """Weights of a step."""
        return window_words_layout(self.words, self.lanes)

    @property
    def kept(self) -> QueueParameters:
        """Of the weights that come again: all of a group, and those that leave meanwhile."""
        return QueueParameters(shape=self.shape, depth=max(4, self.steps + 1))

    @property
    def slice(self) -> SkidBufferParameters | None:
        """Of the slice behind these, on FPGAs: the way to the queue starts at a register."""
        return SkidBufferParameters(shape=self.shape) if self.stages_per_rank == 1 else None

    @property
    def latency(self) -> int:
        """Cycles from fresh weights to ``words``: none."""
        return 0

    @property
    def throughput(self) -> int:
        """Steps per cycle."""
        return 1

    @property
    def storage_bits(self) -> int:
        """The queue and the slice."""
        return self.kept.storage_bits + (self.slice.storage_bits if self.slice else 0)


class WindowWords(wiring.Component):
    """Gives each step of a pass its weights, and keeps those that a later pass needs.

    Members
    -------
    i : In(stream) of `window_words_layout`
    again : In
        The step at work is one that comes again: its weights are those kept longest.
    words, valid : Out
        Its weights, if they are there. Fresh ones are not registered: ``i`` holds them.
    taken : In
        It is worked on in this cycle, if they are there.
    keeps, used : In
        A step with the weights ``used`` comes again in the next pass.
    """

    def __init__(self, parameters: WindowWordsParameters):
        self.parameters = p = parameters
        super().__init__(
            {
                "i": In(stream.Signature(p.shape)),
                "again": In(1),
                "words": Out(p.shape),
                "valid": Out(1),
                "taken": In(1),
                "keeps": In(1),
                "used": In(p.shape),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.kept = kept = Queue(self.parameters.kept)
        known = sliced(m, "slice", kept.o, self.parameters.slice)
        m.d.comb += [
            self.words.eq(Mux(self.again, known.payload, self.i.payload)),
            self.valid.eq(Mux(self.again, known.valid, self.i.valid)),
            self.i.ready.eq(self.taken & ~self.again),
            known.ready.eq(self.taken & self.again),
            kept.i.valid.eq(self.keeps),
            kept.i.payload.eq(self.used),
        ]
        return m
