"""Times that are missing or impossible: one rule for spans, log records and data points.

An item without any time gets the time of its receipt; its attribute `spyhop.time_source` names the time that
was filled in. An item whose time lies outside of the range is refused. Seconds sent as nanoseconds lie in
1970, where retention would delete the item at once; an item in 2262 would be the newest for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

TIME_SOURCE = "spyhop.time_source"
# Its values.
RECEIPT = "receipt"  # nothing was set: when it was received
END = "end"  # a span's start was not set: its end
START = "start"  # a span's end was not set, it may still be open: its start, so the duration is not known

_DAY_NS = 86_400 * 10**9
_LAST_NS = 2**63 - 2  # DuckDB's TIMESTAMP_NS is an int64, and its largest value means infinity


class TimeRange(NamedTuple):
    """What is taken now, in nanoseconds since 1970."""

    first_ns: int = 1
    last_ns: int = _LAST_NS
    receipt_ns: int | None = None  # None: times that are not set stay so
    too_old: str = "the time lies before 1970"
    too_new: str = "the time lies beyond the year 2262"


ANY_TIME = TimeRange()


class TimeLimits(NamedTuple):
    """How far from the server's clock a time may be; 0: any."""

    age_days: float = 3650  # SPYHOP_OTLP_MAX_AGE_DAYS
    ahead_s: float = 3600  # SPYHOP_OTLP_MAX_AHEAD_S

    def at(self, now_ns: int) -> TimeRange:
        """The range when the server's clock shows `now_ns`."""
        return TimeRange(
            max(1, now_ns - int(self.age_days * _DAY_NS)) if self.age_days else 1,
            min(_LAST_NS, now_ns + int(self.ahead_s * 1e9)) if self.ahead_s else _LAST_NS,
            now_ns,
            f"the time lies more than {self.age_days:g} days back (SPYHOP_OTLP_MAX_AGE_DAYS); "
            "nanoseconds since 1970 are expected",
            f"the time lies more than {self.ahead_s:g} s ahead (SPYHOP_OTLP_MAX_AHEAD_S)"
            if self.ahead_s
            else TimeRange().too_new,
        )


def set_span_times(span: Any, times: TimeRange, made_up: Counter[str]) -> None:
    """Give a span that lacks its start or its end another time, and note which."""
    if times.receipt_ns is None:
        return
    start_ns, end_ns = span.start_time_unix_nano, span.end_time_unix_nano
    if not start_ns and not end_ns:
        span.start_time_unix_nano = span.end_time_unix_nano = times.receipt_ns
        _note(span, RECEIPT, made_up)
    elif not start_ns:
        span.start_time_unix_nano = end_ns
        _note(span, END, made_up)
    elif not end_ns:
        span.end_time_unix_nano = start_ns
        _note(span, START, made_up)


def are_log_times_sound(records: Any, times: TimeRange) -> bool:
    """Whether each record has a time and all lie within the range."""
    first_ns, last_ns = times.first_ns, times.last_ns
    for record in records:
        observed_ns = record.observed_time_unix_nano
        if not (first_ns <= (record.time_unix_nano or observed_ns) <= last_ns >= observed_ns):
            return False
    return True


def set_log_times(times: TimeRange, made_up: Counter[str], reasons: Counter[str]) -> Callable[[Any], bool]:
    """A function that sets the time of a log record without one, and returns whether it can be stored."""

    def keep(record: Any) -> bool:
        time_ns = record.time_unix_nano or record.observed_time_unix_nano
        if not time_ns:
            if times.receipt_ns is not None:
                record.observed_time_unix_nano = times.receipt_ns
                _note(record, RECEIPT, made_up)
            return True
        return _is_within(time_ns, max(time_ns, record.observed_time_unix_nano), times, reasons)

    return keep


def are_point_times_sound(points: Any, times: TimeRange) -> bool:
    """Whether each data point has a time and all lie within the range."""
    first_ns, last_ns = times.first_ns, times.last_ns
    return all(first_ns <= point.time_unix_nano <= last_ns >= point.start_time_unix_nano for point in points)


def set_point_times(times: TimeRange, made_up: Counter[str], reasons: Counter[str]) -> Callable[[Any], bool]:
    """A function that sets the time of a data point without one, and returns whether it can be stored."""

    def keep(point: Any) -> bool:
        if not point.time_unix_nano:
            if times.receipt_ns is None:
                return True
            point.time_unix_nano = times.receipt_ns
            _note(point, RECEIPT, made_up)
        latest_ns = max(point.time_unix_nano, point.start_time_unix_nano)
        return _is_within(point.time_unix_nano, latest_ns, times, reasons)

    return keep


def time_fault(earliest_ns: int, latest_ns: int, times: TimeRange) -> str:
    """Why these times cannot be correct; empty when they can. 0 means "not set"."""
    if latest_ns > times.last_ns:
        return times.too_new
    return times.too_old if 0 < earliest_ns < times.first_ns else ""


def _is_within(earliest_ns: int, latest_ns: int, times: TimeRange, reasons: Counter[str]) -> bool:
    fault = time_fault(earliest_ns, latest_ns, times)
    if fault:
        reasons[fault] += 1
    return not fault


def _note(item: Any, source: str, made_up: Counter[str]) -> None:
    made_up[
        "no time was set, that of receipt is taken" if source == RECEIPT else f"only the {source} was set"
    ] += 1
    for pair in item.attributes:
        if pair.key == TIME_SOURCE:
            pair.value.string_value = source
            return
    item.attributes.add(key=TIME_SOURCE).value.string_value = source
