"""Scores services by metrics that moved during the incident: a shifted level, a resource that grows.

Each metric counts for the service that sent it, and only the surest one. Most metrics repeat the spans:
lengths, queues and rates move in every service behind a fault. So they count for a quarter of what resources
do, since no span shows a process that runs out of memory or of a processor. Services that none of the traces
has called are left out: in a large system something always moves somewhere. So is the load of a host, which
instrumented services send as well: it is everybody's who runs there (`evidence.everywhere` tells of it).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from detectors.localise.evidence.finding import EVIDENCE_MAX, Finding, Scores, evidence
from detectors.localise.traces import Traces
from detectors.metrics.resource import is_load_of_host, is_resource

METRICS = "metrics"
METRIC = "metric"  # kind of its findings
# One row for each metric anomaly of the incident's time; figures in its unit.
METRIC_COLUMNS = [
    *("service_name", "metric_name", "sigma", "observed", "expected", "unit", "text", "trace_id", "span_id")
]
_SIGMA_MAX = 8.0  # in units of z, as other sources
_APPLICATION = 0.25


def metrics(moved: pa.Table | None, traces: Traces) -> Scores:
    """Scores in units of z.

    Args:
        moved: columns `METRIC_COLUMNS`; None without.
    """
    scores = Scores()
    rows = [] if moved is None else moved.select(METRIC_COLUMNS).to_pylist()
    if not rows:
        return scores
    services = {traces.services[code] for code in np.unique(traces.service[traces.incident]).tolist()}
    for row in sorted(rows, key=lambda row: (-row["sigma"], row["metric_name"], row["text"])):
        service, name = row["service_name"], row["metric_name"]
        if service not in services or is_load_of_host(name):
            continue
        score = min(row["sigma"], _SIGMA_MAX) * (1.0 if is_resource(name) else _APPLICATION)
        item = evidence(
            METRIC, row, row["text"], observed=row["observed"], expected=row["expected"], unit=row["unit"]
        )
        scores.services[service] = max(scores.services[service], score)
        known = scores.findings.get((service, name))
        if known is None or len(known.evidence) < EVIDENCE_MAX:
            scores.add((service, name), Finding(score, METRIC, [item]))
    return scores
