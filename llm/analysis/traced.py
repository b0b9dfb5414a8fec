"""A span of the exemplar trace with its actual and its usual times: the input of all facts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

_SQL_VERB = re.compile(
    r"^(SELECT|INSERT|UPDATE|DELETE|UPSERT|MERGE|COMMIT|BEGIN|CALL|GET|SET|HGET|HSET|MGET)\b"
)
_HTTP_VERBS_WITHOUT_TARGET = {"GET", "PUT", "POST", "DELETE", "HEAD", "PATCH"}


_NO_ATTRIBUTES: Mapping[str, object] = MappingProxyType({})


class TracedSpan(NamedTuple):
    """Times in nanoseconds. `expected_ns` is the usual self time, None while it is being learned.

    A tuple, since a trace may have 200,000 of them: 1.0 µs of CPU each; a frozen dataclass takes 4.6.
    """

    trace_id: str
    span_id: str
    parent_span_id: str | None
    service: str
    operation: str
    kind: str
    start_unix_nano: int
    duration_ns: int
    self_time_ns: int
    on_critical_path: bool = True
    expected_ns: float | None = None
    sample_count: int | None = None
    status_code: str = "UNSET"
    has_exception: bool = False
    status_message: str = ""
    exception_type: str = ""
    exception_message: str = ""
    attributes: Mapping[str, object] = _NO_ATTRIBUTES

    @property
    def excess_ns(self) -> float:
        return 0.0 if self.expected_ns is None else self.self_time_ns - self.expected_ns

    @property
    def is_database_call(self) -> bool:
        if self.kind != "CLIENT":
            return False
        if "db.system.name" in self.attributes or "db.system" in self.attributes:
            return True
        return self.operation not in _HTTP_VERBS_WITHOUT_TARGET and bool(_SQL_VERB.match(self.operation))


@dataclass(frozen=True)
class MessageWait:
    """A message under way: `wait_ns` from the end of its producer span to the start of its consumer span."""

    producer: TracedSpan
    consumer: TracedSpan
    wait_ns: int
    expected_ns: float | None
    sample_count: int | None


@dataclass(frozen=True)
class TracedTrace:
    """All spans of one trace, in the order of the tree: parents before their children."""

    spans: Sequence[TracedSpan]
    message_waits: Sequence[MessageWait] = ()
    span_count: int = 0

    @cached_property
    def by_id(self) -> dict[str, TracedSpan]:
        return {span.span_id: span for span in self.spans}

    @cached_property
    def children(self) -> dict[str, list[TracedSpan]]:
        grouped: dict[str, list[TracedSpan]] = {}
        for span in self.spans:
            if span.parent_span_id is not None:
                grouped.setdefault(span.parent_span_id, []).append(span)
        return grouped

    @property
    def root(self) -> TracedSpan | None:
        return self.spans[0] if self.spans else None

    def ancestors(self, span: TracedSpan) -> list[TracedSpan]:
        """From the parent upwards; stops at a cycle."""
        found: list[TracedSpan] = []
        seen = {span.span_id}
        parent_id = span.parent_span_id
        while parent_id in self.by_id and parent_id not in seen:
            seen.add(parent_id)
            found.append(self.by_id[parent_id])
            parent_id = found[-1].parent_span_id
        return found

    def deepest_errors(self) -> list[TracedSpan]:
        """Spans in error none of whose children is in error, the deepest first.

        If no span has the status ERROR, spans that recorded an exception are used instead.
        """
        failed = [span for span in self.spans if span.status_code == "ERROR"]
        failed = failed or [span for span in self.spans if span.has_exception]
        passing = {span.parent_span_id for span in failed}
        leaves = [span for span in failed if span.span_id not in passing]
        depth: dict[str, int] = {}
        for span in self.spans if leaves else ():  # parents come before their children
            depth[span.span_id] = depth.get(span.parent_span_id or "", -1) + 1
        # A cycle has no deepest span: any of its spans is better than none.
        return sorted(leaves or failed[:1], key=lambda span: -depth.get(span.span_id, 0))
