"""HTTP paths of the training data: statistics, and rows as JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from collector.errors import InvalidInput
from collector.store.sqlfile import load_sql
from collector.store.store import Store
from datasets.export.build import Export, Rows, build_exports, judged_examples
from datasets.export.formats import FORMATS, formats_named
from datasets.export.labelled import Database
from datasets.export.manifest import Statistics, build_manifest
from datasets.export.rejects import Rejects
from datasets.export.row import Format, Split
from datasets.export.select import Filters, Selection, select
from datasets.export.settings import Settings

# Statistics of what could be exported make all rows: half a second for this many verdicts.
MAX_COUNTED = 1_000


def build_router(store: Store, settings: Settings) -> APIRouter:
    """`/api/monitor/training/stats` and `/api/monitor/training/export`."""
    router = APIRouter(prefix="/api/monitor/training", tags=["training data"])
    source = Database.of_store(store)

    @router.get("/stats", response_model=None)
    def stats() -> dict[str, Any]:
        counts = store.read(load_sql("datasets.export.queries", "explanation_counts")).to_pylist()
        said = store.read(load_sql("datasets.export.queries", "feedback_counts")).to_pylist()[0]
        told: dict[str, Any] = {
            "explanations": {row["source"]: row["explanation_count"] for row in counts},
            "feedback": said,
            "exportable": None,
        }
        if said["total"] > MAX_COUNTED:
            note = f"not counted beyond {MAX_COUNTED:,} verdicts: spyhop export --dry-run counts all"
            return told | {"exportable_note": note}
        exports = build_exports(source, FORMATS.values(), settings)
        return told | {"exportable": {name: _summary(made, settings) for name, made in exports.items()}}

    @router.get("/export", response_model=None)
    def export(
        format_name: Annotated[str, Query(alias="format")] = "trl-sft",
        split: Literal["train", "validation", "test", "all"] = "all",
        rating: Literal["up", "down"] | None = None,
        verdict: Literal["right", "partly_right", "wrong"] | None = None,
    ) -> StreamingResponse:
        formats = formats_named(format_name)
        if len(formats) > 1:
            raise InvalidInput("one format at a time", hint=f"use one of: {', '.join(FORMATS)}")
        selection = select(source, Filters(rating=rating, verdict=verdict), settings)
        name = f"spyhop-{formats[0].name}-{split}.jsonl"
        return StreamingResponse(
            _lines(source, selection, formats[0], settings, None if split == "all" else split),
            media_type="application/jsonl",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    return router


def _summary(export: Export, settings: Settings) -> dict[str, Any]:
    statistics = Statistics()
    for row in export.rows:
        statistics.take(row)
    manifest = build_manifest(
        export.format, statistics, Rejects(export.rejects), export.labelled_count, Filters(), settings
    )
    return {"rows": manifest["rows"], **manifest["counts"], "rejects": manifest["reject_counts"]}


def _lines(
    source: Database, selection: Selection, format_: Format, settings: Settings, wanted: Split | None
) -> Iterator[bytes]:
    maker = Rows(format_, settings)
    for judged, split in judged_examples(source, selection, Rejects()):
        for row in maker.of(judged, split):  # also for other splits: duplicates are found over all of them
            if wanted in (None, split):
                yield row.text + b"\n"
