from __future__ import annotations

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


def test_a_repeated_delivery_is_charged_to_who_takes_it(shop, causes):
    """A server span twice under one client span: the service that is called twice is the cause."""
    for _ in range(20):
        shop.trace()
        again(shop, 1, "f")
    first = causes()[0]
    assert (first["service"], first["operation"]) == ("price", "quote")


def test_calls_as_often_as_usual_are_no_surplus(shop, usual):
    """One call of each kind is what is usual; a kind that was never seen has no usual number."""
    shop.trace()
    again(shop, 2, "d")
    shop.spans[-1]["operation"] = "SELECT new"
    traces = Traces.of(shop.span_table(), usual)
    rows = surplus_calls(traces)
    assert [traces.span(int(row))["span_id"][-2:] for row in rows] == ["-0"]
