"""Traces that a search found, as the API shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from collector.search.evaluate import Field, Judged
from collector.search.syntax import Intrinsic
from collector.search.times import iso


@dataclass(frozen=True, slots=True)
class FoundSpan:
    """A span that matched. `values`: the fields of select(…) and by(…) that it has."""

    span_id: str
    service_name: str
    span_name: str
    span_kind: str
    status_code: str
    start_ns: int
    duration_ns: int
    values: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {
            "span_id": self.span_id,
            "service_name": self.service_name,
            "span_name": self.span_name,
            "span_kind": self.span_kind,
            "status_code": self.status_code,
            "start_time": iso(self.start_ns),
            "duration_ns": self.duration_ns,
            "values": self.values,
        }


@dataclass(frozen=True, slots=True)
class FoundTrace:
    """A trace of which some spans matched; `spans` are the first of them. Without a root, its earliest span
    stands in the root's place, and `has_root` is false."""

    trace_id: str
    root_service_name: str
    root_span_name: str
    has_root: bool
    start_ns: int
    duration_ns: int
    span_count: int
    error_count: int
    services: dict[str, tuple[int, int]]  # name → spans, errors
    matched_count: int
    spans: list[FoundSpan]

    def as_dict(self) -> dict[str, Any]:
        return {
            "trace_id": self.trace_id,
            "root_service_name": self.root_service_name,
            "root_span_name": self.root_span_name,
            "has_root": self.has_root,
            "start_time": iso(self.start_ns),
            "duration_ns": self.duration_ns,
            "span_count": self.span_count,
            "error_count": self.error_count,
            "services": list(self.services),
            "matched_count": self.matched_count,
            "matched_spans": [span.as_dict() for span in self.spans],
        }


def found_traces(judged: Judged, shown: Sequence[Field], spans_max: int) -> Iterator[FoundTrace]:
    """Each trace with a member, in the order of the rows."""
    members = judged.found.members
    for number in np.unique(judged.trace[members]):
        places = np.flatnonzero(judged.trace == number)  # neighbours, by start
        rows = judged.rows.slice(int(places[0]), len(places))
        matched = np.flatnonzero(members[places])
        first = rows.slice(0, 1).to_pylist()[0]
        statuses = [status == "ERROR" for status in rows["status_code"].to_pylist()]
        services: dict[str, tuple[int, int]] = {}
        for name, is_error in zip(rows["service_name"].to_pylist(), statuses, strict=True):
            spans, errors = services.get(name, (0, 0))
            services[name] = (spans + 1, errors + is_error)
        has_root = first["root_name"] is not None
        yield FoundTrace(
            trace_id=first["trace_id"],
            root_service_name=first["root_service_name"] if has_root else first["service_name"],
            root_span_name=first["root_name"] if has_root else first["span_name"],
            has_root=has_root,
            start_ns=first["start_ns"],
            duration_ns=first["trace_duration_ns"],
            span_count=rows.num_rows,
            error_count=sum(statuses),
            services=dict(sorted(services.items())),
            matched_count=len(matched),
            spans=[_span(row, shown) for row in rows.take(matched[:spans_max]).to_pylist()],
        )


def _span(row: dict[str, Any], shown: Sequence[Field]) -> FoundSpan:
    values = {
        field_name(field): json.loads(text, parse_constant=str)  # JSON has no NaN
        for i, field in enumerate(shown)
        if (text := row[f"f{i}"]) is not None
    }
    return FoundSpan(
        row["span_id"],
        row["service_name"],
        row["span_name"],
        row["span_kind"],
        row["status_code"],
        row["start_ns"],
        row["duration_ns"],
        values,
    )


def field_name(field: Field) -> str:
    """As it is written in a search."""
    if isinstance(field, Intrinsic):
        return field.name
    scope = f"parent.{field.scope}".rstrip(".") if field.of_parent else field.scope
    return f"{scope}.{field.name}"
