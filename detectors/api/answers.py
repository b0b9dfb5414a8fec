"""The API's reads and writes: anomalies, incidents, health, topology. Knows nothing of HTTP."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from collector.errors import InvalidInput
from collector.store.sqlfile import load_sql
from collector.store.store import Store
from detectors.model.anomaly import RENAMED

_QUERIES = "detectors.api.queries"
_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def parse_severities(texts: Sequence[str] | None) -> list[int] | None:
    """`["1,2", "3"]` → `[1, 2, 3]`; also `SEV1`."""
    if not texts:
        return None
    found = []
    for text in ",".join(texts).split(","):
        digits = text.strip().upper().removeprefix("SEV")
        if digits not in {"1", "2", "3", "4", "5"}:
            raise InvalidInput(f"severity {text!r} is not known", hint="use 1 (worst) to 5")
        found.append(int(digits))
    return found


def parse_since(text: str | None, now_unix_nano: int) -> int | None:
    """`15m`, `2h`, or an ISO time (UTC unless it says otherwise) → ns since 1970."""
    if text is None:
        return None
    if match := re.fullmatch(r"(\d{1,6})([smhd])", text):
        return now_unix_nano - int(match[1]) * _UNIT_S[match[2]] * 1_000_000_000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"since {text!r} is not a time", hint="use 15m, 2h, 1d or 2026-01-31T12:00:00Z"
        ) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return int(moment.timestamp() * 1e6) * 1_000


def one_of(name: str, value: str | None, allowed: Sequence[str]) -> str | None:
    if value is not None and value not in allowed:
        raise InvalidInput(f"{name} {value!r} is not known", hint=f"use one of {', '.join(allowed)}")
    return value


def detector_named(name: str | None) -> str | None:
    """The detector that a filter means: scripts may still know it by an earlier name."""
    return None if name is None else RENAMED.get(name, name)


def list_baselines(store: Store, service: str | None, operation: str | None, limit: int) -> dict[str, Any]:
    params = {"service": service, "operation": operation, "limit": limit}
    rows = store.read(load_sql(_QUERIES, "list_baselines"), params).to_pylist()
    amounts = store.read(load_sql(_QUERIES, "list_amount_baselines"), params).to_pylist()
    total = rows[0]["total"] if rows else 0
    for row in rows:
        del row["total"]
    return {"baselines": rows, "amount_baselines": amounts, "count": len(rows), "total": total}


def health(
    store: Store, detection: dict[str, object], ready_count: int, window_s: int, now_unix_nano: int
) -> dict[str, Any]:
    services = _red(store, window_s, now_unix_nano)
    troubled = store.read(
        "SELECT count(*) AS n FROM incidents i JOIN detector_roles r ON r.detector = i.kind "
        "WHERE i.state <> 'resolved' AND r.degrades"
    )
    degraded = troubled["n"][0].as_py() > 0 or detection.get("error") is not None
    status = "degraded" if degraded else "ok" if ready_count else "learning"
    return {
        "status": status,
        "services": services,
        "window_s": window_s,
        "detection": detection,
        "generated_at": _iso(now_unix_nano),
    }


def topology(store: Store, window_s: int, now_unix_nano: int) -> dict[str, Any]:
    since = now_unix_nano - window_s * 1_000_000_000
    edges = store.read(load_sql(_QUERIES, "service_edges"), {"since": since, "now": now_unix_nano})
    return {
        "services": _red(store, window_s, now_unix_nano),
        "edges": edges.to_pylist(),
        "window_s": window_s,
        "generated_at": _iso(now_unix_nano),
    }


def _red(store: Store, window_s: int, now_unix_nano: int) -> list[dict[str, Any]]:
    params = {
        "since": now_unix_nano - window_s * 1_000_000_000,
        "now": now_unix_nano,
        "window_s": float(window_s),
    }
    rows: list[dict[str, Any]] = store.read(load_sql(_QUERIES, "service_red"), params).to_pylist()
    return rows


def _iso(unix_nano: int) -> str:
    seconds, nanos = divmod(unix_nano, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"
