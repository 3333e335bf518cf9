"""What parameter classes share: checks, each failure of which is one full sentence, and parts."""

from dataclasses import fields
from typing import Any, TypeVar

__all__ = ["check_choice", "check_flag", "check_power_of_two", "check_range", "narrowed"]

_Kind = TypeVar("_Kind")


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Raise TypeError unless ``value`` is an int, ValueError unless ``low <= value <= high``."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {value!r}.")
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low} and {high}, not {value}.")


def check_power_of_two(name: str, value: int, low: int, high: int) -> None:
    """As `check_range`, and the value must be a power of two."""
    check_range(name, value, low, high)
    if value & (value - 1):
        raise ValueError(f"{name} must be a power of two, not {value}.")


def check_choice(name: str, value: object, choices: tuple) -> None:
    """Raise ValueError unless ``value`` is one of ``choices``."""
    if value not in choices:
        listed = ", ".join(map(str, choices))
        raise ValueError(f"{name} must be one of {listed}, not {value!r}.")


def check_flag(name: str, value: object) -> None:
    """Raise TypeError unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be true or false, not {value!r}.")


def narrowed(kind: type[_Kind], parameters: Any, **more: object) -> _Kind:
    """Return the dataclass ``kind`` of a part, built from ``parameters`` of the whole.

    It gets the fields that both have by the same name; ``more`` comes beside or in place of these.
    """
    shared = {field.name for field in fields(kind)} & {field.name for field in fields(parameters)}
    return kind(**{name: getattr(parameters, name) for name in shared} | more)
