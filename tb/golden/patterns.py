"""Bit patterns that the tests of the golden models draw from."""

import numpy as np

ALL = np.arange(1 << 16).astype(np.uint16)
#: The finite FP16 patterns.
FINITE = ALL[(ALL & 0x7C00) != 0x7C00]
ROUNDINGS = ("truncate", "nearest")


def as_input(patterns, fmt):
    """Patterns as the golden models take them: float16, or uint16 for BF16."""
    return patterns.view(np.float16) if fmt == "fp16" else patterns
