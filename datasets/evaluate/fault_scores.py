"""Results of detection and localisation for each kind of fault, case by case."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from datasets.evaluate.localisation_scores import CaseScore


class Raised(NamedTuple):
    """The anomalies raised on some traces.

    fired: detector and rule → how many of the traces have such an anomaly.
    in_incident: whether an anomaly of theirs belongs to an incident.
    severity: the worst; None without an anomaly.
    """

    fired: Mapping[str, int]
    trace_count: int
    in_incident: bool
    severity: int | None


class Flags:
    """The anomalies of a replay by trace."""

    def __init__(self, anomalies: pa.Table) -> None:
        """
        Args:
            anomalies: columns of `queries/replayed_anomalies.sql`.
        """
        self._by_trace: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in anomalies.select(["trace_id", "fired", "severity", "incident_id"]).to_pylist():
            self._by_trace[row["trace_id"]].append(row)

    def on(self, traces: Collection[str]) -> Raised:
        """What was raised on these traces."""
        found = [self._by_trace[trace_id] for trace_id in traces if trace_id in self._by_trace]
        fired = Counter(name for rows in found for name in {row["fired"] for row in rows})
        rows = [row for rows in found for row in rows]
        return Raised(
            dict(sorted(fired.items())),
            len(found),
            any(row["incident_id"] for row in rows),
            min((row["severity"] for row in rows), default=None),
        )


class CaseOutcome(NamedTuple):
    """One case.

    flagged_count: affected traces that are anomalous by their own score.
    affected: on the traces that are labelled anomalous; on all of the case where none is.
    beside: on its other traces.
    ranked: the rank of its root service, None if no rank names it.
    """

    case_id: str
    affected_count: int
    flagged_count: int
    affected: Raised
    beside: Raised
    ranked: CaseScore

    @property
    def detected(self) -> bool:
        """Whether something was raised on an affected trace, or one of them is flagged by its own score."""
        return self.alerted or self.flagged_count > 0

    @property
    def alerted(self) -> bool:
        return self.affected.trace_count > 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "case_id": self.case_id,
            "fault_kind": self.ranked.fault_kind,
            "detected": self.detected,
            "in_incident": self.affected.in_incident,
            "severity": self.affected.severity,
            "affected_traces": self.affected_count,
            "flagged_traces": self.flagged_count,
            "alerted": self.alerted,
            "fired": dict(self.affected.fired),
            "fired_beside": dict(self.beside.fired),
            "rank": self.ranked.rank,
            "operation_hit": self.ranked.operation,
        }


def case_outcome(
    case_id: str,
    traces: Sequence[str],
    labels: Mapping[str, bool],
    ranked: CaseScore,
    *,
    flags: Flags,
    flagged: Collection[str],
) -> CaseOutcome:
    """
    Args:
        traces: of the case.
        labels: whether a trace is anomalous.
        flagged: the traces that are anomalous by their own score.
    """
    affected = affected_traces(traces, labels)
    others = set(traces).difference(affected)
    found = sum(trace_id in flagged for trace_id in affected)
    return CaseOutcome(case_id, len(affected), found, flags.on(affected), flags.on(others), ranked)


def affected_traces(traces: Sequence[str], labels: Mapping[str, bool]) -> Sequence[str]:
    """The traces of a case that are labelled anomalous; all where none is."""
    return [trace_id for trace_id in traces if labels.get(trace_id)] or traces


def by_fault_kind(outcomes: Sequence[CaseOutcome]) -> dict[str, dict[str, Any]]:
    """For each kind of fault how many cases were detected, became an incident and were localised, and in how
    many each kind of anomaly fired."""
    kinds: dict[str, list[CaseOutcome]] = defaultdict(list)
    for outcome in outcomes:
        kinds[outcome.ranked.fault_kind].append(outcome)
    return {kind: _figures(members) for kind, members in sorted(kinds.items())}


def _figures(cases: Sequence[CaseOutcome]) -> dict[str, Any]:
    fired = Counter(name for case in cases for name in case.affected.fired)
    beside = Counter(name for case in cases if not case.detected for name in case.beside.fired)
    ranks = [case.ranked.rank for case in cases]
    named = [case.ranked.operation for case in cases if case.ranked.operation is not None]
    affected = sum(case.affected_count for case in cases)
    return {
        "n": len(cases),
        "detected": sum(case.detected for case in cases),
        "alerted": sum(case.alerted for case in cases),
        "in_incident": sum(case.affected.in_incident for case in cases),
        "flagged_share": round(sum(case.flagged_count for case in cases) / affected, 4),
        "first": sum(rank == 1 for rank in ranks),
        "in_first_three": sum(rank is not None and rank <= 3 for rank in ranks),
        "operation_first": sum(named),
        "operation_named": len(named),  # labels that name one
        "fired": dict(fired.most_common()),
        "fired_beside_if_missed": dict(beside.most_common()),
        "missed": [case.case_id for case in cases if not case.detected],
    }
