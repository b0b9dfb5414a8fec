"""Labelled explanations → rows: judged, filtered, bounded, without duplicates, split by fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from datasets.export.fingerprint import components, without_figures
from datasets.export.gold import Gold, Reject, judge
from datasets.export.labelled import Labelled
from datasets.export.row import Format, Row, Split
from datasets.export.settings import Settings
from llm.context import CHARS_PER_TOKEN

MIN_GROUPS_TO_SPLIT = 10  # below, a held-out incident or two says nothing and training needs them all


@dataclass(frozen=True)
class Filters:
    """Which verdicts to use; None is all."""

    rating: str | None = None
    since_unix_nano: int | None = None

    def refusal(self, example: Labelled) -> str | None:
        if self.rating is not None and example.rating != self.rating:
            return "outside the rating filter"
        if self.since_unix_nano is not None and example.updated_unix_nano < self.since_unix_nano:
            return "older than the since filter"
        return None


@dataclass(frozen=True)
class Export:
    """Rows in the order of their example ids, and the verdicts that made none."""

    format: Format
    rows: Sequence[Row]
    rejects: Sequence[Reject]
    labelled_count: int

    def of(self, split: Split) -> list[Row]:
        return [row for row in self.rows if row.split == split]


def build_export(
    examples: Iterable[Labelled], format_: Format, settings: Settings, filters: Filters = Filters()
) -> Export:
    """The same examples, settings and filters give the same export, byte for byte."""
    examples = list(examples)
    golds, rejects = judge(examples)
    candidates: list[Gold] = []
    for gold in sorted(golds, key=lambda gold: gold.example.example_id):
        refusal = filters.refusal(gold.example)
        if refusal:
            rejects.append(Reject(gold.example.example_id, refusal))
        else:
            candidates.append(gold)
    component_of = components(gold.example for gold in candidates)
    splits = assign_splits(set(component_of.values()), settings)
    rows: list[Row] = []
    first_of: dict[str, str] = {}
    for gold in candidates:
        row = _row(gold, format_, splits[component_of[gold.example.example_id]])
        if row.token_estimate > settings.export_max_row_tokens:
            reason = f"about {row.token_estimate} tokens, over {settings.export_max_row_tokens}"
            rejects.append(Reject(gold.example.example_id, reason))
        elif row.content_hash in first_of:
            reason = f"duplicate of {first_of[row.content_hash]}"
            rejects.append(Reject(gold.example.example_id, reason))
        else:
            first_of[row.content_hash] = gold.example.example_id
            rows.append(row)
    rejects.sort(key=lambda reject: (reject.example_id, reject.reason))
    return Export(format_, rows, rejects, len(examples))


def assign_splits(groups: set[str], settings: Settings) -> dict[str, Split]:
    """A split for each group by a hash of seed and group: a group stays where it is as others come."""
    if len(groups) < MIN_GROUPS_TO_SPLIT:
        return dict.fromkeys(groups, "train")
    return {group: _split(group, settings) for group in groups}


def _split(group: str, settings: Settings) -> Split:
    digest = hashlib.sha256(f"{settings.export_seed}:{group}".encode()).digest()
    fraction = int.from_bytes(digest[:8], "big") / 2**64
    return "validation" if fraction < settings.export_validation_share else "train"


def _row(gold: Gold, format_: Format, split: Split) -> Row:
    text = format_.build(gold).model_dump_json()
    return Row(
        gold=gold,
        split=split,
        text=text,
        content_hash=hashlib.sha256(without_figures(text).encode()).hexdigest(),
        token_estimate=len(text) // CHARS_PER_TOKEN,
    )
