"""HTTP paths of the training data: statistics, and rows as JSON lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from datasets.export.build import Export, Filters, build_export
from datasets.export.formats import FORMATS, format_named
from datasets.export.labelled import from_store
from datasets.export.manifest import build_manifest
from datasets.export.row import Row
from datasets.export.settings import Settings


def build_router(store: Store, settings: Settings) -> APIRouter:
    """`/api/monitor/training/stats` and `/api/monitor/training/export`."""
    router = APIRouter(prefix="/api/monitor/training", tags=["training data"])

    @router.get("/stats", response_model=None)
    def stats() -> dict[str, Any]:
        examples = from_store(store)
        counts = store.read(load_sql("datasets.export.queries", "explanation_counts")).to_pylist()
        ratings = Counter(example.rating for example in examples)
        return {
            "explanations": {row["source"]: row["explanation_count"] for row in counts},
            "feedback": {
                "total": len(examples),
                "up": ratings["up"],
                "down": ratings["down"],
                "corrected": sum(bool(example.correction) for example in examples),
            },
            "exportable": {
                name: _summary(build_export(examples, format_, settings), settings)
                for name, format_ in FORMATS.items()
            },
        }

    @router.get("/export", response_model=None)
    def export(
        format_name: Annotated[str, Query(alias="format")] = "trl-sft",
        split: Literal["train", "validation", "all"] = "all",
        rating: Literal["up", "down"] | None = None,
    ) -> StreamingResponse:
        format_ = format_named(format_name)
        built = build_export(from_store(store), format_, settings, Filters(rating=rating))
        rows = built.rows if split == "all" else built.of(split)
        return StreamingResponse(
            _lines(rows),
            media_type="application/jsonl",
            headers={"Content-Disposition": f'attachment; filename="spyhop-{format_.name}-{split}.jsonl"'},
        )

    return router


def _summary(export: Export, settings: Settings) -> dict[str, Any]:
    manifest = build_manifest(export, {}, Filters(), settings)
    return {"rows": manifest["rows"], **manifest["counts"], "rejects": manifest["reject_counts"]}


def _lines(rows: Iterator[Row] | Any) -> Iterator[str]:
    for row in rows:
        yield row.text + "\n"
