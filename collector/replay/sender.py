"""Requests to an OTLP/HTTP endpoint, at the pace it takes them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic, sleep
from typing import Any, NamedTuple

import httpx2
from google.protobuf.message import DecodeError, Message

from collector.errors import SpyhopError, Unauthenticated, Unavailable
from collector.signals import HTTP_PATHS, REJECTED_FIELDS, RESPONSE_TYPES, Signal

REQUEST_BYTES_MAX = 1024 * 1024  # a request of 3,000 spans: larger ones are not faster
_ITEMS_PER_PART = 2000
_SENDERS = 4
_PATIENCE_S = 120.0  # an endpoint that takes nothing for so long is not coming back
_RETRY_STATUSES = (429, 502, 503, 504)
_PATHS = {signal: path for path, signal in HTTP_PATHS.items()}


class Rejected(NamedTuple):
    """What the endpoint refused of a request."""

    place: str
    item_count: int
    reason: str


class Sender:
    """A few requests under way at a time. Use as a context manager; what the endpoint `accepted` of each
    signal and what it `rejected` is complete after it."""

    def __init__(self, base_url: str, *, token: str = "", retry_s: float = 1.0) -> None:
        headers = {"content-type": "application/x-protobuf"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        self._base_url = base_url.rstrip("/")
        # trust_env=False: a proxy of the environment must not see local telemetry.
        self._http = httpx2.Client(base_url=self._base_url, headers=headers, timeout=30, trust_env=False)
        self._pool = ThreadPoolExecutor(_SENDERS, thread_name_prefix="replay")
        self._slots = threading.Semaphore(2 * _SENDERS)
        self._retry_s = retry_s
        self._failure: SpyhopError | None = None
        self._guard = threading.Lock()
        self.accepted: Counter[Signal] = Counter()
        self.rejected: list[Rejected] = []

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        self._http.close()
        if kind is None and self._failure is not None:
            raise self._failure

    def send(self, place: str, signal: Signal, payload: bytes, item_count: int) -> None:
        """Queue one request of `item_count` spans, log records or data points; waits while too many are
        under way.

        Raises:
            Unavailable: the endpoint cannot be reached, or takes nothing any more.
            Unauthenticated: it asks for another token.
        """
        if self._failure is not None:
            raise self._failure
        self._slots.acquire()
        self._pool.submit(self._post, place, signal, payload, item_count).add_done_callback(self._done)

    def _done(self, future: Future[None]) -> None:
        self._slots.release()
        error = None if future.cancelled() else future.exception()
        if error is not None and self._failure is None:
            self._failure = error if isinstance(error, SpyhopError) else SpyhopError(str(error))

    def _post(self, place: str, signal: Signal, payload: bytes, item_count: int) -> None:
        deadline_s = monotonic() + _PATIENCE_S
        while True:
            try:
                answer = self._http.post(_PATHS[signal], content=payload)
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                raise Unavailable(
                    f"no OTLP/HTTP endpoint answers at {self._base_url} ({error})",
                    hint="start one with `spyhop serve`, or name another with --to URL",
                ) from error
            if answer.status_code not in _RETRY_STATUSES:
                break
            if monotonic() > deadline_s:
                raise Unavailable(f"{self._base_url} has refused everything for {_PATIENCE_S:g} s")
            sleep(min(self._retry_s, float(answer.headers.get("retry-after", "1") or 1)))
        if answer.status_code in (401, 403):
            raise Unauthenticated(
                f"{self._base_url} wants another bearer token", hint="set it in SPYHOP_OTLP_TOKEN"
            )
        if answer.status_code != 200:
            text = answer.text.strip()[:200]
            self._note(signal, 0, Rejected(place, item_count, f"answered with {answer.status_code} {text}"))
            return
        rejected_count, reason = _partial(signal, answer.content)
        self._note(signal, item_count - rejected_count, Rejected(place, rejected_count, reason))

    def _note(self, signal: Signal, accepted_count: int, rejected: Rejected) -> None:
        with self._guard:
            self.accepted[signal] += accepted_count
            if rejected.item_count:
                self.rejected.append(rejected)


def _partial(signal: Signal, body: bytes) -> tuple[int, str]:
    """How much the endpoint refused in its answer, and why."""
    try:
        partial: Any = RESPONSE_TYPES[signal].FromString(body).partial_success  # type: ignore[attr-defined]  # every response has it
    except DecodeError:
        return 0, ""  # 200 is what counts; other servers answer with what they like
    return getattr(partial, REJECTED_FIELDS[signal]), partial.error_message


def parts(request: Message) -> Iterator[bytes]:
    """The request in pieces that no endpoint finds too large: itself mostly, or slices of its scopes."""
    if request.ByteSize() <= 4 * REQUEST_BYTES_MAX:
        yield request.SerializeToString()
        return
    for field, resources in request.ListFields():
        for resource in resources:
            (scope_field,) = (f for f in resource.DESCRIPTOR.fields if f.name.startswith("scope_"))
            for scope in getattr(resource, scope_field.name):
                (item_field,) = (f for f in scope.DESCRIPTOR.fields if f.is_repeated)
                items = getattr(scope, item_field.name)
                for start in range(0, len(items), _ITEMS_PER_PART):
                    part = type(request)()
                    envelope = getattr(part, field.name).add()
                    envelope.resource.CopyFrom(resource.resource)
                    envelope.schema_url = resource.schema_url
                    inner = getattr(envelope, scope_field.name).add()
                    inner.scope.CopyFrom(scope.scope)
                    inner.schema_url = scope.schema_url
                    getattr(inner, item_field.name).extend(items[start : start + _ITEMS_PER_PART])
                    yield part.SerializeToString()
