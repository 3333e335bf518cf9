"""The results of a sweep: one SQLite file, one row per point, each committed as it is finished."""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lamina_gen.sweep.point import Outcome, Point

__all__ = ["Results", "Row"]

#: Written into the file; another number is another layout of its table.
_LAYOUT = 1

_TABLE = """
CREATE TABLE IF NOT EXISTS points (
    key TEXT PRIMARY KEY,       -- content of the point
    module TEXT NOT NULL,
    parameters TEXT NOT NULL,   -- JSON
    target TEXT NOT NULL,
    options TEXT NOT NULL,      -- JSON
    figures TEXT,               -- JSON; NULL: the point failed
    sentence TEXT,              -- why it failed
    tools TEXT NOT NULL,        -- JSON: versions
    started TEXT NOT NULL,      -- UTC
    seconds REAL NOT NULL,
    host TEXT NOT NULL,
    CHECK ((figures IS NULL) <> (sentence IS NULL))
)
"""


@dataclass(frozen=True)
class Row:
    """A finished point: its ``figures``, or the ``sentence`` it failed with."""

    key: str
    module: str
    parameters: dict[str, Any]
    target: str
    figures: dict[str, Any] | None
    sentence: str | None


class Results:
    """The rows in the file ``path``, which is made if it is missing. A context manager.

    Every `add` is a transaction of its own, so a kill at any moment loses no finished point. Raises
    ValueError if ``path`` is something else than such a file, OSError if it cannot be written.
    """

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass  # an unwritable place is told by the system's own error, which names it
        self._connection = sqlite3.connect(path, timeout=60)
        try:
            with self._connection as connection:
                (layout,) = connection.execute("PRAGMA user_version").fetchone()
                if layout not in (0, _LAYOUT):
                    raise ValueError(f"{path} must have layout {_LAYOUT}, not {layout}.")
                connection.execute(_TABLE)
                connection.execute(f"PRAGMA user_version = {_LAYOUT}")
        except sqlite3.DatabaseError as error:
            self.close()
            raise ValueError(f"{path} must be the results of a sweep: {error}.") from None
        except ValueError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def finished(self, *, failed: bool = True) -> set[str]:
        """Return the keys of finished points, with or without those that failed."""
        query = "SELECT key FROM points" + ("" if failed else " WHERE sentence IS NULL")
        with closing(self._connection.execute(query)) as cursor:
            return {key for (key,) in cursor}

    def add(self, point: Point, outcome: Outcome) -> None:
        """Keep what came of ``point``, at once and for good."""
        values = (
            point.key,
            point.module,
            _json(point.parameters),
            point.target,
            _json(point.options),
            None if outcome.figures is None else _json(outcome.figures),
            outcome.sentence,
            _json(outcome.tools),
            outcome.started,
            outcome.seconds,
            outcome.host,
        )
        marks = ", ".join("?" * len(values))
        with self._connection as connection:
            connection.execute(f"INSERT OR REPLACE INTO points VALUES ({marks})", values)

    def rows(self, points: Iterable[Point]) -> list[Row]:
        """Return the rows of those of ``points`` that are finished, in their order."""
        query = (
            "SELECT key, module, parameters, target, figures, sentence FROM points WHERE key = ?"
        )
        found = (self._connection.execute(query, (point.key,)).fetchone() for point in points)
        return [
            Row(key, module, json.loads(settings), target, figures and json.loads(figures), why)
            for key, module, settings, target, figures, why in filter(None, found)
        ]


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
