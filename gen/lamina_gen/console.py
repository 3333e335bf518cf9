"""Where the command line writes: tables to standard output, progress to standard error."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.status import Status

__all__ = ["output", "progress", "status"]

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


@contextmanager
def progress(text: str) -> Iterator[Callable[[str, float], None]]:
    """Show a bar on standard error; yield what moves it: ``report(what is done, fraction)``."""
    console = Console(stderr=True)
    if not console.is_terminal:
        # A file wants the error alone, and rich would leave it an empty line.
        yield lambda what, fraction: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(text, total=1.0)
        yield lambda what, fraction: bar.update(task, description=what, completed=fraction)
