"""Pages of examples → what they teach, half of it in a second process: judging is two thirds of an export.

A second process costs about 110 MB, so there is only one; while it is busy, this process judges the pages
that the other has not begun.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from datasets.export.gold import Reject
from datasets.export.labelled import Labelled, labelled_of
from datasets.export.lesson import Lesson, lessons_of

Taught = list[Lesson | Reject]
StoredRow = Mapping[str, Any]
WORTH_A_PROCESS = 2_000  # examples; its start costs as much as judging so many
# Two are begun or about to begin, one waits for the process that is free first, one is being read: 8 MB.
PAGES_AHEAD = 4


@dataclass
class _Page:
    rows: Sequence[StoredRow]
    future: Future[Taught]
    taught: Taught | None = None

    def done(self) -> bool:
        return self.taught is not None or self.future.done()

    def result(self) -> Taught:
        """What its examples teach; judged here if the other process has died."""
        if self.taught is None:
            try:
                self.taught = self.future.result()
            except (BrokenExecutor, CancelledError):
                self.judge()
        assert self.taught is not None
        return self.taught

    def judge(self) -> None:
        self.taught = _judge_rows(self.rows)


def judge_beside(pages: Iterable[Sequence[StoredRow]]) -> Iterator[tuple[Labelled, Lesson | Reject]]:
    """Each example of the pages with what it teaches, in their order."""
    # Spawned: this process has threads, of which a fork would copy the locks.
    with ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent
    ) as pool:
        waiting: deque[_Page] = deque()
        for rows in pages:
            waiting.append(_Page(rows, _submitted(pool, rows)))
            if len(waiting) >= PAGES_AHEAD:
                yield from _first(waiting)
        while waiting:
            yield from _first(waiting)


def _first(waiting: deque[_Page]) -> Iterator[tuple[Labelled, Lesson | Reject]]:
    """The examples of the first page; while the other process judges it, the last ones are judged here."""
    while not waiting[0].done():
        own = next((page for page in reversed(waiting) if not page.done() and page.future.cancel()), None)
        if own is None:
            break
        own.judge()
    page = waiting.popleft()
    yield from zip(map(labelled_of, page.rows), page.result(), strict=True)


def _submitted(pool: ProcessPoolExecutor, rows: Sequence[StoredRow]) -> Future[Taught]:
    try:
        return pool.submit(_judge_rows, rows)
    except BrokenExecutor as error:
        broken: Future[Taught] = Future()
        broken.set_exception(error)
        return broken


def _judge_rows(rows: Sequence[StoredRow]) -> Taught:
    return lessons_of([labelled_of(row) for row in rows])


def _end_with_parent() -> None:
    """Ctrl-C is handled by the parent; when the parent is killed, this process ends, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
