"""The server's own figures as Prometheus text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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


def prometheus_text(
    counts: Mapping[tuple[str, str], int],
    totals: Totals,
    *,
    replaced_spans: int,
    spool: Mapping[str, object],
    landing: Mapping[str, object],
    disk: Mapping[str, object],
    folder: Mapping[str, object],
) -> str:
    """One text page from `Intake.counts`, `Lander.totals` and the four statuses."""
    samples: dict[str, list[tuple[str, object]]] = {name: [] for name in _HELP}
    for (signal, what), number in sorted(counts.items()):
        if what in _OUTCOMES:
            labels = f'{{signal="{signal}",outcome="{_OUTCOMES[what]}"}}'
            samples["spyhop_requests_total"].append((labels, number))
        else:
            samples[f"spyhop_{what}_total"].append((f'{{signal="{signal}"}}', number))
    landed = {"traces": totals.spans, "logs": totals.logs, "metrics": totals.metric_points}
    samples["spyhop_landed_total"] = [(f'{{signal="{signal}"}}', number) for signal, number in landed.items()]
    samples["spyhop_duplicate_spans_total"] = [("", totals.duplicate_spans)]
    samples["spyhop_replaced_spans_total"] = [("", replaced_spans)]
    samples["spyhop_quarantined_records_total"] = [("", totals.quarantined_records)]
    samples["spyhop_spool_bytes"] = [("", spool["bytes"])]
    samples["spyhop_spool_records"] = [("", spool["records"])]
    samples["spyhop_landing_lag_seconds"] = [("", landing["lag_s"])]
    samples["spyhop_landing_failing"] = [("", int(bool(landing["failure"] or spool["failure"])))]
    samples["spyhop_disk_free_bytes"] = [("", disk["free_bytes"])]
    samples["spyhop_folder_failing"] = [("", int(bool(folder["failure"])))]
    samples["spyhop_disk_failing"] = [("", int(bool(disk["failure"])))]
    return "\n".join(_lines(samples)) + "\n"


def _lines(samples: Mapping[str, list[tuple[str, object]]]) -> Iterable[str]:
    for name, values in samples.items():
        yield f"# HELP {name} {_HELP[name]}"
        yield f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}"
        for labels, value in values:
            yield f"{name}{labels} {value}"
