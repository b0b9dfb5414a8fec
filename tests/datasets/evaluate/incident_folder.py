"""A small folder of labelled incidents, written as others would write it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MS = 1_000_000
START_NS = 1_790_000_000 * 10**9
SPANS = pa.schema(
    [
        *((name, pa.string()) for name in ("trace_id", "span_id", "parent_span_id")),
        *((name, pa.string()) for name in ("service_name", "span_name", "split", "case_id")),
        ("start_time_unix_nano", pa.int64()),
        ("end_time_unix_nano", pa.int64()),
        ("attributes", pa.string()),
        ("status_code", pa.string()),
        ("run", pa.string()),
    ]
)
LOGS = pa.schema(
    [
        ("time_unix_nano", pa.int64()),
        *(
            (name, pa.string())
            for name in ("service_name", "trace_id", "span_id", "body", "split", "case_id")
        ),
    ]
)


@dataclass
class IncidentWriter:
    """Rows of the files; `write` them after a change."""

    path: Path
    spans: list[dict[str, Any]] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)
    labels: list[dict[str, Any]] = field(default_factory=list)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))

    def trace(
        self,
        case_id: str | None,
        *,
        store_ms: float = 3.0,
        shop_ms: float = 4.0,
        said: str = "stored item 4",
        anomalous: bool = False,
        btc: float = 0.1,
    ) -> str:
        """shop → store; times vary by a tenth."""
        number = len(self.spans)
        trace_id = f"{number:032x}"
        start = START_NS + number * 20 * MS
        inner, own = (int(ms * MS * (1 + 0.1 * self.rng.random())) for ms in (store_ms, shop_ms))
        split = "baseline" if case_id is None else "test"
        common = {"trace_id": trace_id, "split": split, "case_id": case_id}
        for span, above, service, name, begin, length in (
            ("a", "", "shop", "buy", start, inner + own),
            ("b", "a", "store", "save", start + own // 2, inner),
        ):
            self.spans.append(
                {
                    **common,
                    "span_id": f"{span}{number}",
                    "parent_span_id": above and f"{above}{number}",
                    "service_name": service,
                    "span_name": name,
                    "start_time_unix_nano": begin,
                    "end_time_unix_nano": begin + length,
                    "attributes": json.dumps({"order.quantity": btc, "order.pair": "BTC/USD"}),
                    "status_code": "STATUS_CODE_UNSET",
                }
            )
        line = {"time_unix_nano": start, "service_name": "store", "span_id": f"b{number}", "body": said}
        self.logs.append({**common, **line})
        if split == "test":
            self.labels.append({"trace_id": trace_id, "anomalous": anomalous})
        return trace_id

    def write(self) -> Path:
        self.path.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(self.spans, SPANS), self.path / "spans.parquet")
        pq.write_table(pa.Table.from_pylist(self.logs, LOGS), self.path / "logs.parquet")
        pq.write_table(pa.Table.from_pylist(self.labels), self.path / "trace_labels.parquet")
        (self.path / "cases.json").write_text(json.dumps(self.cases))
        return self.path

    def drop_column(self, name: str) -> None:
        """Write the spans again without this column."""
        file = self.path / "spans.parquet"
        pq.write_table(pq.read_table(file).drop_columns([name]), file)


def write_incidents(path: Path) -> IncidentWriter:
    """150 usual traces; `slow` and `broken` in store, `busy` in shop."""
    folder = IncidentWriter(path)
    for number in range(150):
        folder.trace(None, said=f"stored item {number}")
    for _ in range(20):
        folder.trace("slow", store_ms=300, anomalous=True)
        folder.trace("broken", said="10:00 ERROR disk is full", anomalous=False)
        folder.trace("busy", shop_ms=400, anomalous=True)
    folder.cases = [
        {
            "case_id": case_id,
            "fault_kind": kind,
            "root_services": [service],
            "root_operation": operation,
            "inject_time_unix_nano": START_NS,
        }
        for case_id, kind, service, operation in (
            ("slow", "delay", "store", "save"),
            ("broken", "exception", "store", None),
            ("busy", "delay", "shop", "buy"),
        )
    ]
    folder.write()
    return folder
