"""Steps whose results are kept under the hash of all that decides them."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from lamina_sim.verilated.runtime import publish

__all__ = ["cached", "synth_folder"]


def synth_folder() -> Path:
    """Folder of kept results: $LAMINA_CACHE/synth, or build/synth below here."""
    cache = os.environ.get("LAMINA_CACHE")
    return (Path(cache) / "synth" if cache else Path("build", "synth")).absolute()


def cached(name: str, key: tuple[str, ...], make: Callable[[Path], None]) -> Path:
    """Return the folder that ``make`` filled for ``key``, now or at an earlier time.

    It is filled under another name and renamed when it is complete, so that a run that is killed,
    or two at once, leave nothing half done. Raises ValueError if the folder cannot be written.
    """
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:24]
    root = synth_folder()
    final = root / f"{name}-{digest}"
    if final.is_dir():
        return final
    try:
        root.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f"{name}-", suffix=".part", dir=root))
    except OSError as error:
        raise ValueError(
            f"The folder of results, {root}, must be writable ({error.strerror}); "
            f"LAMINA_CACHE names another."
        ) from None
    try:
        make(work)
        publish(work, final)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return final
