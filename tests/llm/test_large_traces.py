"""Traces of one span, of 5,000 and of 200,000: all of a trace is analysed, however large it is."""

from __future__ import annotations

import re
import time
import tracemalloc
from typing import Any

import pytest

from llm.explanation import Subject
from tests.llm.support import INSERT_SPAN, SLOW_TRACE, T0
from tests.pace import check_cpu

TRACE = Subject(kind="trace", id=SLOW_TRACE)
CALL_NS = 1_300_000


def many_calls(shop: Any, count: int) -> None:
    """One request of `count` calls, one after the other, 1.3 ms each where 0.1 ms is usual."""
    shop.baseline("shop-web", "GET /report", "SERVER", 12, 4)
    shop.baseline("shop-web", "SELECT lines", "CLIENT", 0.1, 0.1)
    root = shop.span(SLOW_TRACE, "shop-web", "GET /report", "SERVER", ms=count * CALL_NS / 1e6 + 5)
    values = {
        "trace_id": SLOW_TRACE, "parent": root, "service": "shop-web", "name": "SELECT lines",
        "kind": "CLIENT", "duration": CALL_NS, "status": "UNSET", "message": "",
        "attributes": '{"db.system.name": "postgresql"}', "exception": None, "span_id": "", "start": 0,
    }  # fmt: skip
    sql = INSERT_SPAN.replace("$span_id", "format('{:016x}', n + 1000)").replace(
        "make_timestamp_ns($start) AS start_time", "make_timestamp_ns($start + n * $step) AS start_time"
    )
    del values["span_id"]
    sql = f"{sql} FROM range({count}) AS r(n)"
    with shop.store.transaction() as connection:
        connection.execute(sql, {**values, "start": T0 + 1_000_000, "step": CALL_NS})


def test_a_lone_span_is_no_absence(shop: Any, explainer: Any) -> None:
    """A stored trace of one span is explained as such, not as spans that have not landed."""
    shop.span(SLOW_TRACE, "shop-web", "GET /cart", "SERVER", ms=180)
    explanation = explainer.analyse(TRACE)
    assert "GET /cart in shop-web took 180 ms, the only span of its trace [E1]." in explanation.summary
    assert "landed" not in explanation.summary
    assert "No cause stands out" in explanation.summary


def test_nothing_stored_says_so(slow_shop: Any, explainer: Any) -> None:
    """Only where no span is stored does the text say that there is none."""
    slow_shop.store.cursor().execute("DELETE FROM spans_recent; UPDATE incidents SET exemplar_trace_id = ''")
    slow_shop.store.cursor().execute("DELETE FROM anomalies")
    summary = explainer.analyse(Subject(kind="incident", id="in-slow")).summary
    assert "have not landed, or have expired" in summary


def test_5000_spans(shop: Any, explainer: Any) -> None:
    """A trace beyond 5,000 spans is explained as a whole, within 300 ms."""
    many_calls(shop, 6_000)
    took_s = []
    for _ in range(3):
        started_s = time.process_time()
        explanation = explainer.analyse(TRACE, refresh=True)
        took_s.append(time.process_time() - started_s)
    assert "took 7.8 s of self time in 6,000 calls" in explanation.summary
    assert "6,001 spans" in " ".join(fact.statement for fact in explanation.evidence)
    print(f"{min(took_s) * 1000:.0f} ms of CPU")
    check_cpu(min(took_s), 0.3)


@pytest.mark.parametrize("count", [200_000])
def test_200000_spans(shop: Any, explainer: Any, count: int) -> None:
    """200,000 spans cost seconds and a bounded amount of memory, and nothing of them is left out."""
    many_calls(shop, count)
    tracemalloc.start()
    explainer.analyse(TRACE)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    started_s = time.process_time()
    explanation = explainer.analyse(TRACE, refresh=True)
    took_s = time.process_time() - started_s
    print(f"{took_s:.1f} s of CPU, {peak_bytes / 1e6:.0f} MB")
    assert re.search(r"took 4\.33 min of self time in 200,000 calls", explanation.summary)
    check_cpu(took_s, 5)
    assert peak_bytes <= 500e6
