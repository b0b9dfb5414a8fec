"""Raises the score of a trace to that of the stretch of time to which one of its spans belongs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from detectors.scoring.trace_score import SCORE_SCHEMA


class Member(NamedTuple):
    """A span in a stretch.

    sigma: of the stretch. reason: why the trace is unusual, in words. span: span_id, service_name, operation.
    """

    sigma: float
    reason: str
    span: Mapping[str, Any]


def keep_stronger(members: dict[str, Member], trace_id: str, member: Member) -> None:
    """Of several spans of a trace the one in the least probable stretch counts; of equal ones the first."""
    known = members.get(trace_id)
    if known is None or known.sigma < member.sigma:
        members[trace_id] = member


def raised(scores: pa.Table, members: Mapping[str, Member]) -> pa.Table:
    """The scores, those of these traces raised where their stretch is less probable than they are alone.

    Args:
        scores: rows of `SCORE_SCHEMA`; traces that are not among them are passed over.
        members: by trace id.
    """
    if not members:
        return scores
    rows = scores.to_pylist()
    for score in rows:
        member = members.get(score["trace_id"])
        if member is not None and member.sigma > score["anomaly_sigma"]:
            place = {name: member.span[name] for name in ("span_id", "service_name", "operation")}
            score |= {"anomaly_sigma": member.sigma, "reason": member.reason, **place}
    return pa.Table.from_pylist(rows, SCORE_SCHEMA)
