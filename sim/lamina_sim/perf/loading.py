"""Loading a model out of the plane store, and what each token reads of it, at mixed precision.

Bound by bandwidth: weights stream, so that latency is paid once, and a beat moves in every cycle,
as `lamina bench store` measures it of the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lamina_sim.perf.dram import BURST_BYTES, Accesses, Ddr5, stream

__all__ = ["KINDS", "SHAPES", "Cost", "Shape", "System", "cost"]

#: Codes of a block, of which a plane is a burst.
_BLOCK = 512
KINDS = ("attention", "feed_forward", "embedding")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A decoder's published sizes.

    Members
        kv         rows of k, and of v
        gated      whether a feed-forward part has three matrices instead of two
        tied       whether embedding and head are one matrix
        positions  rows of learned positions
        experts    feed-forward parts of a layer, of which a token takes ``active``
    """

    name: str
    hidden: int
    inner: int
    layers: int
    kv: int
    vocabulary: int
    gated: bool = True
    tied: bool = False
    positions: int = 0
    experts: int = 1
    active: int = 1

    def weights(self, per_token: bool = False) -> dict[str, int]:
        """Weights of matrices by KINDS: all, or those that a token is multiplied with."""
        experts = self.active if per_token else self.experts
        embedded = self.vocabulary * (1 if self.tied or per_token else 2)
        embedded += 0 if per_token else self.positions
        return {
            "attention": 2 * self.layers * self.hidden * (self.hidden + self.kv),
            "feed_forward": self.layers * experts * (2 + self.gated) * self.hidden * self.inner,
            "embedding": embedded * self.hidden,
        }


SHAPES = (
    Shape(name="LLaMA-2-7B", hidden=4096, inner=11008, layers=32, kv=4096, vocabulary=32000),
    Shape(name="Llama-3.1-8B", hidden=4096, inner=14336, layers=32, kv=1024, vocabulary=128256),
    Shape(name="Llama-3.1-70B", hidden=8192, inner=28672, layers=80, kv=1024, vocabulary=128256),
    Shape(
        name="Mixtral-8x7B", hidden=4096, inner=14336, layers=32, kv=1024, vocabulary=32000,
        experts=8, active=2,
    ),
    Shape(
        name="OPT-30B", hidden=7168, inner=28672, layers=48, kv=7168, vocabulary=50272,
        gated=False, tied=True, positions=2050,
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class System:
    """Bandwidths in bytes a second: four channels of DDR5-4800, and a link of 16 lanes at 32 GT/s.

    Of 68 bytes of a flit, 64 are data; a lane carries 128 bits in 130.
    """

    memory: float = 4 * 38.4e9
    link: float = 16 * 32e9 / 8 * (128 / 130) * (64 / 68)


@dataclass(frozen=True)
class Cost:
    """``accesses`` of the memory and ``link_bytes`` of lines; ``seconds`` by the narrower of both.

    ``energy_joules``: of bursts and activations in DDR5.
    """

    accesses: Accesses
    link_bytes: int
    seconds: float
    energy_joules: float


def cost(
    weights: Mapping[str, int],
    planes: Mapping[str, int],
    stored: int,
    system: System | None = None,
    *,
    container: bool = False,
) -> Cost:
    """What reading ``weights``, by kind, at ``planes`` of ``stored`` planes takes.

    Views are ``planes`` or ``packed``; ``container``: the link then carries whole containers.
    """
    system = system or System()
    bursts = activations = lines = 0
    for kind, count in weights.items():
        keep = planes[kind]
        if not 1 <= keep <= stored:
            raise ValueError(f"planes of {kind} must be between 1 and {stored}, not {keep}.")
        blocks = -(-count // _BLOCK)
        part = stream(keep, blocks)
        bursts, activations = bursts + part.bursts, activations + part.activations
        lines += blocks * (8 if stored <= 8 else 16) if container else part.bursts
    accesses, link_bytes = Accesses(bursts, activations), lines * BURST_BYTES
    seconds = max(accesses.bytes / system.memory, link_bytes / system.link)
    return Cost(accesses, link_bytes, seconds, Ddr5().energy_pj(accesses) * 1e-12)
