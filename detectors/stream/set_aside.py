"""Readers never stop for good: a batch that fails again and again is set aside, counted and named.

Whatever a sender sends and the receivers take, the batch after it must be read too. A range of batches that
fails is tried again by the next passes, since the cause may be gone by then; the third time its batches are
taken one by one, and those that fail by themselves are noted in `set_aside_batches` and passed over. Faults
of the machine, such as a full disk, are no batch's own: they are tried for ever.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from collector.errors import Unavailable
from collector.store.faults import MACHINE_FAULTS
from collector.store.sqlfile import load_sql
from collector.store.store import Store

TRIES = 3
_QUERIES = "detectors.stream.queries"
_NOT_OF_THE_BATCH = (*MACHINE_FAULTS, OSError, MemoryError, Unavailable)
_ERROR_CHARS = 500
_log = logging.getLogger("spyhop.detectors")

Range = tuple[int, int]  # batches after the first, up to the second


class SetAside:
    """Counts what fails; the pipeline's thread owns it, `status` may be called by any."""

    def __init__(self, store: Store, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._store = store
        self._clock_ns = clock_ns
        self._failed: dict[str, tuple[int, int]] = {}  # reader → (the range's begin, how often in a row)
        self._named: list[dict[str, object]] = []
        self._count = 0
        self._look()

    def read(
        self,
        reader: str,
        span: Range,
        take: Callable[[int, int], object],
        batches: Callable[[int, int], Iterable[int]],
        passed: Callable[[int], object],
        *,
        tries: int = TRIES,
    ) -> None:
        """`take(after, upto)`, or without those of its batches that cannot be taken.

        Args:
            reader: whose position stands before this range.
            batches: the ids of the batches of a range.
            passed: called with the id of a batch that was set aside: the position moves beyond it.
            tries: so often a range must have failed.

        Raises:
            Exception: what `take` raised, where it is to be tried again.
        """
        after, upto = span
        try:
            take(after, upto)
        except _NOT_OF_THE_BATCH:
            raise
        except Exception as error:
            begun, count = self._failed.get(reader, (after, 0))
            count = count + 1 if begun == after else 1
            self._failed[reader] = after, count
            if count < tries:
                raise
            _log.warning("%s failed %d times, taking its batches one by one: %s", reader, count, error)
            self._one_by_one(reader, after, [*batches(after, upto), upto], take, passed)
        self._failed.pop(reader, None)

    def status(self) -> dict[str, object]:
        """How many batches were set aside, and the newest of them."""
        return {"count": self._count, "batches": self._named}

    def _one_by_one(
        self,
        reader: str,
        after: int,
        ends: Iterable[int],
        take: Callable[[int, int], object],
        passed: Callable[[int], object],
    ) -> None:
        for batch_id in sorted(set(ends)):
            try:
                take(after, batch_id)
            except _NOT_OF_THE_BATCH:
                raise
            except Exception as error:
                self._note(reader, batch_id, error)
                passed(batch_id)
            after = batch_id

    def _note(self, reader: str, batch_id: int, error: Exception) -> None:
        _log.exception("%s goes on without batch %d", reader, batch_id)
        row = {
            "reader": reader,
            "batch_id": batch_id,
            "now": self._clock_ns(),
            "error": f"{type(error).__name__}: {error}"[:_ERROR_CHARS],
        }
        with self._store.transaction() as con:
            con.execute(load_sql(_QUERIES, "insert_set_aside"), row)
        self._look()

    def _look(self) -> None:
        rows = self._store.read(load_sql(_QUERIES, "newest_set_aside")).to_pylist()
        self._count = rows[0]["total"] if rows else 0
        self._named = [{key: row[key] for key in row if key != "total"} for row in rows]
