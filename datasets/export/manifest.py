"""`manifest.json`: the contents of an export, what was left out and why, and how to repeat it."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from datasets.export.rejects import MAX_LISTED_REJECTS, Rejects
from datasets.export.row import SPLITS, Format, Row
from datasets.export.select import Filters
from datasets.export.settings import Settings
from llm.redaction.redact import REDACTION_VERSION


@dataclass
class Statistics:
    """Counts over the rows of one format, kept while they are written."""

    splits: Counter[str] = field(default_factory=Counter)
    label_sources: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)
    prompt_versions: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    tokens: array[int] = field(default_factory=lambda: array("l"))

    @property
    def row_count(self) -> int:
        return len(self.tokens)

    def take(self, row: Row) -> None:
        example, lesson = row.judged.example, row.judged.lesson
        self.splits[row.split] += 1
        self.label_sources[lesson.label_source] += 1
        self.verdicts[example.verdict] += 1
        self.prompt_versions[example.prompt_version] += 1
        self.models[example.model or "none"] += 1
        self.tokens.append(row.token_estimate)
        self.sentences.update(lesson.sentences)


def build_manifest(  # noqa: PLR0917
    format_: Format,
    statistics: Statistics,
    rejects: Rejects,
    labelled_count: int,
    filters: Filters,
    settings: Settings,
) -> dict[str, Any]:
    """The manifest without its `files`. Same input, same bytes."""
    return {
        "format": format_.name,
        "schema_version": format_.schema_version,
        "redaction_version": REDACTION_VERSION,
        "seed": settings.export_seed,
        "validation_share": settings.export_validation_share,
        "test_share": settings.export_test_share,
        "filters": filters.as_dict(),
        "rows": statistics.row_count,
        "counts": {
            "labelled": labelled_count,
            "rejected": len(rejects),
            **{split: statistics.splits[split] for split in SPLITS},
        },
        "label_sources": _sorted(statistics.label_sources),
        "verdicts": _sorted(statistics.verdicts),
        "sentences": _sorted(statistics.sentences),
        "prompt_versions": _sorted(statistics.prompt_versions),
        "models": _sorted(statistics.models),
        "token_estimates": _token_statistics(statistics, settings),
        "warnings": _warnings(format_, statistics),
        "reject_counts": _sorted(rejects.kinds),
        "rejects": [{"example_id": r.example_id, "reason": r.reason} for r in rejects.listed()],
        "rejects_not_listed": max(0, len(rejects) - MAX_LISTED_REJECTS),
    }


def file_entry(path: Path) -> dict[str, Any]:
    """Size, SHA-256 and number of lines of a file, in bounded memory."""
    digest, size_bytes, lines = hashlib.sha256(), 0, 0
    with path.open("rb") as data:
        while chunk := data.read(1 << 20):
            digest.update(chunk)
            size_bytes += len(chunk)
            lines += chunk.count(b"\n")
    return {"bytes": size_bytes, "sha256": digest.hexdigest(), "lines": lines}


def provenance(row: Row) -> dict[str, Any]:
    """The source of a row. Names of raters are left out: they have no place in training data."""
    example, lesson = row.judged.example, row.judged.lesson
    return {
        "example_id": example.example_id,
        "explanation_id": example.explanation_id,
        "group_id": example.group_id,
        "subject": {"kind": example.subject_kind, "id": example.subject_id},
        "split": row.split,
        "verdict": example.verdict,
        "is_adjudication": example.is_adjudication,
        "label_source": lesson.label_source,
        "explanation_source": example.source,
        "model": example.model,
        "prompt_version": example.prompt_version,
        "content_hash": lesson.content_hash.hex(),
        "token_estimate": row.token_estimate,
    }


def _token_statistics(statistics: Statistics, settings: Settings) -> dict[str, Any]:
    tokens = (
        np.frombuffer(statistics.tokens, dtype=np.dtype("l")) if statistics.row_count else np.zeros(1, int)
    )
    p50, p90, p99 = (int(value) for value in np.quantile(tokens, [0.5, 0.9, 0.99], method="higher"))
    return {
        "total": int(tokens.sum()), "min": int(tokens.min()), "p50": p50, "p90": p90, "p99": p99,
        "max": int(tokens.max()), "limit": settings.export_max_row_tokens,
        "how": "bytes of the row / 4: an estimate, the tokeniser is the trainer's",
    }  # fmt: skip


def _warnings(format_: Format, statistics: Statistics) -> list[str]:
    """Problems that a trainer would refuse or miss."""
    found = []
    if 0 < statistics.splits["train"] < format_.min_rows:
        found.append(f"{statistics.splits['train']} training rows: a job needs at least {format_.min_rows}")
    if format_.needs_validation and statistics.row_count and not statistics.splits["validation"]:
        found.append("no validation rows: a job needs some")
    labels = {name for name in statistics.verdicts if statistics.verdicts[name]}
    if format_.name == "trl-kto" and statistics.row_count and labels in ({"right"}, {"wrong"}):
        found.append("all verdicts are the same: KTO learns from both")
    return found


def _sorted(counts: Counter[str] | Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(counts).items()))
