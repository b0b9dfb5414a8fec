from __future__ import annotations

from dataclasses import replace

import pytest

from detectors.incidents.causes import evenly
from detectors.incidents.incident import Incident
from detectors.incidents.store import title_of
from detectors.incidents.tracker import Grouped, IncidentTracker
from detectors.model.anomaly import AMOUNT, LATENCY, Anomaly, anomaly_id
from detectors.settings import Settings

OPERATION = ("shop", "GET /cart", "SERVER")
SECOND_NS = 1_000_000_000


class Stream:
    """One operation at 50 spans/s, judged once a second."""

    def __init__(self) -> None:
        self.tracker = IncidentTracker(Settings())
        self.now_s = 0
        self.traces = 0

    def second(
        self, slow_count: int, *, severity: int = 5, detector: str = LATENCY, stall: bool = False
    ) -> Grouped:
        """Slow spans begin evenly over the second, or all at once in a stall."""
        gap_ns = 1 if stall else SECOND_NS // max(slow_count, 1)
        anomalies = [self.slow(i * gap_ns, severity, detector) for i in range(slow_count)]
        self.now_s += 1
        return self.tracker.observe(float(self.now_s), self.now_s * SECOND_NS, {OPERATION: 50}, anomalies)

    def slow(self, offset_ns: int, severity: int, detector: str = LATENCY) -> Anomaly:
        self.traces += 1
        trace_id = f"trace{self.traces}"
        return Anomaly(
            anomaly_id=anomaly_id(detector, trace_id, "span"),
            detector=detector,
            severity=severity,
            sigma=8.0 - severity,
            trace_id=trace_id,
            span_id="span",
            service_name=OPERATION[0],
            operation=OPERATION[1],
            span_kind=OPERATION[2],
            start_unix_nano=self.now_s * SECOND_NS + offset_ns,
            span_duration_ns=1,
            observed=1.0,
            expected=1.0,
            unit="ns",
            cell="order|BTC|BUY" if detector == AMOUNT else "operation",
            sample_count=100,
        )


@pytest.mark.parametrize(("severity", "within_s"), [(5, 3), (4, 2)])
def test_sustained_slowness_is_one_incident_within_seconds(severity, within_s):
    """An operation that is slow every time opens one incident in two or three seconds, and keeps it."""
    stream = Stream()
    for _ in range(30):
        stream.second(0)
    opened = [len(stream.second(50, severity=severity).changed) for _ in range(20)]
    assert sum(opened[:within_s]) >= 1
    (incident,) = stream.tracker.open.values()
    assert incident.anomaly_count == incident.trace_count == 1000


def test_a_tenth_of_the_requests_is_enough():
    """A fault that hits one request in ten is an incident within five seconds."""
    stream = Stream()
    for _ in range(30):
        stream.second(0)
    for _ in range(5):
        stream.second(5, severity=4)
    assert len(stream.tracker.open) == 1


def test_ordinary_exceedances_never_become_an_incident():
    """One SEV5 every five seconds, more than 3σ itself claims, makes no incident in an hour."""
    stream = Stream()
    for second in range(3_600):
        assert not stream.second(int(second % 5 == 0)).changed


def test_stalls_are_no_incident():
    """Fifty slow requests in the same moment are one stall; a few stalls are a poor machine, no incident."""
    stream = Stream()
    for second in range(120):
        assert not stream.second(50 if second % 30 in {20, 23} else 0, severity=4, stall=True).changed


def test_early_lone_anomalies_are_promoted():
    """The anomalies that came before the incident was clear belong to it afterwards."""
    stream = Stream()
    first = stream.second(2, severity=4)
    assert [a.incident_id for a in first.anomalies] == [None, None]
    second = stream.second(20, severity=4)
    (incident,) = stream.tracker.open.values()
    assert {a.anomaly_id for a in second.promoted} == {a.anomaly_id for a in first.anomalies}
    assert {a.incident_id for a in second.promoted + second.anomalies} == {incident.incident_id}


def test_incident_ends_although_noise_goes_on():
    """Noise after a fault joins nothing for long: the incident ends, and no other follows."""
    stream = Stream()
    for _ in range(10):
        stream.second(50)
    (incident,) = stream.tracker.open.values()
    for second in range(600):
        stream.second(int(second % 5 == 0))
    assert incident.state == "resolved"
    assert not stream.tracker.open
    assert incident.last_span_unix_nano < 20 * SECOND_NS


def test_late_spans_of_an_incident_join_it_also_after_its_end():
    """A slow span that is reported long after it began belongs to the incident of its time, not to nobody."""
    stream = Stream()
    for _ in range(10):
        stream.second(50, severity=1)
    (incident,) = stream.tracker.open.values()
    late = [replace(stream.slow(0, 1), start_unix_nano=n * SECOND_NS) for n in (4, 6, 8)]
    for _ in range(20):
        stream.second(0)
    joined = stream.tracker.observe(stream.now_s + 0.1, stream.now_s * SECOND_NS, {OPERATION: 1}, late[:1])
    assert [a.incident_id for a in joined.anomalies] == [incident.incident_id]
    stream.now_s += 200
    stream.second(0)
    assert not stream.tracker.open
    joined = stream.tracker.observe(stream.now_s + 0.1, stream.now_s * SECOND_NS, {OPERATION: 1}, late[1:2])
    assert [a.incident_id for a in joined.anomalies] == [incident.incident_id]
    assert joined.changed[incident.incident_id].state == "resolved"
    assert not stream.tracker.open
    stream.tracker.reopened(incident.incident_id)
    alone = stream.tracker.observe(stream.now_s + 0.2, stream.now_s * SECOND_NS, {OPERATION: 1}, late[2:])
    assert [a.incident_id for a in alone.anomalies] == [None]


def test_a_rare_span_as_bad_as_the_open_incident_joins_it():
    """While an incident is open, a lone span of its operation that is as severe as it is part of it."""
    stream = Stream()
    for _ in range(10):
        stream.second(50, severity=2)
    (incident,) = stream.tracker.open.values()
    for _ in range(30):
        stream.second(0)
    assert stream.second(1, severity=2).anomalies[0].incident_id == incident.incident_id
    assert stream.second(1, severity=5).anomalies[0].incident_id is None


def test_recurrence_continues_the_incident():
    """A fault that comes back before the incident is resolved is the same incident."""
    stream = Stream()
    for pause_s in (60, 60, 0):
        for _ in range(5):
            stream.second(50)
        for _ in range(pause_s):
            stream.second(0)
    assert len(stream.tracker.open) == 1


def test_shift_is_an_incident_at_once_and_grows_with_it():
    """Spans that a shift makes improbable need no severity of their own; its σ becomes the incident's."""
    stream = Stream()
    unlikely = {"span_sigma": 2.0, "shift_sigma": 4.8}
    slow = [replace(stream.slow(i * SECOND_NS // 5, 4), details=unlikely, sigma=4.8) for i in range(8)]
    stream.now_s += 2
    outcome = stream.tracker.observe(2.0, 2 * SECOND_NS, {OPERATION: 100}, slow)
    (incident,) = stream.tracker.open.values()
    assert {a.incident_id for a in outcome.anomalies} == {incident.incident_id}
    assert incident.severity == 4
    worse = [replace(a, severity=1, sigma=7.3, details={**unlikely, "shift_sigma": 7.3}) for a in slow]
    outcome = stream.tracker.observe(3.0, 3 * SECOND_NS, {}, [], worse)
    assert (incident.severity, incident.worst_sigma, incident.anomaly_count) == (1, 7.3, 8)
    assert list(outcome.changed) == [incident.incident_id]


def test_mild_shift_is_no_incident():
    """A shift that one window in a thousand shows by chance flags spans and wakes nobody."""
    stream = Stream()
    mild = {"span_sigma": 2.0, "shift_sigma": 3.7}
    slow = [replace(stream.slow(i * SECOND_NS // 10, 5), details=mild, sigma=3.7) for i in range(20)]
    stream.tracker.observe(2.0, 2 * SECOND_NS, {OPERATION: 100}, slow)
    assert not stream.tracker.open


def test_whale_is_an_incident_at_once_and_a_burst_is_one():
    """One whale needs no company; three of the same kind within seconds are one incident."""
    stream = Stream()
    for _ in range(3):
        stream.second(1, severity=2, detector=AMOUNT)
    (incident,) = stream.tracker.open.values()
    assert (incident.kind, incident.anomaly_count, incident.severity) == (AMOUNT, 3, 2)


def test_mildly_large_amount_stays_a_lone_anomaly():
    """A SEV5 amount is noted and wakes nobody."""
    outcome = Stream().second(1, severity=5, detector=AMOUNT)
    assert [a.incident_id for a in outcome.anomalies] == [None]
    assert not outcome.changed


def test_long_incident_keeps_its_first_traces_and_its_newest():
    """The first traces are still known after a thousand traces, and so are the newest."""
    stream = Stream()
    for _ in range(25):
        stream.second(50)
    (incident,) = stream.tracker.open.values()
    kept = list(incident.traces)
    assert incident.trace_count == 1_250
    assert kept == [f"trace{n}" for n in [*range(1, 101), *range(1_151, 1_251)]]
    assert evenly(kept, 100)[0] == "trace1"
    assert evenly(kept, 100)[-1] == "trace1250"
    assert len(set(evenly(kept, 100))) == 100


def test_clock_of_another_century_does_not_stretch_an_incident():
    """Learning keeps out of an incident's time: it must not last until 2262."""
    stream = Stream()
    for _ in range(5):
        stream.second(20)
    far = replace(stream.slow(0, 5), start_unix_nano=2**63 - 2)
    stream.tracker.observe(float(stream.now_s), stream.now_s * SECOND_NS, {OPERATION: 1}, [far])
    (incident,) = stream.tracker.open.values()
    assert far.anomaly_id in {a.anomaly_id for a in incident.anomalies}
    assert incident.last_span_unix_nano <= (stream.now_s + 86_400) * SECOND_NS


def test_title_of_a_service_that_is_gone_is_what_its_callers_met():
    """Nothing was flagged in a dead service, and still the title is about it."""
    stream = Stream()
    for _ in range(5):
        stream.second(20, detector="error")
    (incident,) = stream.tracker.open.values()
    text = "stock does not answer at stock:80: 100% of the calls to it failed without an answer"
    cause = {"service": "stock", "operation": "GET /stock", "kind": "error"}
    said = [{"text": f"{text}; GET in shop: connection refused"}]
    assert title_of(incident, [{**cause, "evidence": said}]) == text
    assert "stock" not in title_of(incident, [])


def _at(stream: Stream, service: str, second: int, severity: int = 1) -> Anomaly:
    found = stream.slow(0, severity)
    return replace(
        found,
        service_name=service,
        operation=f"work of {service}",
        start_unix_nano=second * SECOND_NS + stream.traces * 1_000_000,
    )


@pytest.mark.parametrize(("later_s", "incidents"), [(5, 1), (60, 2)])
def test_two_operations_of_a_service_in_trouble_at_once_are_one_incident(later_s, incidents):
    """One fault behind orders and transfers, which share no trace, is one incident; a minute later, two."""
    stream = Stream()
    for second in range(120):
        stream.now_s = second
        begun = [("orders", 50), ("transfers", 50 + later_s)]
        slow = [
            replace(_at(stream, "wallet", second), operation=name)
            for name, since in begun
            for _ in range(20)
            if since <= second < since + 20
        ]
        stream.tracker.observe(float(second), second * SECOND_NS, {OPERATION: 50}, slow)
    assert len([*stream.tracker.open, *stream.tracker.ended]) == incidents


@pytest.mark.parametrize(
    ("service", "since_s", "kinds"),
    [
        ("stock", 52, ["latency"]),
        ("stock", 100, ["latency", "throughput"]),
        ("mail", 52, ["latency", "throughput"]),
    ],
)
def test_what_fell_silent_with_an_incident_of_its_callers_belongs_to_it(service, since_s, kinds):
    """A dead service is refused first and missed half a minute later: one incident, unless the silence began
    later or in a service that nobody in the incident calls."""
    stream = Stream()
    stream.tracker = IncidentTracker(Settings(), lambda name: {"web"} if name == "stock" else set())
    for second in range(120):
        stream.now_s = second
        slow = [_at(stream, "web", second) for _ in range(20)] if 50 <= second < 90 else []
        if second == 105:
            silent = replace(
                _at(stream, service, 49),
                detector="throughput",
                details={"rule": "silence", "since_unix_s": since_s},
            )
            slow.append(silent)
        stream.tracker.observe(float(second), second * SECOND_NS, {OPERATION: 50}, slow)
    assert sorted(i.kind for i in stream.tracker.open.values()) == kinds
    (calls,) = [i for i in stream.tracker.open.values() if i.kind == "latency"]
    assert len(calls.traces) == 200


@pytest.mark.parametrize(("severity", "joins"), [(3, True), (5, False)])
def test_what_was_alone_joins_when_its_operation_has(severity, joins):
    """A slow call to the bank stays alone until another shares a trace with the shop's incident; one of long
    before, a mild one within its time, and one just before it began that is not severe stay alone."""
    stream = Stream()
    before, lead, early, mild, later = (_at(stream, "bank", second) for second in (5, 48, 51, 52, 55))
    before, lead = replace(before, severity=3), replace(lead, severity=severity)
    mild = replace(mild, severity=5, sigma=3.0)
    counts = {OPERATION: 50, before.operation_key: 50}
    for second in range(60):
        stream.now_s = second
        slow = [_at(stream, "shop", second) for _ in range(20)] if second >= 50 else []
        if second == 55:
            later = replace(later, trace_id=slow[0].trace_id)
        alone = [a for a in (before, lead, early, mild, later) if a.start_unix_nano // SECOND_NS == second]
        found = stream.tracker.observe(float(second), second * SECOND_NS, counts, slow + alone)
        joined = {a.trace_id: a.incident_id for a in [*found.anomalies, *found.promoted]}
        if second == 55:
            (incident,) = stream.tracker.open.values()
            assert joined[early.trace_id] == joined[later.trace_id] == incident.incident_id
            assert (lead.trace_id in joined) is joins
            assert mild.trace_id not in joined
        elif alone:
            assert joined[alone[0].trace_id] is None
    assert before.trace_id not in {a.trace_id for a in incident.anomalies}


def test_the_trace_that_is_shown_is_the_most_unusual_by_itself():
    """A shift's σ is that of many traces: the one that completes it, itself nearly usual, is not shown. What
    has no σ of its own counts by that of its finding."""
    stream = Stream()
    incident = Incident("i", LATENCY, 0, 0.0, 0)
    slowest, shift, failed = (stream.slow(number, 3) for number in range(3))
    incident.take(slowest, 0)  # 5σ by itself
    incident.take(replace(shift, sigma=9.0, details={"span_sigma": 3.2, "shift_sigma": 9.0}), 0)
    assert (incident.worst_sigma, incident.exemplar_trace_id) == (9.0, slowest.trace_id)
    incident.take(replace(failed, sigma=8.0, details={"span_sigma": 0.0}), 0)
    assert incident.exemplar_trace_id == failed.trace_id
