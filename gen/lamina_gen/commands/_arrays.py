"""Arrays in and out of files: read with one sentence for each way to fail, written whole or not."""

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

__all__ = ["read_array", "write_array"]


def read_array(path: Path) -> np.ndarray:
    """Read an .npy file; ValueError if it is none or is cut short, OSError if it cannot be read."""
    with path.open("rb") as file:
        try:
            array = np.lib.format.read_array(file, allow_pickle=False)
        except (ValueError, EOFError) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise ValueError(f"{path} must be a whole .npy file of numbers: {reason}.") from None
    return array


@contextmanager
def write_array(path: Path) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield what writes ``path``, which appears, whole, when the context ends without an error.

    The folder is tried at once, so that an unwritable one is told before the work is done; so is
    a folder in the place of the file. Raises OSError for both.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary, written = Path(name), False

    def write(array: np.ndarray) -> None:
        nonlocal written
        with temporary.open("wb") as file:
            np.lib.format.write_array(file, array, allow_pickle=False)
        written = True

    try:
        os.close(handle)
        yield write
        if written:
            temporary.chmod(0o644)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
