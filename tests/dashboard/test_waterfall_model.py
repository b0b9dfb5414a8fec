from __future__ import annotations

import doctest
from typing import Any

from dashboard.components.waterfall import model, span_details
from dashboard.components.waterfall.model import payload
from dashboard.components.waterfall.span_details import Extras, details
from dashboard.views.trace import head


def span(identifier: str, depth: int, offset_ns: int, duration_ns: int, **changes: Any) -> dict[str, Any]:
    row = {
        "span_id": identifier,
        "parent_span_id": None,
        "service_name": "shop",
        "span_name": "pay",
        "span_kind": "SERVER",
        "start_unix_nano": str(1_700_000_000_123_456_789 + offset_ns),
        "offset_ns": offset_ns,
        "duration_ns": duration_ns,
        "self_time_ns": duration_ns,
        "status_code": "UNSET",
        "status_message": "",
        "attributes": {},
        "events": [],
        "depth": depth,
        "on_critical_path": True,
        "orphan": False,
        "outlives_parent": False,
        "baseline": None,
        "excess_ns": None,
        "percentile": None,
        "sigma": None,
        "anomaly_ids": [],
    }
    return row | changes


def trace(*spans: dict[str, Any], **changes: Any) -> dict[str, Any]:
    row = {"trace_id": "t", "spans": list(spans), "duration_ns": 0, "services": [], "truncated": False}
    return row | {"span_count": len(spans)} | changes


def detail(one: dict[str, Any]) -> dict[str, Any]:
    """The details of the first span, by name."""
    sent = details(trace(one))
    return dict(zip(sent["names"], sent["rows"][0], strict=True))


def test_examples_in_the_docstrings_hold() -> None:
    """Every example in a docstring of the models is true."""
    for module, least in ((model, 1), (span_details, 2)):
        failed, tried = doctest.testmod(module)
        assert (failed, tried >= least) == (0, True)


def test_what_is_sent_later_belongs_to_the_picture() -> None:
    """Details carry the version of the picture that they belong to; another span is another version."""
    one, two = trace(span("a", 0, 0, 5)), trace(span("a", 0, 0, 5), span("b", 1, 0, 2))
    assert payload(one)["version"] == details(one)["version"] != payload(two)["version"]
    assert payload(two)["version"] == details(two)["version"]
    assert len(details(two)["rows"]) == len(payload(two)["columns"]["id"]) == 2


def test_start_is_exact_to_the_nanosecond() -> None:
    """A start beyond 2^53 ns keeps its last digits."""
    row = detail(span("a", 0, 0, 5))
    assert row["start_text"] == "2023-11-14 22:13:20.123456789 UTC"


def test_a_clock_that_differs_is_said() -> None:
    """The drawer gives the start as sent and how far that clock is off; the page names the service."""
    behind = span("a", 0, 0, 5, clock_ahead_ns=-40_000_000_000)
    text = detail(behind)["start_text"]
    assert text == "2023-11-14 22:13:20.123456789 UTC (clock 40 s behind, drawn without it)"
    said = head(trace(behind, span("b", 1, 0, 5, service_name="web", clock_ahead_ns=900)))
    assert "Clocks differ (shop: clock 40 s behind): spans are drawn where their callers waited" in said
    assert "22:14:00" in head(trace(behind))
    assert "Clocks" not in head(trace(span("a", 0, 0, 5, clock_ahead_ns=0)))


def test_excess_is_said_only_where_it_matters() -> None:
    """A span far over its baseline says by how much; noise says nothing."""
    baseline = {"p50_ns": 1_000_000, "p99_ns": 2_000_000, "sample_count": 9, "cell": "operation"}
    texts = payload(
        trace(
            span("slow", 0, 0, 481_000_000, baseline=baseline, excess_ns=480_000_000),
            span("noise", 1, 0, 1_100_000, baseline=baseline, excess_ns=100_000),
            span("small", 1, 0, 3_000_000, baseline=baseline, excess_ns=2_000_000),
            span("fast", 1, 0, 500_000, baseline=baseline, excess_ns=-500_000),
        )
    )["excess_texts"]
    assert texts == {"0": "+480 ms over baseline"}


def test_what_is_missing_is_said() -> None:
    """A cut trace and orphans each leave a notice; a complete trace none."""
    assert payload(trace(span("a", 0, 0, 5)))["notice"] == ""
    cut = payload(trace(span("a", 0, 0, 5, orphan=True), truncated=True, span_count=9000))
    assert "1 of 9,000 spans: those that failed or are anomalous, then the longest" in cut["notice"]
    assert "parent" not in cut["notice"]
    assert not cut["columns"]["flags"][0] & model.ORPHAN
    assert "parent that was not received" in payload(trace(span("a", 0, 0, 5, orphan=True)))["notice"]


def test_only_spans_of_the_trace_are_highlighted() -> None:
    """A citation of another trace's span marks nothing."""
    assert payload(trace(span("a", 0, 0, 5)), ["a", "zz"])["highlight"] == ["a"]


def test_children_that_outlive_the_root_still_fit() -> None:
    """The axis reaches to the last end, wherever that is; an empty trace has an axis too."""
    assert payload(trace(span("a", 0, 0, 5), span("b", 1, 3, 90)))["total_ns"] == 93
    assert payload(trace())["total_ns"] == 1


def test_attributes_are_bounded() -> None:
    """A span with thousands of attributes sends 200 and says how many more."""
    many = {f"k{n:04}": "v" * 5000 for n in range(1000)}
    pairs = detail(span("a", 0, 0, 5, attributes=many))["attributes"]
    assert (len(pairs), pairs[-1][1], len(pairs[0][1])) == (201, "800 more", 2000)


def test_event_offsets_count_from_the_trace() -> None:
    """An event's time is relative to the trace, as the spans' are."""
    event = {"name": "retry", "time_unix_nano": str(1_700_000_000_123_456_789 + 40), "attributes": {}}
    row = detail(span("a", 0, 10, 50, events=[event]))
    assert row["events"][0]["offset_ns"] == 40


def test_a_span_says_where_it_comes_from() -> None:
    """Resource, scope and trace state are sent once for all spans that share them, without empty ones."""
    scope = {"scope_name": "otel.sqlite", "scope_version": "", "trace_state": ""}
    origin = {"resource": '{"host.name": "db-1"}', **scope, "span_ids": ["b"]}
    sent = details(trace(span("a", 0, 0, 9), span("b", 1, 1, 2)), Extras(origins=[origin]))
    assert sent["origins"] == [{"resource": [["host.name", "db-1"]], "scope": [["name", "otel.sqlite"]]}]
    assert sent["origin_of"] == [-1, 0]
