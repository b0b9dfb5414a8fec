"""A shop of two services, its usual traces, and what is known of their times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest

from detectors.baseline.learn import learn_times
from detectors.baseline.models import Baselines
from detectors.localise import Usual, localise
from detectors.settings import Settings

MS = 1_000_000
SPANS = pa.schema(
    [
        *((name, pa.string()) for name in ("trace_id", "span_id", "parent_span_id")),
        *((name, pa.string()) for name in ("service_name", "operation", "span_kind")),
        ("start_unix_nano", pa.int64()),
        ("duration_ns", pa.int64()),
        ("status_code", pa.string()),
        ("status_message", pa.string()),
    ]
)
LOGS = pa.schema(
    [
        *((name, pa.string()) for name in ("trace_id", "span_id", "service_name")),
        ("severity_number", pa.int32()),
        ("body", pa.string()),
    ]
)


@dataclass
class Shop:
    """web → call (client) → api (server) → SELECT stock (client); and api → ask (client) → quote (server)."""

    spans: list[dict[str, Any]] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    count: int = 0

    def trace(
        self,
        *,
        api_ms: int = 2,
        db_ms: int = 1,
        gap_ms: int = 1,
        back_ms: int = 0,
        error: str = "",
        priced: bool = True,
        said: str = "reserved item 17",
    ) -> str:
        """One trace; its id."""
        self.count += 1
        trace_id = f"t{id(self)}-{self.count}"
        inner = api_ms + db_ms + (4 if priced else 0)
        rows = [
            ("a", None, "shop", "web", "SERVER", 0, inner + gap_ms + back_ms + 2, ""),
            ("b", "a", "shop", "call", "CLIENT", 1, inner + gap_ms + back_ms, ""),
            ("c", "b", "stock", "api", "SERVER", 1 + gap_ms, inner, error),
            ("d", "c", "stock", "SELECT stock", "CLIENT", 2 + gap_ms, db_ms, error),
        ]
        if priced:
            rows += [
                ("e", "c", "stock", "ask", "CLIENT", 2 + gap_ms + db_ms, 4, ""),
                ("f", "e", "price", "quote", "SERVER", 3 + gap_ms + db_ms, 2, ""),
            ]
        for span, above, service, operation, kind, start, length, message in rows:
            self.spans.append(
                {
                    "trace_id": trace_id,
                    "span_id": f"{span}{trace_id}",
                    "parent_span_id": above and f"{above}{trace_id}",
                    "service_name": service,
                    "operation": operation,
                    "span_kind": kind,
                    "start_unix_nano": start * MS,
                    "duration_ns": length * MS,
                    "status_code": "ERROR" if message else "UNSET",
                    "status_message": message,
                }
            )
        self.log(trace_id, "c", "stock", said)
        return trace_id

    def log(self, trace_id: str, span: str, service: str, body: str) -> None:
        if body:
            self.logs.append(
                {
                    "trace_id": trace_id,
                    "span_id": f"{span}{trace_id}",
                    "service_name": service,
                    "severity_number": 0,
                    "body": body,
                }
            )

    def span_table(self) -> pa.Table:
        return pa.Table.from_pylist(self.spans, schema=SPANS)

    def log_table(self) -> pa.Table:
        return pa.Table.from_pylist(self.logs, schema=LOGS)


@pytest.fixture
def shop() -> Shop:
    """The incident's traces, none yet."""
    return Shop()


@pytest.fixture
def usual() -> Usual:
    """Fifty ordinary traces, learned as the pipeline learns them."""
    before = Shop()
    for number in range(50):
        before.trace(api_ms=2 + number % 3, said=f"reserved item {number}")
    spans = before.span_table()
    flags = {name: pa.array([name == "is_new"] * spans.num_rows) for name in FLAGS}
    baselines = Baselines(Settings())
    baselines.add(learn_times(pa.table({**dict(zip(SPANS.names, spans.columns, strict=True)), **flags})))
    return Usual(baselines.self_times, baselines.edge, spans, before.log_table())


FLAGS = ("is_new", "flagged", "in_incident")


@pytest.fixture
def causes(shop: Shop, usual: Usual) -> Callable[..., list[dict[str, Any]]]:
    """Localise what `shop` holds."""

    def found(**options: Any) -> list[dict[str, Any]]:
        return localise(shop.span_table(), usual, shop.log_table(), **options)

    return found
