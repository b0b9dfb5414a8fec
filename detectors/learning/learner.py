"""Learns from landed spans exactly once, some time after they were judged.

The learner is a reader of its own with a position of its own: what it adds to the sketches and the batch
it has reached are committed together, so a restart neither forgets nor counts twice. It waits for traces
to settle, so that flags and incidents are known and late relatives are there.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from collector.store.prices import read_prices
from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.baseline.form_store import append_forms, compact_forms
from detectors.baseline.forms import FormBook
from detectors.baseline.learn import learn_amounts
from detectors.baseline.models import Baselines
from detectors.baseline.persist import (
    append_sketches,
    compact_sketches,
    read_position,
    save_fitted,
    save_position,
)
from detectors.baseline.sketch_index import DELTA_SCHEMA, MESSAGE_WAIT, SketchBook
from detectors.learning.adoption import Adoption, ErrorRates
from detectors.learning.exclusions import Exclusion
from detectors.learning.expectation import expected
from detectors.learning.lessons import Lessons, learn_and_score
from detectors.learning.probation import Probation
from detectors.orders.amount_columns import SCHEMA as AMOUNTS
from detectors.orders.amount_columns import read_amounts
from detectors.scoring.store import TraceScoreStore
from detectors.scoring.stretches import Stretches
from detectors.settings import Settings
from detectors.spans.speedup import Episode
from detectors.stream.batch_ranges import batch_ids, chunks, span_batches
from detectors.stream.set_aside import SetAside

_QUERIES = "detectors.learning.queries"
_READER = "learn"
_COMPACT_ROWS_MIN = 100_000
_COMPACT_GROWTH = 4.0
_log = logging.getLogger("spyhop.detectors")


class Detected(ErrorRates, Protocol):
    """Knowledge of detectors that learning needs."""

    @property
    def episodes(self) -> Iterable[Episode]: ...

    def stretches(self) -> Stretches: ...


class Learner:
    """One pass at a time; the pipeline's thread owns it."""

    def __init__(
        self,
        store: Store,
        baselines: Baselines,
        settings: Settings,
        detected: Detected,
        set_aside: SetAside | None = None,
    ) -> None:
        self._store = store
        self._set_aside = set_aside or SetAside(store)
        self._baselines = baselines
        self._settings = settings
        self._adoption = Adoption(store, baselines, settings, detected)
        self._exclusion = Exclusion(store, baselines)
        self._detected = detected
        self.position = read_position(store, _READER)
        self._judged: deque[tuple[float, int]] = deque()  # (when, newest batch judged by then)
        self._settled = 0  # old enough batches, learned or not yet: learning may fail
        self._rows = self._rows_compacted = self._row_count()
        self._form_rows = self._form_rows_compacted = self._row_count("span_forms")
        self._probation = Probation()
        self._scores = TraceScoreStore()

    def note_judged(self, batch_id: int, now_s: float) -> None:
        """Detection has passed `batch_id`; its spans may be learned after the delay."""
        if not self._judged or batch_id > self._judged[-1][1]:
            self._judged.append((now_s, batch_id))

    def settled_batch_id(self, now_s: float) -> int:
        """The newest batch that is old enough to be learned."""
        while self._judged and now_s - self._judged[0][0] >= self._settings.detect_learn_delay_s:
            self._settled = max(self._settled, self._judged.popleft()[1])
        return max(self._settled, self.position)

    def learn(self, upto_batch_id: int, now_unix_nano: int) -> int:
        """Learn everything up to this batch, in chunks; returns how many sketch rows were added."""
        self._exclusion.take_out(now_unix_nano)
        rows_before = self._rows
        for span in chunks(self._store, self.position, upto_batch_id, self._settings):
            self._set_aside.read(
                _READER,
                span,
                lambda after, upto: self._learn(after, upto, now_unix_nano),
                self._batches,
                lambda batch_id: self._pass_over(batch_id, now_unix_nano),
            )
        added = self._rows - rows_before
        for version in self._adoption.decide(self.position, now_unix_nano):
            _log.info("baseline %s", version.text)
        if self._rows > max(_COMPACT_ROWS_MIN, _COMPACT_GROWTH * self._rows_compacted):
            with self._store.transaction() as con:
                compact_sketches(con)
            self._rows = self._rows_compacted = self._row_count()
        if self._form_rows > max(_COMPACT_ROWS_MIN, _COMPACT_GROWTH * self._form_rows_compacted):
            with self._store.transaction() as con:
                compact_forms(con)
            self._form_rows = self._form_rows_compacted = self._row_count("span_forms")
        return added

    def _learn(self, after: int, upto: int, now_unix_nano: int) -> None:
        deltas, lessons = self._read(after, upto, self._adoption.observe)
        book = self._baselines.forms
        forms = self._probation.admit(lessons.forms, lessons.unusual, book, now_unix_nano)
        with self._store.transaction() as con:
            append_sketches(con, deltas)
            append_forms(con, forms)
            self._scores.save(con, lessons.scores, now_unix_nano)
            save_position(con, _READER, upto, now_unix_nano)
        self._exclusion.learned(self.position, upto, now_unix_nano)
        self.position = upto
        self._rows += deltas.num_rows
        self._form_rows += len(forms)
        for row in forms:
            book.add(row)
        touched = self._baselines.add(deltas)
        with self._store.transaction() as con:
            save_fitted(con, self._baselines, touched, now_unix_nano)

    def _pass_over(self, batch_id: int, now_unix_nano: int) -> None:
        """Go on behind a batch that cannot be learned."""
        with self._store.transaction() as con:
            save_position(con, _READER, batch_id, now_unix_nano)
        self.position = batch_id

    def _batches(self, after: int, upto: int) -> list[int]:
        return batch_ids(span_batches(self._store, after, upto))

    def expect(
        self, incident: dict[str, Any], said_by: str | None, judged_batch_id: int, now_unix_nano: int
    ) -> list[str]:
        """An engineer says that an incident is normal: returns a line for each operation that was adopted."""
        return expected(self._store, self._adoption, incident, said_by, (judged_batch_id, now_unix_nano))

    def take(self, deltas: pa.Table, now_unix_nano: int) -> int:
        """Add what detection itself has measured, such as how long messages waited."""
        if not deltas.num_rows:
            return 0
        with self._store.transaction() as con:
            append_sketches(con, deltas)
        self._rows += deltas.num_rows
        self._baselines.add(deltas)
        return int(deltas.num_rows)

    def relearn(self, now_unix_nano: int) -> dict[str, int]:
        """Forget the sketches and learn all stored spans up to the present position again.

        The old baselines serve until the new ones are complete.
        """
        kept = self._store.read(load_sql("detectors.baseline.queries", "read_sketches"))
        # These cannot be computed from single spans: they were measured at landing, and are kept.
        parts = [kept.filter(pc.equal(kept["measure"], MESSAGE_WAIT)).cast(DELTA_SCHEMA)]
        book = SketchBook()
        book.add(parts[0])
        forms = FormBook()

        def add(after: int, upto: int) -> None:
            deltas, lessons = self._read(after, upto)
            book.add(deltas)
            parts.append(deltas)
            for row in lessons.forms + lessons.unusual:
                forms.add(row)

        for span in chunks(self._store, 0, self.position, self._settings):
            self._set_aside.read(_READER, span, add, self._batches, lambda _: None, tries=1)
        with self._store.transaction() as con:
            con.execute("DELETE FROM baseline_sketches")
            append_sketches(con, pa.concat_tables(parts))
            compact_sketches(con)
            con.execute("DELETE FROM span_forms")
            append_forms(con, forms.rows())
        self._baselines.replace(book, forms)
        with self._store.transaction() as con:
            count = save_fitted(con, self._baselines, None, now_unix_nano)
        self._rows = self._rows_compacted = self._row_count()
        self._form_rows = self._form_rows_compacted = self._row_count("span_forms")
        return {"baselines": count, "sketch_rows": self._rows, "position": self.position}

    def _read(
        self, after: int, upto: int, see: Callable[[pa.Table], None] = lambda _: None
    ) -> tuple[pa.Table, Lessons]:
        """(rows of sketches, the other figures of these batches)."""
        bounds = {"after": after, "upto": upto}
        (times,) = self._store.read(load_sql(_QUERIES, "settled_bounds"), bounds).to_pylist()
        spans = self._store.read(load_sql(_QUERIES, "settled_spans"), {**bounds, **times})
        see(spans)
        spans = self._exclusion.mark(spans, self._detected.episodes)
        stretches = self._detected.stretches()
        if not self._settings.enable_amount_anomaly_detection:
            lessons = learn_and_score(
                spans, AMOUNTS.empty_table(), self._baselines, after, upto, stretches=stretches
            )
            return lessons.times, lessons
        amounts = read_amounts(self._store.read, after, upto, read_prices(self._store))
        whales = self._store.read(load_sql(_QUERIES, "whale_traces"))
        lessons = learn_and_score(spans, amounts, self._baselines, after, upto, stretches=stretches)
        return pa.concat_tables([lessons.times, learn_amounts(amounts, whales["trace_id"])]), lessons

    def _row_count(self, table: str = "baseline_sketches") -> int:
        count = f"SELECT count(*) AS n FROM {table}"  # noqa: S608  # a name of this module
        return int(self._store.read(count)["n"][0].as_py())
