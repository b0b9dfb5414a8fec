"""Chooses the verdicts of an export and the split of each, without reading texts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from datasets.export.fingerprint import components
from datasets.export.gold import Reject, choose
from datasets.export.labelled import Chosen, Head, Source, by_explanation
from datasets.export.rejects import Rejects
from datasets.export.row import Split
from datasets.export.settings import Settings

MIN_GROUPS_TO_SPLIT = 10  # with fewer, one or two held-out incidents show nothing and training needs all


@dataclass(frozen=True)
class Filters:
    """Which verdicts to use; None is all. Severities are 1 (worst) to 5, of the incident or the anomaly."""

    rating: str | None = None
    verdict: str | None = None
    reviewers: tuple[str, ...] = ()
    min_reviewers: int = 1
    label_source: str | None = None
    since_unix_nano: int | None = None
    until_unix_nano: int | None = None
    template: str | None = None
    model: str | None = None
    max_severity: int | None = None

    def refusal(self, head: Head, reviewer_count: int) -> str | None:  # noqa: PLR0911 - a line a filter
        """Why a verdict is left out; None when it passes. The reviewers are those of its explanation."""
        if self.rating is not None and head.rating != self.rating:
            return "outside the rating filter"
        if self.verdict is not None and head.verdict != self.verdict:
            return "outside the verdict filter"
        if self.reviewers and head.rater not in self.reviewers:
            return "outside the reviewer filter"
        if reviewer_count < self.min_reviewers:
            return "judged by fewer reviewers than asked for"
        if self.label_source is not None and label_source(head) != self.label_source:
            return "outside the label-source filter"
        if self.since_unix_nano is not None and head.updated_unix_nano < self.since_unix_nano:
            return "older than the since filter"
        if self.until_unix_nano is not None and head.updated_unix_nano >= self.until_unix_nano:
            return "newer than the until filter"
        if self.template is not None and head.prompt_version != self.template:
            return "outside the template filter"
        if self.model is not None and (head.model or "") != self.model:
            return "outside the model filter"
        if self.max_severity is not None and head.severity > self.max_severity:
            return "below the severity filter"
        return None

    def as_dict(self) -> dict[str, Any]:
        """For the manifest: how many reviewers were named, not who."""
        return asdict(self) | {"reviewers": len(self.reviewers)}


def label_source(head: Head) -> str:
    """Where a verdict's label comes from, as the filter names it."""
    if head.is_adjudication:
        return "adjudication"
    return "correction" if head.is_corrected else f"thumbs-{head.rating}"


@dataclass
class Selection:
    """The chosen verdicts, oldest explanation first, with their splits; and why the others are not."""

    chosen: list[Chosen] = field(default_factory=list)
    rejects: Rejects = field(default_factory=Rejects)
    labelled_count: int = 0
    splits: Mapping[bytes, Split] = field(default_factory=dict)

    def split_of(self, chosen: Chosen) -> Split:
        return self.splits[chosen.fingerprint]


def select(source: Source, filters: Filters, settings: Settings) -> Selection:
    """The same verdicts, settings and filters give the same selection."""
    found = Selection()
    groups: list[tuple[bytes, str]] = []
    for verdicts in by_explanation(source.heads()):
        found.labelled_count += len(verdicts)
        chosen, rejects = choose(verdicts)
        found.rejects.extend(rejects)
        if chosen is None:
            continue
        reviewers = {head.rater for head in verdicts if head.verdict == chosen.verdict}
        refusal = filters.refusal(chosen, len(reviewers))
        if refusal:
            found.rejects.append(Reject(chosen.example_id, refusal))
        else:
            found.chosen.append(Chosen.of(chosen))
            groups.append((chosen.fingerprint, chosen.group_id))
    component_of = components(groups)
    splits = assign_splits(set(component_of.values()), settings)
    found.splits = {mark: splits[component] for mark, component in component_of.items()}
    return found


def assign_splits(groups: set[bytes], settings: Settings) -> dict[bytes, Split]:
    """A split for each group by a hash of seed and group: a group keeps its split as others are added."""
    if len(groups) < MIN_GROUPS_TO_SPLIT:
        return dict.fromkeys(groups, "train")
    return {group: _split(group, settings) for group in groups}


def _split(group: bytes, settings: Settings) -> Split:
    digest = hashlib.sha256(f"{settings.export_seed}:".encode() + group).digest()
    fraction = int.from_bytes(digest[:8], "big") / 2**64
    if fraction < settings.export_validation_share:
        return "validation"
    held_out = settings.export_validation_share + settings.export_test_share
    return "test" if fraction < held_out else "train"
