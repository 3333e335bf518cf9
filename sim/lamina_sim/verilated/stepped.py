"""A module stepped by its caller: pins are set and read by name, cycle by cycle."""

import ctypes

from lamina_sim.verilated.session import Session

__all__ = ["Pin", "Stepped"]

_WORDS = 32  # of the widest pin that can be held: 1024 bits


class Pin:
    """One top-level signal; ``value`` is an int. What is read is as of the last settling."""

    def __init__(self, session: Session, number: int) -> None:
        self._session, self._number = session, number
        self._row = (ctypes.c_uint32 * _WORDS)()
        self._driven = -1

    @property
    def value(self) -> int:
        """The signal's value."""
        self._session.get_signal(self._number, self._row)
        return int.from_bytes(self._row, "little")

    @value.setter
    def value(self, value: int) -> None:
        if value == self._driven:  # which is so for most pins in most cycles
            return
        self._driven = value
        ctypes.memmove(self._row, int(value).to_bytes(4 * _WORDS, "little"), 4 * _WORDS)
        self._session.set_signal(self._number, self._row)


class Stepped:
    """A module at work: every top-level signal is an attribute, a `Pin`.

    A cycle: set inputs, ``settle``, read outputs, ``edge``.
    """

    def __init__(self, session: Session, reset: str | None) -> None:
        self._session, self._reset = session, reset
        self._pins = {name: Pin(session, n) for name, n in session.numbers().items()}

    def __getattr__(self, name: str) -> Pin:
        try:
            return self.__dict__["_pins"][name]
        except KeyError:
            raise AttributeError(f"There is no signal {name!r} at the top.") from None

    def settle(self) -> None:
        """Let the inputs take effect."""
        self._session.settle()

    def edge(self) -> None:
        """Go on to the next cycle."""
        self._session.edge()

    def reset(self, cycles: int = 2) -> None:
        """Hold reset for some cycles."""
        if self._reset is None:
            raise ValueError("The module must have a reset, but it has none.")
        pin = self._pins[self._reset]
        for level in [1] * cycles + [0]:
            pin.value = level
            self.settle()
            if level:
                self.edge()

    def __enter__(self) -> "Stepped":
        return self

    def __exit__(self, *exception: object) -> None:
        self._session.__exit__(*exception)
