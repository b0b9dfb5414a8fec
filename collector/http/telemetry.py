"""The server's own figures, and the page for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from collector.landing.insert import Totals

_HELP = {
    "spyhop_received_total": "Spans, log records and data points that were acknowledged.",
    "spyhop_rejected_total": "Spans, log records and data points that were refused in a partial success.",
    "spyhop_truncated_values_total": "Values and names that were cut because they were too long.",
    "spyhop_unset_times_total": "Spans, log records and data points whose start, end or time was not set.",
    "spyhop_requests_total": "OTLP requests by outcome.",
    "spyhop_landed_total": "Spans, log records and data points in the store, since the database was made.",
    "spyhop_duplicate_spans_total": "Spans that a sender repeated; stored once.",
    "spyhop_replaced_spans_total": "Spans of which a later version came; that one is kept.",
    "spyhop_quarantined_records_total": "Requests kept in files because they could not be stored.",
    "spyhop_spool_bytes": "Acknowledged bytes that have not landed.",
    "spyhop_spool_records": "Acknowledged requests that have not landed.",
    "spyhop_landing_lag_seconds": "Time from durable to queryable.",
    "spyhop_landing_failing": "1 while landing or the spool fails.",
    "spyhop_store_bytes": "The database file, hot files, and this server's files in the lake.",
    "spyhop_disk_free_bytes": "Free space on the data folder's disk.",
    "spyhop_folder_failing": "1 while a file of the data folder or the lake is not what the server wrote.",
    "spyhop_disk_failing": "1 while the disk is read-only or fuller than its reserve allows.",
}
_OUTCOMES = {
    "requests": "accepted",
    "malformed_requests": "malformed",
    "unavailable_requests": "unavailable",
    "unauthenticated_requests": "unauthenticated",
}


def own_figures(
    counts: Mapping[tuple[str, str], int],
    totals: Totals,
    *,
    replaced_spans: int,
    spool: Mapping[str, object],
    landing: Mapping[str, object],
    lake: Mapping[str, object],
    disk: Mapping[str, object],
    folder: Mapping[str, object],
) -> Iterator[Metric]:
    """From `Intake.counts`, `Lander.totals` and the five statuses."""
    samples: dict[str, list[tuple[dict[str, str], object]]] = {name: [] for name in _HELP}
    for (signal, what), number in sorted(counts.items()):
        if what in _OUTCOMES:
            labels = {"signal": signal, "outcome": _OUTCOMES[what]}
            samples["spyhop_requests_total"].append((labels, number))
        else:
            samples[f"spyhop_{what}_total"].append(({"signal": signal}, number))
    landed = {"traces": totals.spans, "logs": totals.logs, "metrics": totals.metric_points}
    samples["spyhop_landed_total"] = [({"signal": signal}, number) for signal, number in landed.items()]
    samples["spyhop_duplicate_spans_total"] = [({}, totals.duplicate_spans)]
    samples["spyhop_replaced_spans_total"] = [({}, replaced_spans)]
    samples["spyhop_quarantined_records_total"] = [({}, totals.quarantined_records)]
    samples["spyhop_spool_bytes"] = [({}, spool["bytes"])]
    samples["spyhop_spool_records"] = [({}, spool["records"])]
    samples["spyhop_landing_lag_seconds"] = [({}, landing["lag_s"])]
    samples["spyhop_landing_failing"] = [({}, bool(landing["failure"] or spool["failure"]))]
    held = {"database": lake["database_bytes"], "hot": lake["hot_bytes"], "lake": lake["bytes"]}
    samples["spyhop_store_bytes"] = [({"part": part}, number) for part, number in held.items()]
    samples["spyhop_disk_free_bytes"] = [({}, disk["free_bytes"])]
    samples["spyhop_folder_failing"] = [({}, bool(folder["failure"]))]
    samples["spyhop_disk_failing"] = [({}, bool(disk["failure"]))]
    for name, values in samples.items():
        metric = Metric(
            name.removesuffix("_total"), _HELP[name], "counter" if name.endswith("_total") else "gauge"
        )
        for labels, value in values:
            metric.add_sample(name, labels, float(value))  # type: ignore[arg-type]  # statuses hold numbers here
        yield metric


class _Collected(NamedTuple):
    """The families that the client library writes out."""

    families: Sequence[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


def exposition(families: Iterable[Metric], *, is_open: bool) -> bytes:
    """The page that Prometheus reads; in OpenMetrics, exemplars are there too."""
    # The library asks for a registry, of which it uses `collect` alone.
    collected = cast(CollectorRegistry, _Collected(list(families)))
    return (openmetrics.generate_latest if is_open else generate_latest)(collected)
