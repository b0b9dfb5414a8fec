"""What both receivers share: check, spool, count. Bytes in; a future that resolves when they are on disk."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from time import time_ns
from typing import NamedTuple

import msgspec
from google.protobuf.message import Message

from collector.errors import SpyhopError, Unauthenticated, Unavailable
from collector.receive.check import Checked, check_bytes, check_message
from collector.receive.json_wire import TraceTranslator
from collector.receive.limits import DEFAULT_LIMITS, Limits
from collector.receive.otlp_json import parse_json
from collector.receive.parts import refuse_too_many_parts
from collector.receive.senders import Sender, Senders
from collector.receive.times import TimeLimits, TimeRange
from collector.signals import REJECTED_FIELDS, RESPONSE_TYPES, Signal
from collector.wal.disk import DiskWatch
from collector.wal.spool import Spool

UNKNOWN = Sender()
_TOP = msgspec.json.Decoder(dict[str, msgspec.Raw])  # names alone: what is below may be 20 MB of anything
_JSON_PARTS = {
    Signal.TRACES: "resourceSpans",
    Signal.LOGS: "resourceLogs",
    Signal.METRICS: "resourceMetrics",
}


class Accepted(NamedTuple):
    """A request on its way to disk: acknowledge with `response` once `durable` resolves."""

    durable: Future[None] | None  # None: nothing to store
    response: Message


class Intake:
    """Thread-safe entrance to the spool."""

    def __init__(
        self,
        spool: Spool,
        disk: DiskWatch,
        limits: Limits = DEFAULT_LIMITS,
        *,
        times: TimeLimits | None = None,
        clock_ns: Callable[[], int] = time_ns,
    ) -> None:
        self._limits = limits
        self._times = times or TimeLimits()
        self._clock_ns = clock_ns
        self.senders = Senders()
        self._spool = spool
        self._disk = disk
        self._guard = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._traces = TraceTranslator()

    def accept(
        self, signal: Signal, body: bytes, *, is_json: bool = False, sender: Sender = UNKNOWN
    ) -> Accepted:
        """Check a decompressed body and queue it for the spool.

        Raises:
            MalformedBody: it cannot be read.
            TooLarge: its parsed form would be many times its size.
            Unavailable: the spool is full or closing, or the disk nearly full.
        """
        try:
            self._disk.check()
            if is_json:
                refuse_too_many_parts(body, is_json=True)
                checked = self._check_json(signal, body)
            else:  # JSON's wire form may be much smaller, so only these know their size yet
                self._spool.check_room(len(body))
                checked = check_bytes(signal, body, self._limits, self._now())
            durable = self._spool.append(signal, checked.payload) if checked.accepted_count else None
        except SpyhopError as error:
            self.refused(signal, error, sender)
            raise
        self._count(
            signal,
            received=checked.accepted_count,
            rejected=checked.rejected_count,
            truncated_values=sum(checked.cut.values()),
            unset_times=sum(checked.made_up.values()),
            requests=1,
        )
        self.senders.accepted(sender, signal, checked.accepted_count)
        self.senders.rejected(sender, signal, checked.rejected)
        self.senders.cut(sender, signal, checked.cut)
        self.senders.untimed(sender, signal, checked.made_up)
        if is_json and not checked.accepted_count and (misplaced := _misplaced(signal, body)):
            self.senders.misplaced(sender, signal, misplaced)
        return Accepted(durable, _response(signal, checked))

    def refused(self, signal: Signal | None, error: SpyhopError, sender: Sender = UNKNOWN) -> None:
        """Count a request that was not taken: by fault of the sender, for want of room, or of a token.

        Args:
            signal: None when the request names none, e.g. by an unknown path.
        """
        self.senders.refused(sender, signal, str(error))
        if signal is None:
            return
        if isinstance(error, Unavailable):
            self._count(signal, unavailable_requests=1)
        elif isinstance(error, Unauthenticated):
            self._count(signal, unauthenticated_requests=1)
        else:
            self._count(signal, malformed_requests=1)

    def counts(self) -> dict[tuple[str, str], int]:
        """`{(signal label, what): number}`; what is received, rejected, requests, …_requests."""
        with self._guard:
            return dict(self._counts)

    def _check_json(self, signal: Signal, body: bytes) -> Checked:
        wire = self._traces.translate(body) if signal is Signal.TRACES else None
        if wire is not None:
            return check_bytes(signal, wire, self._limits, self._now())
        return check_message(signal, parse_json(signal, body), limits=self._limits, times=self._now())

    def _now(self) -> TimeRange:
        return self._times.at(self._clock_ns())

    def _count(self, signal: Signal, **amounts: int) -> None:
        with self._guard:
            for what, amount in amounts.items():
                self._counts[signal.label, what] += amount


def _misplaced(signal: Signal, body: bytes) -> str:
    """What belongs to another signal, where JSON has nothing else: unknown fields are no error in OTLP."""
    try:
        document = _TOP.decode(body)
    except (ValueError, RecursionError):  # deeper than what was read of it
        return ""
    if _JSON_PARTS[signal] in document:
        return ""
    found = (one for one, part in _JSON_PARTS.items() if part in document)
    return next((f"{_JSON_PARTS[one]} belongs to /v1/{one.label}" for one in found), "")


def _response(signal: Signal, checked: Checked) -> Message:
    response = RESPONSE_TYPES[signal]()
    if reason := checked.reason:
        # Left unset on full success, as the specification asks; with no item rejected it is a warning.
        partial = response.partial_success  # type: ignore[attr-defined]  # every response has it
        setattr(partial, REJECTED_FIELDS[signal], checked.rejected_count)
        partial.error_message = reason
    return response
