"""Times that are not set or out of range: one rule for spans, log records and data points."""

from __future__ import annotations

from time import time_ns
from typing import Any

import pytest

from collector.receive.check import check_message
from collector.receive.times import TIME_SOURCE, TimeLimits
from collector.signals import Signal
from tests.collector.receive.otlp_calls import TRANSPORTS, batch, send, wire

NOW_NS = 1_795_000_000 * 10**9
DAY_NS, S = 86_400 * 10**9, 10**9
TIMES = TimeLimits().at(NOW_NS)
FIELDS = {
    Signal.TRACES: ("start_time_unix_nano", "end_time_unix_nano"),
    Signal.LOGS: ("time_unix_nano", "observed_time_unix_nano"),
    Signal.METRICS: ("time_unix_nano",),
}


def checked(signal: Signal, **times: int) -> Any:
    unset = dict.fromkeys(FIELDS[signal], 0)
    request: Any = batch(signal, "s", 1, **{**unset, **times})
    return check_message(signal, request, times=TIMES), item_of(signal, request)


def item_of(signal: Signal, request: Any) -> Any:
    (resource,) = getattr(request, f"resource_{signal.label}".replace("traces", "spans"))
    match signal:
        case Signal.TRACES:
            items = resource.scope_spans[0].spans
        case Signal.LOGS:
            items = resource.scope_logs[0].log_records
        case Signal.METRICS:
            items = resource.scope_metrics[0].metrics[0].gauge.data_points
    return items[0] if items else None


def source(item: Any) -> str:
    return "".join(pair.value.string_value for pair in item.attributes if pair.key == TIME_SOURCE)


@pytest.mark.parametrize("signal", Signal)
def test_no_time(signal: Signal) -> None:
    """An item without any time gets that of its receipt and says so; that is no error."""
    result, item = checked(signal)
    assert (result.accepted_count, result.rejected, result.reason) == (1, {}, "")
    last = FIELDS[signal][-1]
    assert (getattr(item, last), source(item)) == (NOW_NS, "receipt")
    assert sum(result.made_up.values()) == 1


def test_half_a_span() -> None:
    """A span without end has its start for one, and the other way round, and says which was set."""
    result, span = checked(Signal.TRACES, start_time_unix_nano=NOW_NS - 5)
    assert (span.end_time_unix_nano, source(span), result.rejected) == (NOW_NS - 5, "start", {})
    result, span = checked(Signal.TRACES, end_time_unix_nano=NOW_NS - 5)
    assert (span.start_time_unix_nano, source(span), result.rejected) == (NOW_NS - 5, "end", {})


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize(
    ("time_ns", "reason"),
    [
        (NOW_NS - 3649 * DAY_NS, ""),
        (NOW_NS - 3651 * DAY_NS, "the time lies more than 3650 days back (SPYHOP_OTLP_MAX_AGE_DAYS)"),
        (NOW_NS // S, "the time lies more than 3650 days back (SPYHOP_OTLP_MAX_AGE_DAYS)"),
        (NOW_NS + 3599 * S, ""),
        (NOW_NS + 3601 * S, "the time lies more than 3600 s ahead (SPYHOP_OTLP_MAX_AHEAD_S)"),
        (2**64 - 1, "the time lies more than 3600 s ahead (SPYHOP_OTLP_MAX_AHEAD_S)"),
    ],
)
def test_range(signal: Signal, time_ns: int, reason: str) -> None:
    """Ten years back and one hour ahead are taken; seconds for nanoseconds and 2262 are refused."""
    result, item = checked(signal, **dict.fromkeys(FIELDS[signal], time_ns))
    assert result.reason.startswith(f"1 × {reason}" if reason else "")
    assert (result.accepted_count, result.rejected_count) == ((0, 1) if reason else (1, 0))
    assert (item is None) == bool(reason)


def test_any_time() -> None:
    """Without limits the seventies are taken too, and what an int64 cannot hold is refused still."""
    times = TimeLimits(0, 0).at(NOW_NS)
    for at_ns, count in ((7, 1), (NOW_NS + 10**6 * S, 1), (2**63 - 1, 0)):
        request = batch(Signal.LOGS, "s", 1, time_unix_nano=at_ns)
        assert check_message(Signal.LOGS, request, times=times).accepted_count == count


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_stored(running: Any, transport: str) -> None:
    """Items without a time are stored at the time of receipt, in all three tables; no event lies at 1970."""
    before_ns = time_ns()
    for signal in Signal:
        request: Any = batch(signal, "s", 1, **dict.fromkeys(FIELDS[signal], 0))
        if signal is Signal.TRACES:
            item_of(signal, request).events.add(name="e")
        assert send(running, signal, transport, wire(request, transport)).rejected is None
    running.landed()
    for table, column in (("spans", "start_time"), ("logs", "time"), ("metrics", "time")):
        query = f"SELECT epoch_ns({column}) AS t, attributes['{TIME_SOURCE}']::VARCHAR FROM {table}"
        ((stored_ns, told),) = running.client.sql(query).rows()
        assert before_ns <= stored_ns <= time_ns()
        assert told == "receipt"
    assert running.client.sql("SELECT events[1].name, events[1].time FROM spans").rows() == [("e", None)]
    assert 'spyhop_unset_times_total{signal="metrics"} 1' in running.api.get("/metrics").text
