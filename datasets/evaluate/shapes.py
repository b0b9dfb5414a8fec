"""Shapes of a whole system, of which no service is the cause: whether each was named, and told once.

A host that is saturated slows all services at once, and a sender that stops silences them. Each is one
incident with the name of its shape; every further incident, and every anomaly outside of one, is noise that
people read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datasets.evaluate.live_causes import Raised
from detectors.localise.evidence.everywhere import EVERYWHERE, SATURATED

Shape = Literal["host saturated", "everything slower", "telemetry stopped"]
_AFTER_NS = 60_000_000_000  # alarms about what was there come until then


class ShapeOutcome(NamedTuple):
    """What was told of one case.

    incidents: that hold an anomaly of the case's time; alone: its anomalies without an incident.
    """

    shape: str
    told: str
    incidents: int
    alone: int


def told(incidents: Iterable[Raised], traces: Iterable[str], ranking: Sequence[Mapping[str, Any]]) -> str:
    """The shape that is told of a case; empty for none.

    >>> told([Raised(3, 0, frozenset({"t"}), [], is_stop=True)], ["t"], [])
    'telemetry stopped'
    >>> told([], ["t"], [{"evidence": [{"kind": EVERYWHERE}, {"kind": "self_time"}]}])
    'everything slower'
    """
    wanted = set(traces)
    if any(incident.is_stop and incident.traces & wanted for incident in incidents):
        return "telemetry stopped"
    kinds = {item["kind"] for item in (ranking[0]["evidence"] if ranking else ())}
    if SATURATED in kinds:
        return "host saturated"
    return "everything slower" if EVERYWHERE in kinds else ""


def outcome_of(shape: str, said: str, anomalies: pa.Table, case: pa.Table) -> ShapeOutcome:
    """
    Args:
        anomalies: columns of `queries/replayed_anomalies.sql`, and `run`.
        case: columns `run` and `start_unix_nano` of its spans.
    """
    begun = pc.min_max(case["start_unix_nano"]).as_py()
    start = anomalies["start_unix_nano"].to_numpy()
    inside = (start >= begun["min"]) & (start <= begun["max"] + _AFTER_NS)
    same = pc.is_in(anomalies["run"], value_set=pc.unique(case["run"])).to_numpy(zero_copy_only=False)
    found = anomalies.filter(pa.array(np.logical_and(inside, same)))["incident_id"]
    return ShapeOutcome(shape, said, len(pc.unique(found.drop_null())), found.null_count)


def shape_figures(outcomes: Iterable[ShapeOutcome]) -> dict[str, dict[str, float]]:
    """For each shape how many cases, the share that was named, and a case's incidents and lone anomalies."""
    by_shape: dict[str, list[ShapeOutcome]] = defaultdict(list)
    for outcome in outcomes:
        by_shape[outcome.shape].append(outcome)
    return {
        shape: {
            "n": len(found),
            "named": round(sum(one.told == shape for one in found) / len(found), 4),
            "incidents": round(sum(one.incidents for one in found) / len(found), 4),
            "alone": round(sum(one.alone for one in found) / len(found), 4),
        }
        for shape, found in sorted(by_shape.items())
    }
