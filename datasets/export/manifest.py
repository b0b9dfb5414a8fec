"""`manifest.json`: what an export holds, what it left out and why, and how to make it again."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from datasets.export.build import Export, Filters
from datasets.export.row import SPLITS, Row
from datasets.export.settings import Settings
from llm.redact import REDACTION_VERSION


def build_manifest(
    export: Export, files: Mapping[str, bytes], filters: Filters, settings: Settings
) -> dict[str, Any]:
    """The manifest of `export`; `files` are the written files by name. Same input, same bytes."""
    tokens = [row.token_estimate for row in export.rows]
    return {
        "format": export.format.name,
        "schema_version": export.format.schema_version,
        "redaction_version": REDACTION_VERSION,
        "seed": settings.export_seed,
        "validation_share": settings.export_validation_share,
        "filters": {"rating": filters.rating, "since_unix_nano": filters.since_unix_nano},
        "rows": len(export.rows),
        "counts": {
            "labelled": export.labelled_count,
            "rejected": len(export.rejects),
            **{split: len(export.of(split)) for split in SPLITS},
        },
        "label_sources": _count(row.gold.label_source for row in export.rows),
        "sentences": _count(check.verdict for row in export.rows for check in row.gold.checks),
        "prompt_versions": _count(row.gold.example.prompt_version for row in export.rows),
        "token_estimates": {
            "total": sum(tokens),
            "max": max(tokens, default=0),
            "limit": settings.export_max_row_tokens,
        },
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "lines": data.count(b"\n")}
            for name, data in sorted(files.items())
        },
        "reject_counts": _count(_kind(reject.reason) for reject in export.rejects),
        "rejects": [{"example_id": r.example_id, "reason": r.reason} for r in export.rejects],
    }


def provenance(row: Row) -> dict[str, Any]:
    """Where a row comes from. Raters stay behind: a person's name has no place in training data."""
    example = row.gold.example
    return {
        "example_id": example.example_id,
        "explanation_id": example.explanation_id,
        "group_id": example.group_id,
        "subject": {"kind": example.subject_kind, "id": example.subject_id},
        "split": row.split,
        "label_source": row.gold.label_source,
        "explanation_source": example.source,
        "model": example.model,
        "prompt_version": example.prompt_version,
        "content_sha256": row.content_hash,
        "token_estimate": row.token_estimate,
    }


def _kind(reason: str) -> str:
    """Reasons that name an example or a size, counted as one."""
    for prefix, kind in (("duplicate of", "duplicate"), ("about", "too long")):
        if reason.startswith(prefix):
            return kind
    return reason


def _count(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
