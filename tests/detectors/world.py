"""What a small shop and market send, second by second, as detectors read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from detectors.baseline.sketch_index import DELTA_SCHEMA
from detectors.orders.amount_columns import SCHEMA as AMOUNTS
from detectors.stats.seasonality import hour_of_week
from detectors.stats.sketch import bucket_of

S = 1_000_000_000
MS = 1_000_000
START_NS = 1_790_000_000 * S


@dataclass
class Traffic:
    """A shop that writes to a queue: web → api → db, api → producer → consumer; 20 orders a second."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))
    count: int = 0
    service: str = "api"

    def second(
        self,
        at_ns: int,
        *,
        orders: int = 20,
        failing: float = 0.0,
        queries: int = 1,
        waits_ms: float = 1.0,
        silent: bool = False,
        new_call: bool = False,
        refusing: float = 0.0,
        refusal: int = 401,
        dead_partner: bool = False,
        asks_prices: bool = True,
        worker_lost: bool = False,
        slow_ms: float = 0.0,
        quick_ms: float = 9.0,
    ) -> pa.Table:
        """The spans that end in one second.

        Args:
            failing: share of the api's spans that fail.
            queries: how many db spans each order makes.
            silent: nothing of the consumer arrives.
            new_call: the api calls something that it never called.
            refusing: share of the api's answers that are `refusal`, without status ERROR.
            dead_partner: calls of one of ten partners, all named GET as those of the prices, fail.
            asks_prices: whether the api asks for prices.
            worker_lost: nothing of the worker arrives, not even what it does on its own.
            slow_ms: what each db span takes more.
            quick_ms: what the web takes for an order, at least.
        """
        rows: list[dict[str, object]] = []
        for number in range(orders):
            self.count += 1
            trace = self.count
            start = at_ns + number * (S // orders)
            failed = bool(self.rng.random() < failing)
            noise = [int(MS * x) for x in np.exp(0.2 * self.rng.standard_normal(6))]
            add, more = self.adder(rows, trace), int(slow_ms * MS)
            add(1, 0, "web", "submit", "INTERNAL", start, int(quick_ms * MS) + noise[0], failed=failed)
            refused = refusing > 0 and self.rng.random() < refusing
            add(
                *(2, 1, self.service, "POST /orders", "SERVER", start + MS, 7 * MS + noise[1]),
                failed=failed,
                answer=refusal if refused else 200,
            )
            for query in range(queries):
                add(
                    10 + query,
                    2,
                    self.service,
                    "SELECT stock",
                    "CLIENT",
                    start + 2 * MS + query,
                    noise[2] + more,
                )
            if new_call:
                add(60, 2, self.service, "DELETE stock", "CLIENT", start + 3 * MS, noise[2])
            for call in range(9 if asks_prices else 0):
                add(70 + call, 2, self.service, "GET", "CLIENT", start + 3 * MS, noise[5], callee="prices:80")
            if number == 0:
                whom = {"failed": dead_partner, "callee": "partner-3.example:443"}
                add(80, 2, self.service, "GET", "CLIENT", start + 3 * MS, noise[5], **whom)
            sent = start + 4 * MS
            add(3, 2, self.service, "publish orders", "PRODUCER", sent, MS)
            if not (silent or worker_lost):
                waited = int(waits_ms * noise[3])
                add(4, 3, "worker", "order.match", "CONSUMER", sent + MS + waited, noise[4])
            if not worker_lost:
                add(90, 0, "worker", "tick", "INTERNAL", start, MS)
        return table(rows)

    def adder(self, rows: list[dict[str, object]], trace: int) -> Callable[..., None]:
        def add(  # noqa: PLR0917  # the columns of a span, in their order
            number: int,
            parent: int,
            service: str,
            name: str,
            kind: str,
            start: int,
            length: int,
            *,
            failed: bool = False,
            answer: int | None = None,
            callee: str | None = None,
        ) -> None:
            rows.append(
                {
                    "trace_id": f"{trace:032x}",
                    "span_id": f"{trace * 100 + number:016x}",
                    "parent_span_id": f"{trace * 100 + parent:016x}" if parent else None,
                    "service_name": service,
                    "operation": name,
                    "span_kind": kind,
                    "start_unix_nano": start,
                    "duration_ns": length,
                    "failed": failed,
                    "http_status": answer,
                    "callee": callee,
                    "span_hash": trace * 100 + number,
                    "parent_hash": trace * 100 + parent if parent else 0,
                    "producer_hash": trace * 100 + parent if kind == "CONSUMER" else 0,
                }
            )

        return add


SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("trace_id", "span_id", "parent_span_id", "service_name")),
        *((name, pa.string()) for name in ("operation", "span_kind")),
        *((name, pa.int64()) for name in ("start_unix_nano", "duration_ns")),
        ("failed", pa.bool_()),
        ("http_status", pa.int32()),
        ("callee", pa.string()),
        *((name, pa.uint64()) for name in ("span_hash", "parent_hash", "producer_hash")),
    ]
)


def table(rows: list[dict[str, object]]) -> pa.Table:
    spans = pa.Table.from_pylist(rows, schema=SCHEMA)
    columns = ("service_name", "operation", "span_kind")
    keys = ["\x1f".join(str(row[name]) for name in columns) for row in rows]
    return spans.append_column("operation_key", pa.array(keys, pa.string()))


def lines(body: str, at_s: int, count: int = 5) -> pa.Table:
    """A message of the shop; columns of `new_logs.sql`."""
    row = {
        **{"service_name": "api", "severity_number": 0, "masked": body, "tick": at_s},
        **{"line_count": count, "example": body, "unix_nano": at_s * S},
        **{"trace_id": "f" * 32, "span_id": ""},
    }
    return pa.Table.from_pylist([row])


def points(figure: float, at_s: int) -> pa.Table:
    """The memory of the shop; columns of `new_metrics.sql`."""
    row = {
        **{"service_name": "api", "metric_name": "process.memory.usage", "metric_unit": "By"},
        **{"metric_kind": "gauge", "temporality": "", "is_monotonic": False, "attributes": ""},
        **{"series": "api\x1fmemory", "unix_nano": at_s * S, "since_unix_nano": 0},
        **{"figure": figure, "is_count": False, "sample_count": 0.0, "sample_sum": 0.0},
    }
    return pa.Table.from_pylist([row])


def orders(
    rng: np.random.Generator,
    at_s: int,
    *,
    factor: float = 1.0,
    market: float = 1.0,
    whale: float = 1.0,
    self_trades: int = 0,
) -> pa.Table:
    """Thirty orders in BTC/USD; `factor` of one limit, `market` of all prices, `whale` of one quantity."""
    rows: list[dict[str, Any]] = []
    for number in range(30):
        price = market * 42_000.0 * float(np.exp(0.0005 * rng.standard_normal()))
        taking = number % 2 == 0
        rows.append(
            {
                **{"trace_id": f"{at_s}{number:022d}", "span_id": "a" * 16, "duration_ns": 5 * MS},
                **{"service_name": "api", "operation": "POST /orders", "span_kind": "SERVER"},
                **{"start_unix_nano": at_s * S + number, "order_pair": "BTC/USD", "asset": "BTC"},
                **{"side": "BUY" if number % 4 < 2 else "SELL", "account": f"user-{number % 7}"},
                **{"amount_kind": "order", "attribute": "order.quantity", "amount": 1.0 + number / 100},
                "limit_price": 0.0 if taking else price,
                "fill_price": price if taking else 0.0,
            }
        )
    rows[1]["limit_price"] *= factor
    rows[2]["amount"] *= whale
    for number in range(self_trades):
        asked = {"limit_price": market * 42_000.0 + number / 100, "fill_price": 0.0}
        filled = {"limit_price": asked["limit_price"], "fill_price": asked["limit_price"]}
        for side, priced in (("SELL", asked), ("BUY", filled)):
            place = {
                "trace_id": f"{at_s}{number}{side:>21}".replace(" ", "0"),
                "account": "user-1",
                "side": side,
            }
            start = at_s * S + number * S // 10 + (side == "BUY") * MS
            rows.append(rows[0] | place | priced | {"start_unix_nano": start, "amount": 1.0})
    return pa.Table.from_pylist(rows, schema=AMOUNTS)


def learned(
    measure: str, rows: pa.Table, values: np.ndarray[Any, Any], facets: list[str] | None = None
) -> pa.Table:
    """Samples of some operations, as baselines learn them."""
    columns = {
        "measure": pa.repeat(measure, rows.num_rows),
        **{name: rows[name] for name in ("service_name", "operation", "span_kind")},
        "facet": facets or pa.repeat("", rows.num_rows),
        "hour_of_week": hour_of_week(rows["start_unix_nano"].to_numpy()).astype(np.int16),
        "flagged": pa.repeat(False, rows.num_rows),
        "bucket": bucket_of(values).astype(np.int32),
        "sample_count": pa.repeat(1, rows.num_rows),
    }
    return pa.table(columns).cast(DELTA_SCHEMA)
