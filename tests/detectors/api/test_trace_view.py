from __future__ import annotations

from datetime import UTC, datetime

import pytest

from detectors.api.trace_view import load_trace_view


def test_attributes_and_events_are_shown_with_their_types(system, store, pipeline):
    """Attributes keep numbers and text; an event keeps its time to the nanosecond."""
    trace_id = system.order(btc=0.5)
    system.land()
    with store.transaction() as con:
        con.execute(
            """UPDATE spans_recent SET events = [{
                'time': make_timestamp_ns(1790000000123456789), 'name': 'exception',
                'attributes': '{"exception.type": "Deadlock", "retries": 3}'::JSON::VARIANT,
                'dropped_attributes_count': 0
            }] WHERE span_name = 'SELECT wallets'"""
        )
    spans = load_trace_view(store, pipeline.baselines, trace_id)["spans"]
    assert spans[0]["attributes"] == {"order.quantity": 0.5, "order.pair": "BTC/USD", "order.side": "BUY"}
    assert spans[0]["baseline"] is spans[0]["sigma"] is None
    assert spans[2]["events"] == [
        {
            "time_unix_nano": "1790000000123456789",
            "name": "exception",
            "attributes": {"exception.type": "Deadlock", "retries": 3},
        }
    ]


def test_long_trace_is_truncated_and_says_so(system, store, pipeline):
    """Spans beyond the limit are counted, not shown; times stay strings so that no digit is lost."""
    trace_id = system.order()
    system.land()
    view = load_trace_view(store, pipeline.baselines, trace_id, spans_max=2)
    assert (view["truncated"], view["span_count"], len(view["spans"])) == (True, 3, 2)
    assert view["spans"][0]["start_unix_nano"] == "1790000000000000000"


def test_a_cut_trace_keeps_what_failed_and_the_longest(system, store, pipeline):
    """Not the first spans stay, but the root, the one that failed although it is short, and the longest."""
    trace_id = system.order()
    system.land()
    with store.transaction() as con:
        con.execute(
            """INSERT INTO spans_recent
            SELECT s.* REPLACE (
                substr(md5(i::VARCHAR), 1, 16) AS span_id,
                CASE WHEN i = 200 THEN 'ERROR' ELSE 'UNSET' END AS status_code,
                i % 100 + 1 AS duration_ns
            )
            FROM spans_recent s, range(1, 201) r(i)
            WHERE s.trace_id = ? AND s.span_name = 'SELECT wallets'""",
            [trace_id],
        )
    view = load_trace_view(store, pipeline.baselines, trace_id, spans_max=6)
    assert (view["truncated"], view["span_count"], len(view["spans"])) == (True, 203, 6)
    assert [span["status_code"] for span in view["spans"]].count("ERROR") == 1
    assert sorted(span["duration_ns"] for span in view["spans"])[:3] == [1, 100, 100]
    assert [span["parent_span_id"] for span in view["spans"]].count(None) == 1


def test_orphans_are_marked(system, store, pipeline):
    """A span whose parent never landed stands at the top, marked."""
    trace_id = system.order()
    system.land(system.rows[1:])
    view = load_trace_view(store, pipeline.baselines, trace_id)
    assert [(span["orphan"], span["depth"]) for span in view["spans"]] == [(True, 0), (False, 1)]
    assert view["critical_path"] == [span["span_id"] for span in view["spans"]]


def test_hosts_whose_clocks_differ_are_drawn_on_one(system, store, pipeline):
    """A callee whose clock is a minute ahead stands within its caller's wait; its own start stays."""
    trace_id = system.order()
    for row in system.rows:
        row["start_unix_nano"] += 60 * 10**9 * (row["service_name"] == "kx-exchange")
        row["span_kind"] = "CLIENT" if row["service_name"] == "kx-wallet" else row["span_kind"]
    system.land()
    view = load_trace_view(store, pipeline.baselines, trace_id)
    root, server, query = view["spans"]
    assert view["duration_ns"] == root["duration_ns"]
    assert 0 < server["offset_ns"] < root["duration_ns"] - server["duration_ns"]
    assert query["offset_ns"] - server["offset_ns"] == 1_000_000
    assert abs(server["clock_ahead_ns"] - 60 * 10**9) < root["duration_ns"]
    assert root["clock_ahead_ns"] == 0
    assert int(server["start_unix_nano"]) - int(root["start_unix_nano"]) > 60 * 10**9
    assert not any(span["outlives_parent"] for span in view["spans"])
    assert len(view["critical_path"]) == 3


def test_each_span_is_compared_with_its_own_operation(system, store, trained):
    """Spans that are compared by operation have the figures that each would have by itself."""
    trace_id = system.order()
    system.land()
    with store.transaction() as con:
        con.execute(
            """INSERT INTO spans_recent
            SELECT s.* REPLACE (
                substr(md5(i::VARCHAR), 1, 16) AS span_id, duration_ns * (i + 1) AS duration_ns
            )
            FROM spans_recent s, range(1, 4) r(i)
            WHERE s.trace_id = ? AND s.span_name = 'SELECT wallets'""",
            [trace_id],
        )
    view = load_trace_view(store, trained.baselines, trace_id)
    assert len({span["baseline"]["p50_ns"] for span in view["spans"]}) == 3
    assert len({span["sigma"] for span in view["spans"]}) == 6
    for span in view["spans"]:
        began = datetime.fromtimestamp(int(span["start_unix_nano"]) / 1e9, UTC)
        hour = began.weekday() * 24 + began.hour
        operation = span["span_name"]
        model = trained.baselines.duration(span["service_name"], operation, span["span_kind"], hour)
        assert model is not None
        assert span["sigma"] == pytest.approx(float(model.tail.sigma(span["duration_ns"])))
        assert span["percentile"] == pytest.approx(
            100 * (1 - float(model.tail.survival(span["duration_ns"])))
        )
        assert span["excess_ns"] == span["duration_ns"] - model.tail.p50
        assert span["baseline"]["cell"] == model.cell
