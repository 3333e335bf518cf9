"""Blocks of codes as beats: what the benches of the store share."""

import numpy as np

from lamina_sim.golden import store


def words(octets: np.ndarray) -> np.ndarray:
    """Beats uint8 [..., 64] as the bulk driver's uint32 [n, 16]."""
    return np.ascontiguousarray(octets).view("<u4").reshape(-1, 16)


def octets(beats: np.ndarray) -> np.ndarray:
    """The inverse of `words`: uint8 [n, 64]."""
    return np.ascontiguousarray(beats).view(np.uint8).reshape(-1, 64)


def last_of(blocks: int, beats: int) -> np.ndarray:
    """``last`` of ``blocks`` blocks of ``beats`` beats."""
    return np.tile(np.arange(beats) == beats - 1, blocks)


def random_codes(rng: np.random.Generator, blocks: int, form: store.Format) -> np.ndarray:
    """Random blocks of a format, the extreme codes among them."""
    if form.floating:
        codes = rng.integers(0, 1 << 16, (blocks, 512)).astype(np.uint16)
        special = [0, 1, 0x8000, 0x7BFF, 0xFBFF, 0x7C00, 0x7F7F, 0xFF7F, 0x7F80, 0xFFFF]
        codes[:, ::37] = rng.choice(special, codes[:, ::37].shape)
        return codes
    low, high = -(1 << (form.bits - 1)), (1 << (form.bits - 1)) - 1
    codes = rng.integers(low, high + 1, (blocks, 512)).astype(np.int8)
    codes[:, ::37], codes[:, 1::37] = low, high
    return codes


def beats_in(octets_in, last, form: store.Format, **more) -> dict:
    """Values of a stream of formatted_beat_layout; ``more``: keep, nearest, error, end."""
    beat = {"error": 0, "end": 0}
    beat |= {key: more.pop(key) for key in ("error", "end") if key in more}
    layout = {"planes": form.bits, "keep": form.bits, "nearest": 0, "bfloat": form is store.BF16}
    return {
        "beat": {"bits": words(octets_in), "last": last} | beat,
        "format": {key: np.uint8(value) for key, value in (layout | more).items()},
    }
