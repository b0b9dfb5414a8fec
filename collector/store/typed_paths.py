"""Chooses the paths of attributes that get columns in `…_recent`; rows with another path are stored packed.

A checkpoint gives every distinct path of a row group its own column (1.3 MB and 20 ms each, measured with
122,880 rows), and may merge row groups of any age. So the number of paths is bounded over all rows of a
table: the most frequent paths have the places, and a place becomes free when no row with its path is left.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Set

import duckdb

from collector.signals import Signal

# 128 paths cost 196 MB and 2.8 s of CPU for a row group of 122,880 rows, 512 would cost 650 MB and 11 s.
TYPED_MAX = 128
# Typed ones and those that are no longer and still have rows: so many are replaced until old rows have left.
IN_TABLE_MAX = 160
# The first paths are typed at once. Of the later ones a row in a million would take a place for ever.
AT_ONCE_MAX = 96
ROWS_MIN = 100
# What is not typed is counted, to be typed when it is frequent. The rarest are forgotten beyond so many.
_WAITING_MAX = 4_096
_HALVE_AFTER_ROWS = 1_000_000  # old counts weigh half as much after so many rows
_UNDER_WAY_BATCHES = 16  # more than are decoded and not yet landed


class TypedPaths:
    """Of one table. Decoding and landing may both ask."""

    def __init__(self, typed: Set[str] = frozenset(), retired: Mapping[str, int] | None = None) -> None:
        """
        Args:
            retired: paths that are not typed any more, and the last batch whose rows may hold them.
        """
        self._guard = threading.Lock()
        self._typed = dict.fromkeys(typed, 0)  # path: rows seen
        self._retired = dict(retired or {})
        self._waiting: dict[str, int] = {}
        self._rows = 0
        self._newest_batch_id = 0
        self._version = self._stored_version = 0  # of what is typed and retired

    def admit(self, counts: Mapping[str, int]) -> Set[str] | None:
        """Take note of rows that are about to be stored, and type what is frequent.

        Args:
            counts: how many of the rows have each path.

        Returns:
            The typed paths, when some of `counts` is not among them; else None.
        """
        with self._guard:
            if all(path in self._typed for path in counts):
                for path, count in counts.items():
                    self._typed[path] += count
                self._age(counts)
                return None
            for path, count in sorted(counts.items(), key=lambda item: -item[1]):
                if path in self._typed:
                    self._typed[path] += count
                else:
                    self._wait(path, count)
            self._age(counts)
            return None if all(path in self._typed for path in counts) else frozenset(self._typed)

    def landed(self, batch_id: int) -> None:
        """The newest batch that is stored."""
        with self._guard:
            self._newest_batch_id = batch_id

    def oldest_is(self, batch_id: int) -> None:
        """The table holds no row of an earlier batch: what retired before it takes no place any more."""
        with self._guard:
            kept = {path: last for path, last in self._retired.items() if last >= batch_id}
            if len(kept) < len(self._retired):
                self._retired = kept
                self._version += 1

    @property
    def is_crowded(self) -> bool:
        """Whether frequent paths wait for places that old rows hold."""
        return len(self._typed) + len(self._retired) >= IN_TABLE_MAX

    def unstored(self) -> tuple[int, list[tuple[str, int | None]]] | None:
        """A version, and each path with the last batch that may hold it (None: typed); None when all is
        stored."""
        with self._guard:
            if self._version == self._stored_version:
                return None
            return self._version, [*((path, None) for path in self._typed), *self._retired.items()]

    def stored(self, version: int) -> None:
        """That version is in the database by now."""
        with self._guard:
            self._stored_version = version

    def _wait(self, path: str, count: int) -> None:
        seen = self._waiting[path] = self._waiting.get(path, 0) + count
        in_table = len(self._typed) + len(self._retired)
        if len(self._typed) < TYPED_MAX and path in self._retired:
            del self._retired[path]
        elif in_table < AT_ONCE_MAX:
            pass
        elif seen < ROWS_MIN or in_table >= IN_TABLE_MAX:
            return
        elif len(self._typed) >= TYPED_MAX:
            rarest = min(self._typed, key=self._typed.__getitem__)
            if 2 * self._typed[rarest] > seen:
                return
            del self._typed[rarest]
            self._retired[rarest] = self._newest_batch_id + _UNDER_WAY_BATCHES
        self._typed[path] = self._waiting.pop(path)
        self._version += 1

    def _age(self, counts: Mapping[str, int]) -> None:
        self._rows += max(counts.values(), default=0)
        is_old = self._rows >= _HALVE_AFTER_ROWS
        if is_old:
            self._rows = 0
            self._typed = {path: count // 2 for path, count in self._typed.items()}
        if is_old or len(self._waiting) > _WAITING_MAX:
            halved = {path: count // 2 for path, count in self._waiting.items() if count > 1}
            self._waiting = halved if len(halved) <= _WAITING_MAX else {}


def load_typed_paths(con: duckdb.DuckDBPyConnection) -> dict[Signal, TypedPaths]:
    """As they were stored last."""
    labels = {signal.label: signal for signal in Signal}
    typed: dict[Signal, set[str]] = {signal: set() for signal in Signal}
    retired: dict[Signal, dict[str, int]] = {signal: {} for signal in Signal}
    for label, path, last_batch_id in con.execute(
        "SELECT signal, path, last_batch_id FROM typed_paths"
    ).fetchall():
        if last_batch_id is None:
            typed[labels[label]].add(path)
        else:
            retired[labels[label]][path] = last_batch_id
    return {signal: TypedPaths(typed[signal], retired[signal]) for signal in Signal}


def save_typed_paths(con: duckdb.DuckDBPyConnection, signal: Signal, paths: TypedPaths) -> int | None:
    """Store them, if they have changed, in the transaction of the first rows that hold them.

    Returns:
        The argument of `paths.stored` after the COMMIT.
    """
    unstored = paths.unstored()
    if unstored is None:
        return None
    version, rows = unstored
    con.execute("DELETE FROM typed_paths WHERE signal = ?", [signal.label])
    con.execute(
        "INSERT INTO typed_paths SELECT ?, unnest(?::VARCHAR[]), unnest(?::BIGINT[])",
        [signal.label, [path for path, _ in rows], [last for _, last in rows]],
    )
    return version
