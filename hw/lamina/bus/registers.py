"""What a register map is made of: the one description of registers on a bus."""

from dataclasses import dataclass

__all__ = ["Field", "Register"]


@dataclass(frozen=True, kw_only=True)
class Field:
    """Bits ``low`` to ``low`` + ``width`` - 1 of a register."""

    name: str
    low: int
    width: int = 1
    text: str


@dataclass(frozen=True, kw_only=True)
class Register:
    """A 32-bit word at byte ``offset``; ``count`` of them, ``stride`` bytes apart.

    ``access``: "ro", "rw" or "wo". ``many``: what there are several of.
    """

    name: str
    offset: int
    access: str
    text: str
    fields: tuple[Field, ...] = ()
    count: int = 1
    stride: int = 0
    many: str = ""
