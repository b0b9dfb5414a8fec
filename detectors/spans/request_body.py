"""Subtracts the time that a server waits for a slow request body from its span: that time is the client's.

    own = d - Σ max(d_b - p50_b, 0)    over the spans b inside it that read the body

A client on a slow line may send its body over half a minute, which makes the server's span that long.
Automatic instrumentation shows this wait as a span: ASGI's `… http receive`, the body parsers of Express. The
excess of that span is subtracted from the span around it before the latter is judged. The reading spans
themselves are anomalies of SEV4 at most, and open no incident.

>>> reads_body(("gateway", "POST /upload http receive", "INTERNAL")), reads_body(("shop", "GET /", "SERVER"))
(True, False)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pyarrow as pa

from detectors.model.anomaly import Anomaly
from detectors.model.operation import Operation
from detectors.model.severity import severity_of
from detectors.settings import Settings
from detectors.stats.arrays import IntArray
from detectors.stream.span_groups import SpanGroups

_READS_BODY = re.compile(r"(^| )http receive$|^middleware - (?:(?:json|urlencoded|raw|text)Parser|multer)")
_REMEMBERED_MAX = 20_000  # parents of such waits that have not landed yet
_BELOW = 0.01
_CLIENT = "it waited for its client"


def reads_body(operation: Operation) -> bool:
    """Whether spans of this operation last until the client has sent its body."""
    return operation[2] == "INTERNAL" and _READS_BODY.search(operation[1]) is not None


class RequestBodies:
    """Own times of spans without waits for clients. Not thread-safe; memory only, and bounded."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[Operation, bool] = {}
        self._waited: dict[int, int] = {}  # ns above the usual, by the hash of the parent span

    def own(self, spans: pa.Table, groups: SpanGroups) -> pa.Table:
        """The spans of a batch without the time that they waited for their clients; unchanged where none did.

        Args:
            spans: columns of `stream/queries/new_spans.sql`.
            groups: of these spans.
        """
        reading = np.array([self._reads_body(key) for key in groups.keys], dtype=np.bool_)
        duration: IntArray = spans["duration_ns"].to_numpy()
        if reading.any():
            rows = np.flatnonzero(reading[groups.codes])
            excess = duration[rows] - groups.limits(lambda model: model.tail.p50)[rows]
            parents = spans["parent_hash"].to_numpy()[rows]
            for parent, waited in zip(parents.tolist(), excess.tolist(), strict=True):
                if waited > 0 and parent:
                    self._waited[parent] = self._waited.get(parent, 0) + int(waited)
            for parent in list(self._waited)[:-_REMEMBERED_MAX]:
                del self._waited[parent]
        if not self._waited:
            return spans
        hashes = spans["span_hash"].to_numpy()
        rows = np.flatnonzero(np.isin(hashes, np.array(list(self._waited), dtype=np.uint64)))
        if not len(rows):
            return spans
        duration = duration.copy()
        for row in rows.tolist():
            duration[row] = max(duration[row] - self._waited.pop(int(hashes[row]), 0), 0)
        place = spans.schema.get_field_index("duration_ns")
        return spans.set_column(place, "duration_ns", pa.array(duration))

    def bounded(self, anomalies: Iterable[Anomaly]) -> list[Anomaly]:
        """The anomalies, with those of waits for a client reduced to SEV4 at most."""
        return [self._mild(a) if self._reads_body(a.operation_key) else a for a in anomalies]

    def clients(self, anomalies: Iterable[Anomaly]) -> list[Anomaly]:
        """Spans that are slow only because of their clients: excluded from learning, with no other effect."""
        return [self._mild(anomaly) for anomaly in anomalies]

    def _mild(self, anomaly: Anomaly) -> Anomaly:
        thresholds = self._settings.severity_sigmas()
        sigma = min(anomaly.sigma, thresholds[2] - _BELOW)
        details = {**anomaly.details, "span_sigma": 0.0, "shift_sigma": 0.0, "text": _CLIENT}
        return replace(anomaly, sigma=sigma, severity=severity_of(sigma, thresholds), details=details)

    def _reads_body(self, operation: Operation) -> bool:
        known = self._known.get(operation)
        if known is None:
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            known = self._known[operation] = reads_body(operation)
        return known
