"""The demo's child processes and their addresses."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from dashboard.demo import ports
from dashboard.demo.processes import Part

# The documented ports, in the order of `Addresses`.
DEFAULT_PORTS = (4317, 4318, 4320, 8501, 8000, 5000)


@dataclass(frozen=True)
class Addresses:
    """Ports of one run, all on loopback."""

    otlp_grpc: int
    otlp_http: int
    api: int
    dashboard: int
    gateway: int
    exchange_api: int

    @classmethod
    def choose(cls) -> Addresses:
        return cls(*ports.choose(DEFAULT_PORTS))

    def url(self, port: int) -> str:
        return f"http://{ports.HOST}:{port}"


@dataclass(frozen=True)
class Files:
    """Where a run keeps what it writes."""

    folder: Path

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def exchange(self) -> Path:
        return self.folder / "exchange"

    @property
    def faults(self) -> Path:
        return self.folder / "faults.yaml"

    @property
    def labels(self) -> Path:
        return self.folder / "labels.jsonl"

    @property
    def exchange_report(self) -> Path:
        return self.folder / "exchange.json"

    @property
    def export(self) -> Path:
        return self.folder / "export"


def build(addresses: Addresses, files: Files, rate_per_s: float, seed: int) -> tuple[Part, Part, Part]:
    """Server, exchange and dashboard, in the order in which data flows."""
    host = ports.HOST
    api_url = addresses.url(addresses.api)
    gateway_url = addresses.url(addresses.gateway)
    dashboard_url = addresses.url(addresses.dashboard)
    # Only for this run: the page Exchange needs it to switch faults and load.
    shared = {"SPYHOP_EXCHANGE_ADMIN_TOKEN": secrets.token_urlsafe()}
    server = Part(
        name="server",
        arguments=[
            "serve",
            *("--data", str(files.folder)),
            *("--otlp-grpc", f"{host}:{addresses.otlp_grpc}"),
            *("--otlp-http", f"{host}:{addresses.otlp_http}"),
            *("--api", f"{host}:{addresses.api}"),
        ],
        address=f"{api_url}  (OTLP/gRPC on {addresses.otlp_grpc}, OTLP/HTTP on {addresses.otlp_http})",
        ready_url=f"{api_url}/readyz",
        # The demo explains incidents itself and reports how many explanations there are.
        environment={"SPYHOP_LLM_AUTO_SEVERITY": "0"},
    )
    exchange = Part(
        name="exchange",
        arguments=[
            *("exchange", "run"),
            *("--otlp", addresses.url(addresses.otlp_grpc)),
            *("--rate", f"{rate_per_s:g}"),
            *("--faults", str(files.faults)),
            *("--labels", str(files.labels)),
            *("--report", str(files.exchange_report)),
            *("--seed", str(seed)),
            *("--gateway", f"{host}:{addresses.gateway}"),
            *("--exchange-api", f"{host}:{addresses.exchange_api}"),
            *("--data", str(files.exchange)),
            *("--trace-url", f"{dashboard_url}/trace?id={{trace_id}}"),
        ],
        address=gateway_url,
        ready_url=f"{gateway_url}/healthz",
        environment=shared,
    )
    dashboard = Part(
        name="dashboard",
        arguments=[
            *("dashboard", "--api", api_url),
            *("--host", host, "--port", str(addresses.dashboard)),
            *("--exchange", gateway_url),
        ],
        address=dashboard_url,
        ready_url=f"{dashboard_url}/_stcore/health",
        environment=shared,
    )
    return server, exchange, dashboard
