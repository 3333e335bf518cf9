"""Checks shared by the golden models: wrong input ends in one full sentence, never in a cast."""

from collections.abc import Collection
from typing import Any

import numpy as np

ROUNDINGS = ("truncate", "nearest")


def array(name: str, value: Any, dtype: Any, ndim: int | None = None) -> np.ndarray:
    """Returns ``value`` when it is a NumPy array of exactly this dtype and rank, and not empty.

    Raises:
        TypeError: it is no array, or of another dtype.
        ValueError: it has another rank, or no element.
    """
    wanted = np.dtype(dtype)
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array of {wanted}, not {type(value).__name__}.")
    if value.dtype != wanted:
        raise TypeError(f"{name} must be {wanted}, not {value.dtype}.")
    if ndim is not None and value.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions, not {value.ndim}.")
    if value.size == 0:
        raise ValueError(f"{name} must hold at least one element, not shape {value.shape}.")
    return value


def shape(name: str, value: np.ndarray, wanted: tuple[int, ...]) -> None:
    """Raises ValueError unless ``value`` has the shape ``wanted``."""
    if value.shape != wanted:
        raise ValueError(f"{name} must have shape {wanted}, not {value.shape}.")


def broadcast(names: str, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns ``a`` and ``b`` broadcast to one shape; ``names``: of both, "a and b"."""
    try:
        a, b = np.broadcast_arrays(a, b)
    except ValueError:
        raise ValueError(
            f"{names} must broadcast, not have shapes {a.shape} and {b.shape}."
        ) from None
    return a, b


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Returns ``value`` as an int when it is an integer from ``low`` to ``high`` (no bool)."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}.")
    if value < low or (high is not None and value > high):
        rule = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ValueError(f"{name} must be {rule}, not {value}.")
    return int(value)


def choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raises ValueError unless ``value`` is one of ``choices``."""
    if value not in choices:
        listed = " or ".join(repr(c) for c in choices)
        raise ValueError(f"{name} must be {listed}, not {value!r}.")


def signed_range(name: str, value: np.ndarray, bits: int) -> None:
    """Raises ValueError unless every element of ``value`` is a signed ``bits``-bit integer."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    # One pass for each end; min and max are far cheaper than an array of comparisons.
    for worst in (int(value.min()), int(value.max())):
        if not low <= worst <= high:
            raise ValueError(
                f"{name} must be between {low} and {high} for {bits} bits, not {worst}."
            )
