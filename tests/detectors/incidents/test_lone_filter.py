from __future__ import annotations

import pytest

from detectors.incidents.lone_filter import HeldBack
from detectors.incidents.tracker import Grouped
from detectors.model.anomaly import LATENCY, Anomaly
from detectors.settings import Settings
from detectors.spans.latency_shift import RULE

MS = 1_000_000


@pytest.fixture
def settings() -> Settings:
    """Chance may give one lone anomaly in a thousand hours."""
    return Settings(detect_lone_per_hour=0.001)


def test_what_chance_gives_is_no_anomaly_but_noted(trained, system, store):
    """A hiccup that the spans of an hour explain is kept from the anomalies and from the baseline."""
    system.order(db_ns=15 * MS)
    trained.judge_landed(system.land())
    assert store.read("SELECT * FROM anomalies").num_rows == 0
    held = store.read("SELECT span_name FROM held_spans JOIN spans USING (trace_id, span_id)")
    assert "SELECT wallets" in held["span_name"].to_pylist()


@pytest.mark.parametrize("settings", [Settings(detect_lone_per_hour=1.0)])
def test_what_chance_does_not_give_is_an_anomaly(trained, system, store):
    """Five seconds are beyond what an hour at 80 spans a second explains; that takes one in 300,000."""
    system.order(db_ns=5_000 * MS)
    trained.judge_landed(system.land())
    assert store.read("SELECT operation FROM anomalies")["operation"].to_pylist() == ["SELECT wallets"]


def test_trouble_is_found_by_what_was_held_back(trained, system, clock, store):
    """Spans that are no anomalies alone still make the incident, and then all of them are in it."""
    for _ in range(3):
        for _ in range(5):
            system.order(db_ns=15 * MS)
            system.now_ns += 500 * MS
        trained.judge_landed(system.land())
        clock.now_s += 5
    rows = store.read("SELECT count(*) AS n, count(incident_id) AS held FROM anomalies").to_pylist()
    assert store.read("SELECT count(*) AS n FROM incidents")["n"][0].as_py() == 1
    assert rows[0]["n"] == rows[0]["held"] >= 15


def test_the_hour_slides(settings):
    """Spans of more than an hour ago explain nothing."""
    held = HeldBack(settings)
    assert held.count(1_000_000, 0.0) > held.count(0, 3_700.0) == HeldBack(settings).count(0, 0.0)


def test_a_busy_system_is_known_from_its_first_minute(settings):
    """Counted is a rate: a minute of a thousand spans a second asks for as much as an hour of it."""
    held = HeldBack(settings)
    first = [held.count(10_000, float(at_s)) for at_s in range(0, 3_600, 10)]
    assert first[6] == pytest.approx(first[-1], abs=0.05)


def test_a_shift_that_chance_gives_is_held_until_it_is_sure():
    """One of 3σ that nothing confirms is held back, one of 6σ is shown, however small its spans are."""
    held = HeldBack(Settings())
    least = held.count(10_000, 0.0)
    said = {"rule": RULE, "span_sigma": 2.5}
    row = ("t", "s", "shop", "buy", "SERVER", 0, 9, 2.0, 1.0, "ns", "operation", 100)
    weak, sure = (Anomaly(f"{s}", LATENCY, 5, 3.3, *row, {**said, "shift_sigma": s}) for s in (3.3, 6.0))
    grouped = Grouped(anomalies=[weak, sure])
    assert held.settle(grouped, [], set(), least, 0.0) == ([], [weak])
    assert grouped.anomalies == [sure]


def test_what_becomes_worse_as_it_joins_an_incident_is_in_it():
    """A shift that was held back is raised and joins an incident in one pass: it is stored with both."""
    held = HeldBack(Settings())
    least = held.count(10_000, 0.0)
    row = ("t", "s", "shop", "buy", "SERVER", 0, 9, 2.0, 1.0, "ns", "operation", 100)
    weak = Anomaly("a", LATENCY, 5, 3.3, *row, {"rule": RULE, "shift_sigma": 3.3})
    held.settle(Grouped(anomalies=[weak]), [], set(), least, 0.0)
    worse = Anomaly("a", LATENCY, 3, 5.5, *row, {"rule": RULE, "shift_sigma": 5.5})
    grouped = Grouped(promoted=[worse.in_incident("i")])
    held.settle(grouped, [worse], set(), least, 1.0)
    assert [(a.incident_id, a.severity) for a in grouped.anomalies] == [("i", 3)]
    assert grouped.promoted == []


def test_what_was_held_is_forgotten_after_a_week(trained, system, store):
    """Rows of more than a week ago go with the next that is held; those of six days stay."""
    days = {"old": 8, "kept": 6}
    for span_id, ago in days.items():
        with store.transaction() as con:
            con.execute(
                "INSERT INTO held_spans VALUES ('t', $id, make_timestamp_ns($at))",
                {"id": span_id, "at": system.now_ns - ago * 86_400 * 10**9},
            )
    system.order(db_ns=15 * MS)
    trained.judge_landed(system.land())
    held = store.read("SELECT span_id FROM held_spans")["span_id"].to_pylist()
    assert "old" not in held
    assert "kept" in held
    assert len(held) > 1
