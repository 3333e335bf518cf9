"""What a run gives back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina_sim.verilated import ports

__all__ = ["Result", "Traffic", "Transfers"]


@dataclass(frozen=True, kw_only=True)
class Transfers:
    """What an output stream gave: n payloads and when.

    ``words``: uint32 [n, words], packed; ``cycles``: int64 [n], cycle of each transfer, counted
    from the release of reset; ``shape``: layout of the payload.
    """

    words: NDArray[np.uint32]
    cycles: NDArray[np.int64]
    shape: Mapping[str, Any]

    @property
    def values(self) -> Any:
        """The payloads as :func:`~lamina_sim.verilated.ports.unpack` gives them."""
        return ports.unpack(self.shape, self.words)

    def __len__(self) -> int:
        return len(self.cycles)


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What an AXI4 read port asked for.

    ``bursts``, ``beats``, ``bytes``: totals of addresses accepted and of data transferred;
    ``slverr``, ``decerr``: beats answered with that error; ``first_beat``, ``last_beat``: cycles
    of the first and last data beat (-1 without any); ``addresses``: uint64 [bursts] and
    ``lengths``: int64 [bursts], beats of each burst, in order of acceptance.
    """

    bursts: int
    beats: int
    bytes: int
    slverr: int
    decerr: int
    first_beat: int
    last_beat: int
    addresses: NDArray[np.uint64]
    lengths: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished run.

    ``cycles``: cycles from the release of reset to the last transfer, that one included;
    ``outputs``: the transfers of each output stream (also ``result["o"]``); ``accepted``: int64
    [n], the cycle in which each beat of an input stream was taken; ``signals``: the plain outputs
    at the end of the run as integers; ``traffic``: the totals of each memory port.
    """

    cycles: int
    outputs: dict[str, Transfers]
    accepted: dict[str, NDArray[np.int64]]
    signals: dict[str, int]
    traffic: dict[str, Traffic]

    def __getitem__(self, port: str) -> Transfers:
        return self.outputs[port]
