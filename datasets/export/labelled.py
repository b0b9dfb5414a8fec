"""Rated explanations from the store: the text, its evidence, and the engineer's verdict.

They are read twice, in bounded memory: all verdicts without the texts (`Head`), from which the rows and their
split are chosen, and then the chosen ones in full (`Labelled`), page by page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, Protocol

import msgspec

from collector.client import Client
from collector.store.sqlfile import load_sql
from collector.store.store import Store
from llm.analysis.fingerprint import structure

HEAD_PAGE_ROWS = 20_000  # of about 600 bytes
PAGE_ROWS = 250  # a context is a few kB: some MB a page

_STRUCTURE = ("fact_kinds", "fact_services", "fact_operations", "candidate_services", "candidate_operations")
ReadPage = Callable[[str, Mapping[str, object]], Iterable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Head:
    """One verdict without its texts; `example_id` is its feedback_id, `fingerprint` 16 bytes."""

    example_id: str
    revision: int
    rater: str
    rating: str
    verdict: str
    is_adjudication: bool
    is_corrected: bool
    updated_unix_nano: int
    explanation_id: str
    explained_unix_nano: int
    group_id: str
    source: str
    model: str | None
    prompt_version: str
    severity: int
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is kept of a chosen head: a fifth of it, for a million examples stay in memory."""

    example_id: str
    revision: int
    explanation_id: str
    explained_unix_nano: int
    is_corrected: bool
    fingerprint: bytes

    @classmethod
    def of(cls, head: Head) -> Chosen:
        return cls(
            head.example_id, head.revision, head.explanation_id, head.explained_unix_nano,
            head.is_corrected, head.fingerprint,
        )  # fmt: skip


@dataclass(frozen=True)
class Labelled:
    """One verdict with its explanation. JSON columns are parsed."""

    example_id: str
    rating: str
    verdict: str
    is_adjudication: bool
    rater: str
    error_tags: Sequence[str]
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


class Source(Protocol):
    """Where verdicts come from. Both reads are in the order of the explanations: oldest first, then by id."""

    def heads(self) -> Iterator[Head]: ...

    def labelled(self, chosen: Sequence[Chosen]) -> Iterator[Labelled]: ...


class Database:
    """Verdicts in a store, or behind a server's HTTP API."""

    def __init__(self, read: ReadPage) -> None:
        self._read = read

    @classmethod
    def of_store(cls, store: Store) -> Database:
        return cls(lambda sql, params: store.read(sql, params).to_pylist())

    @classmethod
    def of_client(cls, client: Client) -> Database:
        return cls(lambda sql, params: client.sql(sql, params).iter_rows(named=True))

    def heads(self) -> Iterator[Head]:
        sql = load_sql("datasets.export.queries", "labelled_heads")
        position: tuple[int, str] | None = (-1, "")
        while position is not None:
            page = {"at": position[0], "after": position[1], "page_rows": HEAD_PAGE_ROWS}
            position = None
            for row in self._read(sql, page):
                position = row["explained_unix_nano"], row["explanation_id"]
                yield _head(row)

    def labelled(self, chosen: Sequence[Chosen]) -> Iterator[Labelled]:
        return (labelled_of(row) for rows in self.pages(chosen) for row in rows)

    def pages(self, chosen: Sequence[Chosen]) -> Iterator[Sequence[Mapping[str, Any]]]:
        """As they are stored, some hundred at a time; `labelled_of` reads one."""
        sql = load_sql("datasets.export.queries", "labelled")
        for start in range(0, len(chosen), PAGE_ROWS):
            page = chosen[start : start + PAGE_ROWS]
            parameters = {
                "from": page[0].explained_unix_nano,
                "until": page[-1].explained_unix_nano,
                "explanation_ids": [head.explanation_id for head in page],
                "feedback_ids": [head.example_id for head in page],
                "revisions": [head.revision for head in page],
            }
            yield list(self._read(sql, parameters))


class InMemory:
    """Verdicts that are at hand."""

    def __init__(self, examples: Iterable[Labelled]) -> None:
        self._examples = {
            e.example_id: e for e in sorted(examples, key=lambda e: (e.explanation_id, e.example_id))
        }

    def heads(self) -> Iterator[Head]:
        return (_head_of(example) for example in self._examples.values())

    def labelled(self, chosen: Sequence[Chosen]) -> Iterator[Labelled]:
        return (self._examples[head.example_id] for head in chosen)


def by_explanation(heads: Iterable[Head]) -> Iterator[list[Head]]:
    """The verdicts on one explanation together."""
    return (list(verdicts) for _, verdicts in groupby(heads, key=lambda head: head.explanation_id))


def _head(row: Mapping[str, Any]) -> Head:
    values = dict(row)
    values["example_id"] = values.pop("feedback_id")
    structure_of = [values.pop(name) for name in _STRUCTURE]
    return Head(**values, fingerprint=_fingerprint(*structure_of))


@lru_cache(maxsize=16_384)  # structures are few, verdicts many: 0.3 ms without
def _fingerprint(*columns: str | None) -> bytes:
    kinds, services, operations, candidate_services, candidate_operations = map(_strings, columns)
    return structure(
        zip(kinds, services, operations, strict=True),
        zip(candidate_services, candidate_operations, strict=True),
    )


def _strings(value: str | None) -> list[str]:
    return msgspec.json.decode(value) if value else []


def _head_of(example: Labelled) -> Head:
    facts = ((f["kind"], f["service"], f["operation"]) for f in example.context.get("facts", ()))
    candidates = ((c["service"], c["operation"]) for c in example.context.get("candidates", ()))
    return Head(
        example_id=example.example_id, revision=1, rater=example.rater, rating=example.rating,
        verdict=example.verdict, is_adjudication=example.is_adjudication,
        is_corrected=bool(example.correction),
        updated_unix_nano=example.updated_unix_nano, explanation_id=example.explanation_id,
        explained_unix_nano=0, group_id=example.group_id, source=example.source, model=example.model,
        prompt_version=example.prompt_version, severity=5, fingerprint=structure(facts, candidates),
    )  # fmt: skip


def labelled_of(row: Mapping[str, Any]) -> Labelled:
    values = dict(row)
    values["example_id"] = values.pop("feedback_id")
    for name in ("root_causes", "evidence", "recommendations", "context"):
        values[name] = msgspec.json.decode(values[name])
    values["correction"] = msgspec.json.decode(values["correction"]) if values["correction"] else {}
    return Labelled(**values)
