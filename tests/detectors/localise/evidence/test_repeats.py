from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from detectors.localise import localise
from detectors.localise.evidence.repeats import surplus_calls
from detectors.localise.traces import Traces

MS = 1_000_000


def again(shop, times: int, span: str = "d") -> None:
    """The last trace's span once more, so many times."""
    known = next(row for row in reversed(shop.spans) if row["span_id"].startswith(span))
    for number in range(times):
        start = known["start_unix_nano"] + number + 1
        shop.spans.append({**known, "span_id": f"{known['span_id']}-{number}", "start_unix_nano": start})


def test_a_query_in_a_loop_is_charged_to_the_query(shop, causes):
    """Thirty reads where there is usually one: the repeated call is the cause, not its caller."""
    for _ in range(20):
        shop.trace()
        again(shop, 29)
    first = causes()[0]
    assert (first["service"], first["operation"], first["kind"]) == ("stock", "SELECT stock", "count")
    assert (
        "was called again by the same span in 97% of its calls, usually in 0%" in first["evidence"][0]["text"]
    )


def test_a_repeated_delivery_is_charged_to_who_takes_it(shop, usual):
    """A message that is taken twice: the service that takes it twice is the cause."""
    for _ in range(20):
        shop.trace()
        again(shop, 1, "f")
    messages = replace(usual, spans=sent_as_messages(usual.spans))
    first = localise(sent_as_messages(shop.span_table()), messages)[0]
    assert (first["service"], first["operation"]) == ("price", "quote")


def sent_as_messages(spans: pa.Table) -> pa.Table:
    """The same spans, in which the price is asked for by a message."""
    kinds = {"ask": "PRODUCER", "quote": "CONSUMER"}
    rows = [{**row, "span_kind": kinds.get(row["operation"], row["span_kind"])} for row in spans.to_pylist()]
    return pa.Table.from_pylist(rows, schema=spans.schema)


def test_a_call_repeated_within_its_client_span_is_the_callers(shop, causes):
    """Three server spans under one client span, none of which failed: who calls has asked three times."""
    for _ in range(20):
        shop.trace()
        again(shop, 2, "f")
    first = causes()[0]
    assert (first["service"], first["operation"], first["kind"]) == ("stock", "ask", "count")
    assert first["evidence"][0]["text"] == (
        "ask repeated its call: one span holds 3 of quote in price, none of which failed, as in 100% of its"
        " calls, usually in 0%"
    )


@pytest.mark.parametrize("code", [None, "503", "429"])
def test_a_retry_after_a_failure_is_charged_to_what_failed(shop, usual, code):
    """The first attempt failed, by its status or that of HTTP alone: the callee is charged, both are told."""
    for _ in range(20):
        shop.trace()
        first = shop.spans[-1]
        again(shop, 1, "f")
        first["status_code"] = "UNSET" if code else "ERROR"
    failed = [row for row in shop.spans if row["operation"] == "quote" and "-0" not in row["span_id"]]
    attributes = pa.table(
        {
            "trace_id": [row["trace_id"] for row in failed],
            "span_id": [row["span_id"] for row in failed],
            "key": ["http.response.status_code"] * len(failed),
            "value": [code or "200"] * len(failed),
        }
    )
    first = localise(shop.span_table(), usual, None, attributes)[0]
    assert (first["service"], first["operation"]) == ("price", "quote")
    assert any(
        "quote was called again by the same span, after it had failed, in 50%" in item["text"]
        for item in first["evidence"]
    )


def test_calls_as_often_as_usual_are_no_surplus(shop, usual):
    """One call of each kind is what is usual; a kind that was never seen has no usual number."""
    shop.trace()
    again(shop, 2, "d")
    shop.spans[-1]["operation"] = "SELECT new"
    traces = Traces.of(shop.span_table(), usual)
    rows = surplus_calls(traces)
    assert [traces.span(int(row))["span_id"][-2:] for row in rows] == ["-0"]
