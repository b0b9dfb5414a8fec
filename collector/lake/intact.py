"""Checks that lake files and hot files are still those that were listed. A written file never changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from collector.store.store import Store

_INTERVAL_S = 2.0
# A stat takes 2 to 5 us on a local disk: 10 ms a look, and 20,000 files are all looked at within 8 s.
_FILES_PER_LOOK = 5_000


class _Listed(NamedTuple):
    kind: str  # as people read it
    size_bytes: int


class _Seen(NamedTuple):
    inode: int
    written_ns: int


class LakeFiles:
    """For one thread. Each collector watches only its own files."""

    def __init__(self, store: Store, clock_s: Callable[[], float] = monotonic) -> None:
        self._store = store
        self._clock_s = clock_s
        self._looked_s = float("-inf")
        self._next = 0
        self._seen: dict[str, _Seen] = {}
        self._faults: dict[str, str] = {}  # path → which file, and what happened to it

    def fault(self) -> str:
        """The files that changed, how, and what to do; empty when none did."""
        if self._clock_s() - self._looked_s >= _INTERVAL_S:
            self._looked_s = self._clock_s()
            self._look()
        if not self._faults:
            return ""
        first = next(iter(self._faults.values()))
        others = f", and {len(self._faults) - 1} more" if len(self._faults) > 1 else ""
        return (
            f"{first}{others}: queries of that time fail. Put it back,"
            " or start the server again, which takes missing files, and so their rows, out of the views"
        )

    def _look(self) -> None:
        listed: dict[str, _Listed] = {}
        places = (
            ("lake_files", self._store.lake, "lake file"),
            ("hot_files", self._store.folder, "hot file (rows that are not in the lake yet)"),
        )
        for table, folder, kind in places:
            query = f"SELECT path, size_bytes FROM {table} WHERE expired_at IS NULL ORDER BY path"  # noqa: S608  # constants
            for path, size_bytes in zip(*self._store.read(query).to_pydict().values(), strict=True):
                listed[str(folder / path)] = _Listed(kind, size_bytes)
        self._seen = {path: seen for path, seen in self._seen.items() if path in listed}
        self._faults = {path: fault for path, fault in self._faults.items() if path in listed}
        paths = list(listed)
        if self._next >= len(paths):
            self._next = 0
        for path in paths[self._next : self._next + _FILES_PER_LOOK]:
            self._check(path, listed[path])
        self._next += _FILES_PER_LOOK

    def _check(self, path: str, listed: _Listed) -> None:
        what = self._change(path, listed.size_bytes)
        if what:
            self._faults[path] = f"the {listed.kind} {path} {what}"
        else:
            self._faults.pop(path, None)

    def _change(self, path: str, size_bytes: int) -> str:
        try:
            state = os.stat(path)
        except OSError as error:
            return f"is gone ({error.strerror})"
        if state.st_size != size_bytes:
            return f"has {state.st_size} bytes instead of {size_bytes}"
        now = _Seen(state.st_ino, state.st_mtime_ns)
        if self._seen.setdefault(path, now) != now:
            return "was replaced or written to by another program"
        return ""
