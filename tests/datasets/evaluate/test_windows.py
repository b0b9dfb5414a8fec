from __future__ import annotations

import pyarrow as pa
import pytest

from datasets.evaluate.windows import Window, at_cases

CASE = Window("one", 100, 160, "met")


def silent(since: int | None, until: int | None, run: str = "one") -> pa.Table:
    """One anomaly at the last ordinary span of what fell silent."""
    stretch = {"window_since_unix_nano": [since], "window_until_unix_nano": [until]}
    table = pa.table({"trace_id": ["ordinary"], "run": [run]})
    for name, values in stretch.items():
        table = table.append_column(name, pa.array(values, pa.int64()))
    return table


@pytest.mark.parametrize(
    ("anomaly", "trace_id"),
    [
        (silent(101, 131), "met"),
        (silent(80, 120), "met"),  # half of it
        (silent(79, 119), "ordinary"),  # less
        (silent(101, 131, run="two"), "ordinary"),
        (silent(None, None), "ordinary"),  # it states no stretch: a span's own anomaly
    ],
)
def test_a_silence_is_scored_with_the_case_it_falls_into(anomaly: pa.Table, trace_id: str) -> None:
    """An anomaly that states its stretch counts on a trace of the case that fills half of it."""
    assert at_cases(anomaly, [CASE])["trace_id"].to_pylist() == [trace_id]


def test_the_case_that_fills_most_of_a_stretch_has_it() -> None:
    """Of two cases in one stretch the one with the larger part is meant, in either order."""
    brief = Window("one", 100, 117, "brief")
    for windows in ([brief, CASE], [CASE, brief]):
        assert at_cases(silent(100, 130), windows)["trace_id"].to_pylist() == ["met"]


def test_a_case_is_as_long_as_its_affected_spans() -> None:
    """Spans of its other traces do not lengthen it; a case without any has no window."""
    spans = pa.table(
        {"trace_id": ["met", "other", "met"], "run": ["one"] * 3, "start_unix_nano": [100, 900, 160]}
    )
    assert Window.of(spans, ["met"]) == CASE
    assert Window.of(spans, ["gone"]) is None
