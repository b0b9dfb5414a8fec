"""Labelled explanations: what was said, on what evidence, and what an engineer thought of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collector.client import Client
from collector.store.sqlfile import load_sql
from collector.store.store import Store

PAGE_ROWS = 500  # a context is a few kB: some MB a page

ReadPage = Callable[[str, Mapping[str, object]], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Labelled:
    """One verdict; `example_id` is its feedback_id. JSON columns are parsed."""

    example_id: str
    rating: str
    verdict: str
    is_adjudication: bool
    rater: str
    correction: Mapping[str, Any]
    updated_unix_nano: int
    explanation_id: str
    subject_kind: str
    subject_id: str
    group_id: str
    source: str
    model: str | None
    prompt_version: str
    summary: str
    root_causes: Sequence[Mapping[str, Any]]
    evidence: Sequence[Mapping[str, Any]]
    recommendations: Sequence[str]
    context: Mapping[str, Any]


def from_store(store: Store) -> list[Labelled]:
    """All verdicts, read inside the server."""
    return list(_pages(lambda sql, params: store.read(sql, params).to_pylist()))


def from_client(client: Client) -> list[Labelled]:
    """All verdicts, read from a running server."""
    return list(_pages(lambda sql, params: client.sql(sql, params, limit=PAGE_ROWS).to_dicts()))


def _pages(read: ReadPage) -> Iterator[Labelled]:
    sql, after = load_sql("datasets.export.queries", "labelled"), ""
    while True:
        rows = read(sql, {"after": after, "page_rows": PAGE_ROWS})
        for row in rows:
            yield _labelled(row)
        if len(rows) < PAGE_ROWS:
            return
        after = rows[-1]["feedback_id"]


def _labelled(row: Mapping[str, Any]) -> Labelled:
    values = dict(row)
    values["example_id"] = values.pop("feedback_id")
    for name in ("root_causes", "evidence", "recommendations", "context"):
        values[name] = json.loads(values[name])
    values["correction"] = json.loads(values["correction"]) if values["correction"] else {}
    return Labelled(**values)
