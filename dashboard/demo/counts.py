"""The counts of a demo so far: orders from the exchange, all others from Spyhop."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from collector.client import Client
from collector.store.sqlfile import load_sql
from dashboard.demo.judge import Flagged


@dataclass(frozen=True)
class Counts:
    """Totals since the demo began."""

    orders: int = 0
    spans: int = 0
    traces: int = 0
    anomalies: int = 0
    whales: int = 0
    incidents: int = 0
    explanations: int = 0


class Observer:
    """Reads the counts over HTTP, as any script would.

    Args:
        client: Spyhop's API.
        gateway_url: the exchange's gateway, e.g. `http://127.0.0.1:8000`; answers while it runs.
    """

    def __init__(self, client: Client, gateway_url: str) -> None:
        self._client = client
        self._gateway = httpx2.Client(base_url=gateway_url, timeout=2.0, trust_env=False)
        self._orders = 0

    def close(self) -> None:
        self._gateway.close()

    def counts(self) -> Counts:
        row = self._client.sql(load_sql("dashboard.demo.queries", "counts")).row(0, named=True)
        return Counts(orders=self._accepted_orders(), **row)

    def _accepted_orders(self) -> int:
        with suppress(httpx2.TransportError):  # once the exchange has stopped, the last count stands
            self._orders = int(self._gateway.get("/status").json()["orders_accepted"])
        return self._orders

    def take_final_orders(self, exchange_report: Path) -> None:
        """The final totals of the exchange: orders arrived after the last reading of the gateway."""
        self._orders = int(json.loads(exchange_report.read_text(encoding="utf-8"))["orders_accepted"])

    def flagged(self) -> list[Flagged]:
        frame = self._client.sql(load_sql("dashboard.demo.queries", "flagged"), limit=100_000)
        return [Flagged(**row) for row in frame.iter_rows(named=True)]

    def incidents(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self._client.get("/api/monitor/incidents", limit=1000)["incidents"]
        return listed

    def first_causes(self) -> dict[str, str]:
        """Incident id → service of the first-ranked root cause."""
        return {
            incident["incident_id"]: incident["root_causes"][0]["service"]
            for incident in self.incidents()
            if incident["root_causes"]
        }

    def caught_up(self) -> bool:
        """Whether everything acknowledged has landed and been examined."""
        ready = self._client.get("/readyz")["checks"]
        newest = ready["landing"]["batch_id"]
        return bool(ready["spool"]["records"] == 0 and ready["detection"]["position"] >= newest)
