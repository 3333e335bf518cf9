"""Arrays in and out of files: read with one sentence for each way to fail, written whole or not."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

__all__ = ["read_array", "whole_file", "write_array"]


def read_array(path: Path) -> np.ndarray:
    """Read an .npy file; ValueError if it is none or is cut short, OSError if it cannot be read."""
    with path.open("rb"):
        pass  # a file that cannot be opened is told as such
    try:
        # Mapped first: a header that promises more than the file holds must not ask for memory.
        return np.array(np.lib.format.open_memmap(path, mode="r"))
    except Exception as error:  # a broken header makes NumPy's reader raise nearly anything
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ValueError(f"{path} must be a whole .npy file of numbers: {reason}.") from None


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an .npy file, whatever its name ends with."""
    with path.open("wb") as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path; what is there when the context ends without an error gets ``path``.

    A link is followed. The folder is tried at once, so that an unwritable one is told before the
    work is done; so is anything in the place of the file that is no file. Raises OSError for the
    first, ValueError for the second.
    """
    final = path.resolve()
    if final.exists() and not final.is_file():
        raise ValueError(f"{path} must be a file, which it is not.")
    try:
        handle, name = tempfile.mkstemp(dir=final.parent, prefix=f".{final.name}.")
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(final.parent)) from None
    temporary = Path(name)
    try:
        os.close(handle)
        yield temporary
        if temporary.stat().st_size:
            temporary.chmod(0o644)
            temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)
