"""Joins children and parents as spans land, in either order, to find which operation called which.

A span is known by a 64-bit hash of its ids. The newest spans are remembered as a few sorted runs; a child
whose parent has not landed waits some seconds for it. A child usually lands before its parent (it ends
first), so the calls of one parent are mostly found in one piece, when the parent lands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.stats.arrays import FloatArray, IntArray
from detectors.stream.batch import Batch

HashArray = npt.NDArray[np.uint64]
ROW_COLUMNS = ["trace_id", "span_id", "start_unix_nano", "duration_ns"]
_RUNS_MAX = 8  # merged when there are more
_REMEMBERED_MAX = 200_000  # spans; at 10,000 a second those of 20 s
_WAITING_MAX = 100_000
_WAIT_S = 15
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio, odd


@dataclass(frozen=True, slots=True)
class Kin:
    """Found pairs, one row for each child; aligned.

    parent_id: the parent's hash, so that children of one parent can be counted.
    parent_end: when it ended, ns since 1970.
    source, place: where `ROW_COLUMNS` of the children are; few are ever looked at, and copying all took a
    sixth of what structure costs.
    """

    parent_id: HashArray
    parent_code: IntArray
    parent_end: IntArray
    child_code: IntArray
    child_tick: IntArray
    start_unix_nano: IntArray
    duration_ns: IntArray
    source: pa.Table
    place: IntArray

    def take(self, chosen: IntArray) -> Kin:
        return Kin(
            self.parent_id[chosen],
            self.parent_code[chosen],
            self.parent_end[chosen],
            self.child_code[chosen],
            self.child_tick[chosen],
            self.start_unix_nano[chosen],
            self.duration_ns[chosen],
            self.source,
            self.place[chosen],
        )

    def ends(self) -> IntArray:
        """When each child ended, ns since 1970."""
        return np.asarray(self.start_unix_nano + np.maximum(self.duration_ns, 0), dtype=np.int64)

    def rows(self) -> pa.Table:
        """`ROW_COLUMNS` of the children."""
        return self.source.take(pa.array(self.place))

    def apart(self) -> Kin:
        """The same without what else the source holds."""
        return replace(self, source=self.rows(), place=np.arange(len(self.place)))


class _Run:
    """Remembered spans, sorted by hash."""

    def __init__(self, ids: HashArray, codes: IntArray, ends: IntArray, *, of_runs: bool = False) -> None:
        # Sorted runs one after the other are what a merging sort is good at; single spans are not.
        order = np.argsort(ids, kind="stable" if of_runs else "quicksort")
        self.ids, self.codes, self.ends = ids[order], codes[order], ends[order]

    def find(self, wanted: HashArray) -> IntArray:
        """The place of each, or -1."""
        if not len(self.ids):
            return np.full(len(wanted), -1, dtype=np.int64)
        place = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        return np.where(self.ids[place] == wanted, place, -1)


class Kinship:
    """Not thread-safe; memory only, and bounded.

    Args:
        by: the column that holds the hash of what a span refers to; 0 refers to nothing.
    """

    def __init__(self, by: str) -> None:
        self._by = by
        self._runs: list[_Run] = []
        self._waiting: Kin | None = None

    def meet(self, batch: Batch) -> Kin:
        """Take a batch; returns the pairs that are complete now."""
        refer = np.asarray(batch.spans[self._by].to_numpy(), dtype=np.uint64)
        children = np.flatnonzero(refer)
        start, length = batch.spans["start_unix_nano"].to_numpy(), batch.spans["duration_ns"].to_numpy()
        fresh = Kin(
            refer[children],
            np.full(len(children), -1, dtype=np.int64),
            np.zeros(len(children), dtype=np.int64),
            batch.codes[children],
            batch.ticks[children],
            start[children],
            length[children],
            batch.spans.select(ROW_COLUMNS),
            children,
        )
        ids = np.asarray(batch.spans["span_hash"].to_numpy(), dtype=np.uint64)
        newest = _Run(ids, batch.codes, start + np.maximum(length, 0))
        found = []
        waiting = self._waiting
        if waiting is not None:
            met = self._look(waiting, [newest])
            found.append(met.take(np.flatnonzero(met.parent_code >= 0)))
            left = np.flatnonzero((met.parent_code < 0) & (met.child_tick > batch.head - _WAIT_S))
            waiting = met.take(left[-_WAITING_MAX:]).apart()
        fresh = self._look(fresh, [newest, *self._runs])
        found.append(fresh.take(np.flatnonzero(fresh.parent_code >= 0)))
        lonely = fresh.take(np.flatnonzero(fresh.parent_code < 0)[-_WAITING_MAX:]).apart()
        self._waiting = lonely if waiting is None else _joined([waiting, lonely])
        self._remember(newest)
        return _joined(found)

    def _look(self, kin: Kin, runs: list[_Run]) -> Kin:
        code, end = kin.parent_code.copy(), kin.parent_end.copy()
        left = np.flatnonzero(code < 0)
        for run in runs:
            place = run.find(kin.parent_id[left])
            hit = place >= 0
            code[left[hit]], end[left[hit]] = run.codes[place[hit]], run.ends[place[hit]]
            left = left[~hit]
        return replace(kin, parent_code=code, parent_end=end)

    def _remember(self, newest: _Run) -> None:
        self._runs.insert(0, newest)
        if len(self._runs) > _RUNS_MAX:
            sizes = np.cumsum([len(run.ids) for run in self._runs])
            kept = self._runs[: max(int(np.searchsorted(sizes, _REMEMBERED_MAX)), 1)]
            self._runs = [
                _Run(
                    np.concatenate([run.ids for run in kept]),
                    np.concatenate([run.codes for run in kept]),
                    np.concatenate([run.ends for run in kept]),
                    of_runs=True,
                )
            ]


def calls(kin: Kin) -> tuple[Kin, FloatArray]:
    """(one row for each parent and called operation, the first call of it, and how often it was called)."""
    if not len(kin.parent_id):
        return kin, np.empty(0)
    # One number for both, so that one sort will do; the multiplier spreads codes over all 64 bits.
    both = kin.parent_id + kin.child_code.astype(np.uint64) * _SPREAD
    order = np.argsort(both)
    ordered, begun = both[order], kin.start_unix_nano[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    counts = np.diff(np.append(starts, len(order)))
    group = np.repeat(np.arange(len(starts)), counts)
    earliest = np.flatnonzero(begun == np.minimum.reduceat(begun, starts)[group])
    first = np.empty(len(starts), dtype=np.int64)
    first[group[earliest]] = order[earliest]
    return kin.take(first), counts.astype(np.float64)


def _joined(parts: list[Kin]) -> Kin:
    parts = [part for part in parts if len(part.place)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    offsets = np.cumsum([0, *(part.source.num_rows for part in parts[:-1])])
    return Kin(
        np.concatenate([part.parent_id for part in parts]),
        np.concatenate([part.parent_code for part in parts]),
        np.concatenate([part.parent_end for part in parts]),
        np.concatenate([part.child_code for part in parts]),
        np.concatenate([part.child_tick for part in parts]),
        np.concatenate([part.start_unix_nano for part in parts]),
        np.concatenate([part.duration_ns for part in parts]),
        pa.concat_tables([part.source for part in parts]),
        np.concatenate([part.place + before for part, before in zip(parts, offsets, strict=True)]),
    )
