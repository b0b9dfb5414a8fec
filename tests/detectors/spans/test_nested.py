from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest

from collector.store.store import Store
from detectors.baseline.learn import learn_times
from detectors.baseline.models import Baselines
from detectors.spans.latency import detect_latency
from detectors.spans.nested import EnclosingWatch, Slow, remaining_ns
from detectors.stream.span_groups import group_spans

MS = 1_000_000
ALONE = "SELECT operation FROM anomalies WHERE detector = 'latency' ORDER BY operation"


def operations(store: Store) -> list[str]:
    return [row["operation"] for row in store.read(ALONE).to_pylist()]


def longer(system, span_name: str, more_ns: int) -> None:
    """The newest span of this name takes so much more by itself."""
    row = [row for row in system.rows if row["span_name"] == span_name][-1]
    row["duration_ns"] += more_ns


def spans(rows: list[tuple[str, str, float]]) -> pa.Table:
    """(span id, operation, ms) that begin together; ids of parents are for the test to add."""
    count = len(rows)
    ids, names, durations_ms = zip(*rows, strict=True)
    return pa.table(
        {
            "trace_id": ["t"] * count,
            "span_id": ids,
            "parent_span_id": pa.nulls(count, pa.string()),
            "service_name": ["shop"] * count,
            "operation": names,
            "span_kind": ["INTERNAL"] * count,
            "start_unix_nano": [1_790_000_000 * 10**9] * count,
            "duration_ns": (np.array(durations_ms) * MS).astype(np.int64),
            "operation_key": [f"shop\x1f{name}\x1fINTERNAL" for name in names],
            "is_new": [True] * count,
            "flagged": [False] * count,
            "in_incident": [False] * count,
        }
    )


@pytest.mark.parametrize(
    ("within", "left"),
    [
        ([], 50),
        ([Slow(5 * MS, 45 * MS, 38 * MS, 5)], 12),
        ([Slow(5 * MS, 20 * MS, 10 * MS, 5), Slow(20 * MS, 45 * MS, 20 * MS, 5)], 20),
        ([Slow(5 * MS, 45 * MS, 30 * MS, 5), Slow(6 * MS, 45 * MS, 30 * MS, 5)], 20),  # at the same time
        ([Slow(60 * MS, 900 * MS, 800 * MS, 5)], 50),  # begins after its parent has ended
        ([Slow(40 * MS, 900 * MS, 800 * MS, 5)], 40),  # outlasts it
        ([Slow(-900 * MS, 10 * MS, 800 * MS, 5)], 40),  # a clock that is behind
    ],
)
def test_own_time_is_what_slow_spans_within_leave(within, left):
    """The excess of each slow span within is taken off, as far as the two overlap."""
    assert remaining_ns(0, 50 * MS, within) == left * MS


def test_one_slow_statement_is_one_anomaly(trained, system, store):
    """Request and client were slow because of the statement in them: the statement alone is anomalous."""
    system.order(db_ns=60 * MS)
    trained.judge_landed(system.land())
    assert operations(store) == ["SELECT wallets"]


def test_each_own_slowness_is_an_anomaly(trained, system, store):
    """A client that was slow on top of its slow statement is one as well, the request between them is not."""
    system.order(db_ns=60 * MS)
    longer(system, "order.submit.client", 80 * MS)
    trained.judge_landed(system.land())
    assert operations(store) == ["SELECT wallets", "order.submit.client"]


@pytest.mark.parametrize(("hiccups", "enclosing"), [(0, {("t", "request")}), (10, set())])
def test_the_worst_severity_of_a_trace_stays(settings, hiccups, enclosing):
    """A request that is never slow is worse off than its statement, which often is: then both are shown."""
    rng = np.random.default_rng(1)
    usual_ms = np.exp(0.2 * rng.standard_normal(1_000))
    statements = np.where(np.arange(1_000) < hiccups, 30.0, usual_ms)
    baselines = Baselines(settings)
    for name, durations_ms in (("statement", statements), ("request", 2 * usual_ms)):
        baselines.add(learn_times(spans([(f"{name} {n}", name, ms) for n, ms in enumerate(durations_ms)])))
    judged = spans([("statement", "statement", 60.0), ("request", "request", 61.0)])
    judged = judged.append_column("span_hash", pa.array([2, 1], pa.uint64()))
    judged = judged.append_column("parent_hash", pa.array([1, 0], pa.uint64()))
    groups = group_spans(judged, baselines.duration)
    alone = detect_latency(judged, groups, settings)
    assert EnclosingWatch().observe(judged, groups, alone) == enclosing


def test_parents_that_land_later_are_told_by_what_landed_before(trained, system, store):
    """The spans of a trace come in any number of batches."""
    system.order(db_ns=60 * MS)
    client, request, statement = system.rows
    for row in (statement, request, client):
        trained.judge_landed(system.land([row]))
    assert operations(store) == ["SELECT wallets"]


def test_incident_has_what_was_held_back_before_it(trained, system, clock, store):
    """An incident holds every slow span of its traces, also those from before it was one."""
    for _ in range(3):
        for _ in range(30):
            system.order(db_ns=150 * MS)
        trained.judge_landed(system.land())
        clock.now_s += 1
    counts = store.read(
        "SELECT operation, count(*) AS n, count(incident_id) AS held FROM anomalies GROUP BY ALL ORDER BY 1"
    )
    assert counts.to_pylist() == [
        {"operation": name, "n": 90, "held": 90}
        for name in ("POST /api/v1/orders", "SELECT wallets", "order.submit.client")
    ]


def test_held_spans_are_not_learned(trained, system, clock, store):
    """Spans that were slow because of a span within them are not learned."""

    def learned() -> Mapping[str, int]:
        rows = store.read(
            "SELECT operation, sum(sample_count)::BIGINT AS n FROM baseline_sketches "
            "WHERE measure = 'duration' AND NOT flagged GROUP BY operation"
        ).to_pylist()
        return {row["operation"]: row["n"] for row in rows}

    before = learned()
    for _ in range(5):
        system.order(db_ns=60 * MS)
        trained.judge_landed(system.land())
        clock.now_s += 400
        trained.learn_settled()
    system.order()
    trained.judge_landed(system.land())
    clock.now_s += 10
    trained.learn_settled()
    assert learned() == {operation: count + 1 for operation, count in before.items()}
