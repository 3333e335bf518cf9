"""Where the command line writes: tables to standard output, progress to standard error."""

from contextlib import AbstractContextManager

from rich.console import Console
from rich.status import Status

__all__ = ["output", "status"]

#: Columns of a table that goes to a file or a pipe, where no window says how wide it is.
_PLAIN_WIDTH = 160


def output() -> Console:
    """Return the console of standard output."""
    # No markup: names and docstrings have square brackets of their own.
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    return console


def status(text: str) -> AbstractContextManager[Status]:
    """Show ``text`` with a spinner on standard error while the context lasts."""
    return Console(stderr=True).status(text)
