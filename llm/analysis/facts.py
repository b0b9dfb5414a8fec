"""Facts about one trace: time beyond the usual, failures, unusually large values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count

from detectors.model.operation import Operation
from llm.analysis.traced import MessageWait, TracedSpan, TracedTrace
from llm.analysis.tried_again import was_tried_again
from llm.analysis.units import duration, percent, quantity, significant
from llm.explanation import Cause, CauseKind, Fact
from llm.redaction.redact import quoted_name, quoted_text, redact_name

MIN_EXCESS_NS = 1_000_000  # a smaller difference may come from scheduling
MIN_SHARE = 0.25  # a cause of less than a quarter of the slowdown does not stand out
MAX_SLOW_OPERATIONS = 5
MAX_ERRORS = 5
MIN_REPEATS = 10  # calls of one operation in a trace; from here on a loop is likelier than a slow callee
# How instrumentations name an outgoing request; some senders leave out the kind.
_OUTGOING = re.compile(r"HTTP (?:GET|PUT|POST|PATCH|DELETE|HEAD|OPTIONS)")
_ASSET = re.compile(r"[A-Za-z0-9]{1,10}")
ERROR_SCORE = 0.6  # above a minor share of the time, below the main one
FAILURE_SCORE = 2.0  # failing calls rank above any share of the time: 1 is all of it
MAX_PATH_STEPS = 100  # named one by one; a loop of 100,000 calls is one path, too long for a list


class FactBook:
    """Collects facts and numbers them E1, E2, … in order."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.facts: list[Fact] = []

    def fact(self, evidence_id: str) -> Fact | None:
        return next((fact for fact in self.facts if fact.evidence_id == evidence_id), None)

    def add(
        self, span: TracedSpan, kind: str, statement: str, **more: float | int | str | tuple[str, str] | None
    ) -> str:
        """The new fact's id. A number that is not finite is left out: JSON cannot express it."""
        more = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in more.items()
        }
        fact = Fact(
            evidence_id=f"E{next(self._numbers)}",
            trace_id=span.trace_id,
            span_id=span.span_id,
            service=redact_name(span.service),
            operation=redact_name(span.operation),
            kind=kind,
            statement=statement,
            **more,
        )
        self.facts.append(fact)
        return fact.evidence_id


@dataclass(frozen=True)
class Excess:
    """The self time of one operation in one trace, over all its spans, beyond its usual time."""

    worst: TracedSpan
    observed_ns: float
    expected_ns: float
    sample_count: int
    span_count: int

    @property
    def excess_ns(self) -> float:
        return self.observed_ns - self.expected_ns


def place(span: TracedSpan) -> str:
    """The place in a statement. A name that reads as words is quoted, since the words are the sender's."""
    return f"{quoted_name(span.operation)} in {quoted_name(span.service)}"


def asset(text: object) -> str:
    """The name of an asset as a unit; text that does not look like one is not repeated."""
    return str(text) if _ASSET.fullmatch(str(text)) else "units"


def operation_excesses(trace: TracedTrace) -> list[Excess]:
    """Operations on the critical path that took longer than usual, the largest excess first."""
    grouped: dict[Operation, list[TracedSpan]] = {}
    for span in trace.spans:
        if span.expected_ns is not None and span.on_critical_path:
            grouped.setdefault(Operation(span.service, span.operation, span.kind), []).append(span)
    excesses = [_excess(spans) for spans in grouped.values()]
    return sorted(
        (excess for excess in excesses if excess.excess_ns >= MIN_EXCESS_NS), key=lambda e: -e.excess_ns
    )


def late_messages(trace: TracedTrace) -> list[MessageWait]:
    """Messages that took longer than usual from producer to consumer, the largest delay first."""
    late = [
        w
        for w in trace.message_waits
        if w.expected_ns is not None and w.wait_ns - w.expected_ns >= MIN_EXCESS_NS
    ]
    return sorted(late, key=lambda wait: -(wait.wait_ns - (wait.expected_ns or 0)))


def add_time_facts(book: FactBook, trace: TracedTrace) -> list[Cause]:
    """Facts for slow operations and late messages; those with a large share become causes."""
    excesses, waits = operation_excesses(trace), late_messages(trace)
    wait_excess_ns = [wait.wait_ns - (wait.expected_ns or 0) for wait in waits]
    slowdown_ns = sum(excess.excess_ns for excess in excesses) + sum(wait_excess_ns)
    causes: list[Cause] = []
    for excess in excesses[:MAX_SLOW_OPERATIONS]:
        share = excess.excess_ns / slowdown_ns
        statement = _slow_statement(excess, share)
        evidence_id = book.add(
            excess.worst, "self_time", statement,
            observed=excess.observed_ns, expected=excess.expected_ns, unit="ns",
            sample_count=excess.sample_count, share=share,
        )  # fmt: skip
        # Many calls, each about as fast as usual: their number costs the time.
        is_many = excess.span_count >= MIN_REPEATS and excess.observed_ns < 2 * excess.expected_ns
        kind = "repeated_calls" if is_many else cause_kind(excess.worst)
        causes.append(
            _time_cause(
                excess.worst,
                kind,
                statement,
                share=share,
                samples=excess.sample_count,
                evidence_id=evidence_id,
            )
        )
    for wait, late_ns in zip(waits[:MAX_SLOW_OPERATIONS], wait_excess_ns, strict=False):
        share = late_ns / slowdown_ns
        samples = wait.sample_count or 0
        statement = (
            f"The message from {place(wait.producer)} reached {place(wait.consumer)} after"
            f" {duration(wait.wait_ns)}, usually {duration(wait.expected_ns or 0)} (n = {samples:,}),"
            f" {percent(share)} of the slowdown of the trace"
        )
        evidence_id = book.add(
            wait.consumer, "message_wait", statement,
            observed=wait.wait_ns, expected=wait.expected_ns, unit="ns", sample_count=samples, share=share,
            peer=(redact_name(wait.producer.service), redact_name(wait.producer.operation)),
        )  # fmt: skip
        causes.append(
            _time_cause(
                wait.consumer,
                "message_wait",
                statement,
                share=share,
                samples=samples,
                evidence_id=evidence_id,
            )
        )
    return [cause for cause in causes if cause.score >= MIN_SHARE]


def add_error_facts(book: FactBook, trace: TracedTrace, *, symptom_is_time: bool) -> list[Cause]:
    """Facts for the deepest errors; a parent that only passes an error on is not one."""
    causes: list[Cause] = []
    for span in trace.deepest_errors()[:MAX_ERRORS]:
        statement = error_statement(span, trace.spans)
        if any(fact.kind == "error" and fact.statement == statement for fact in book.facts):
            continue  # a repetition of the same failure is no new fact
        evidence_id = book.add(span, "error", statement, observed=span.duration_ns, unit="ns")
        failed = span.status_code == "ERROR"
        causes.append(
            Cause(
                service=redact_name(span.service),
                operation=redact_name(span.operation),
                kind=error_kind(span, trace.spans),
                statement=statement,
                score=ERROR_SCORE if symptom_is_time else FAILURE_SCORE,
                confidence=(0.5 if symptom_is_time else 0.7) if failed else 0.4,
                evidence=(evidence_id,),
            )
        )
    return causes


def add_path_fact(book: FactBook, trace: TracedTrace) -> tuple[str, ...]:
    """The critical path as one fact at its root; returns its steps."""
    steps = [span for span in trace.spans if span.on_critical_path]
    if trace.root is None or len(steps) < 2:
        return ()
    longest = max(steps, key=lambda span: span.self_time_ns)
    length_ns = trace.root.duration_ns
    statement = f"The critical path of {place(trace.root)} has {len(steps):,} spans in {duration(length_ns)}"
    book.add(trace.root, "critical_path", statement, observed=length_ns, unit="ns")
    statement = f"{place(longest)} holds {duration(longest.self_time_ns)} of the critical path"
    book.add(longest, "path_share", statement, observed=longest.self_time_ns, unit="ns")
    return tuple(
        f"{redact_name(span.service)}: {redact_name(span.operation)}" for span in steps[:MAX_PATH_STEPS]
    )


def add_duration_fact(book: FactBook, trace: TracedTrace) -> None:
    """The duration of the trace, where nothing else is known about it: a lone span is a trace, too."""
    if trace.root is None:
        return
    spans = (
        "the only span of its trace" if len(trace.spans) == 1 else f"{len(trace.spans):,} spans in its trace"
    )
    statement = f"{place(trace.root)} took {duration(trace.root.duration_ns)}, {spans}"
    book.add(trace.root, "duration", statement, observed=trace.root.duration_ns, unit="ns")


def error_statement(span: TracedSpan, spans: Sequence[TracedSpan]) -> str:
    """The failed place, its message, and whether it was called again. The sender's words are quoted.

    Args:
        spans: as for `error_kind`.
    """
    what = span.exception_type or str(span.attributes.get("error.type", ""))
    said = span.exception_message or span.status_message
    reason = f" with {quoted_text(what)}" if what else ""
    did = "failed" if span.status_code == "ERROR" or not span.has_exception else "recorded an exception"
    again = " and was called again" if was_tried_again(span, spans) else ""
    return f"{place(span)} {did}{reason}{again}" + (f": {quoted_text(said)}" if said else "")


def error_kind(span: TracedSpan, spans: Sequence[TracedSpan]) -> CauseKind:
    """The kind of an error: a failed call whose callee shows nothing, one that is made again, or the span's
    own.

    Args:
        spans: of the trace that is known in full; for a span of another trace the calls are not known.
    """
    if was_tried_again(span, spans):
        return "retries"
    is_known = any(other.span_id == span.span_id for other in spans)
    if span.kind != "CLIENT" or span.is_database_call or not is_known:
        return "error"
    is_answered = any(other.parent_span_id == span.span_id for other in spans)
    return "error" if is_answered else "failed_call"


def cause_kind(span: TracedSpan) -> CauseKind:
    if span.is_database_call:
        return "database"
    if span.kind == "CLIENT" or _OUTGOING.fullmatch(span.operation):
        return "remote_call"
    return "own_code"


def time_confidence(share: float, sample_count: int, trace_count: int) -> float:
    """Confidence in a cause of lost time: its share, discounted for few samples and few traces.

    >>> round(time_confidence(0.84, 812, 1), 2), round(time_confidence(0.84, 812, 12), 2)
    (0.61, 0.78)
    """
    return share * sample_count / (sample_count + 30) * (1 - 1 / (2 * trace_count + 2))


def _time_cause(
    span: TracedSpan, kind: CauseKind, statement: str, *, share: float, samples: int, evidence_id: str
) -> Cause:
    return Cause(
        service=redact_name(span.service),
        operation=redact_name(span.operation),
        kind=kind,
        statement=statement,
        score=share,
        confidence=time_confidence(share, samples, 1),
        evidence=(evidence_id,),
    )


def _excess(spans: Iterable[TracedSpan]) -> Excess:
    spans = list(spans)
    worst = max(spans, key=lambda span: span.excess_ns)
    return Excess(
        worst=worst,
        observed_ns=sum(span.self_time_ns for span in spans),
        expected_ns=sum(span.expected_ns or 0 for span in spans),
        sample_count=worst.sample_count or 0,
        span_count=len(spans),
    )


def _slow_statement(excess: Excess, share: float) -> str:
    times = f" in {significant(excess.span_count)} calls" if excess.span_count > 1 else ""
    return (
        f"{place(excess.worst)} took {quantity(excess.observed_ns, 'ns')} of self time{times},"
        f" {duration(excess.excess_ns)} over its usual {duration(excess.expected_ns)}"
        f" (n = {excess.sample_count:,}), {percent(share)} of the slowdown of the trace"
    )
