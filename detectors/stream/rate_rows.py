"""Learned rates as rows of the table `window_rates`, which detectors of shares have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from detectors.model.operation import Operation
from detectors.stream.detector import Rows, State

TABLE = "window_rates"
NOBODY = Operation("", "", "")
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("measure", "service_name", "operation", "span_kind")),
        *((name, pa.string()) for name in ("callee_service", "callee_operation", "callee_kind")),
        ("trial_count", pa.float64()),
        ("hit_count", pa.float64()),
        ("call_counts", pa.list_(pa.int64())),
    ]
)


def rate_row(
    measure: str,
    caller: Operation,
    callee: Operation,
    past: tuple[float, float],
    histogram: list[int] | None = None,
) -> dict[str, object]:
    """A row of the table; `past`: trials and hits."""
    return dict(zip(_SCHEMA.names, (measure, *caller, *callee, *past, histogram), strict=True))


def rate_state(rows: Sequence[dict[str, object]], forget: str = "") -> list[State]:
    """The changed rows of a detector, if any."""
    return [State(TABLE, pa.Table.from_pylist(list(rows), schema=_SCHEMA), forget)] if rows else []


def rates_of(rows: Rows, *measures: str) -> Iterator[dict[str, Any]]:
    """The stored rows of these measures."""
    return (row for row in rows[TABLE] if row["measure"] in measures)
