"""The report of a source: a score for a service, and the evidence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Place = tuple[str, str]  # service, operation
EVIDENCE_MAX = 3  # of one operation in one source


@dataclass(slots=True)
class Finding:
    """A source's evidence against one operation; `score` orders the operations of a service.

    queued: that others wait for it, which slow work anywhere in its service would explain.
    """

    score: float
    kind: str
    evidence: list[dict[str, Any]]
    queued: bool = False


@dataclass(slots=True)
class Scores:
    """The result of one source.

    services: larger is more suspicious, each source in a unit of its own; 0 and absent mean the same.
    findings: by operation, what the score rests on.
    """

    services: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    findings: dict[Place, Finding] = field(default_factory=dict)

    def add(self, operation: Place, finding: Finding) -> None:
        """Remember a finding; of two on one operation the stronger names the kind and comes first."""
        known = self.findings.get(operation)
        if known is None:
            self.findings[operation] = finding
            return
        strong, weak = (finding, known) if finding.score > known.score else (known, finding)
        evidence = [*strong.evidence, *weak.evidence][: 2 * EVIDENCE_MAX]
        self.findings[operation] = Finding(strong.score, strong.kind, evidence, strong.queued)


def evidence(
    kind: str,
    span: Mapping[str, Any],
    text: str,
    *,
    observed: float | None = None,
    expected: float | None = None,
    unit: str | None = None,
) -> dict[str, Any]:
    """An item of `incidents.root_causes[].evidence`; figures are None where the text alone says it."""
    return {
        "kind": kind,
        "trace_id": span["trace_id"],
        "span_id": span["span_id"],
        "text": text,
        "observed": observed,
        "expected": expected,
        "unit": unit,
    }
