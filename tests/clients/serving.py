"""`spyhop serve` as a process, and what is asked of it about a client."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx2

from tests.e2e.support import SPYHOP
from tests.pace import patience_s

_FREE = "127.0.0.1:0"
_LINES = {"OTLP/gRPC": "grpc", "OTLP/HTTP": "http", "HTTP API": "api"}


class Served:
    """Addresses of a running server, and questions to its API."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self.grpc = addresses["grpc"]  # HOST:PORT; takes HTTP as well
        self.http = addresses["http"]  # a URL; takes gRPC as well
        self.api = httpx2.Client(base_url=addresses["api"], trust_env=False, timeout=patience_s(20))

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON at `path` of the API."""
        answer = self.api.get(path, params=parameters)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        """The answer to a query as objects."""
        answer = self.api.post(
            "/api/sql", json={"query": query, "params": list(parameters), "limit": 100_000}
        )
        assert answer.status_code == 200, answer.text
        found = answer.json()
        names = [column["name"] for column in found["columns"]]
        return [dict(zip(names, row, strict=True)) for row in found["rows"]]

    def landed(self) -> None:
        """Wait until all that was acknowledged can be queried."""
        self.until(lambda: self.api.get("/readyz").json()["checks"]["spool"]["bytes"] == 0, "landing")

    def until(self, condition: Callable[[], object], what: str, bound_s: float = 20.0) -> None:
        """Wait for what comes about by itself."""
        deadline_s = monotonic() + patience_s(bound_s)
        while not condition():
            assert monotonic() < deadline_s, f"{what} did not come about"
            sleep(0.05)

    def senders(self, agent: str) -> list[dict[str, Any]]:
        """Those of /api/senders whose User-Agent holds `agent`."""
        return [sender for sender in self.get("/api/senders")["senders"] if agent in sender["agent"]]


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Start `spyhop serve` in `folder` and end it, by its own id."""
    output = folder / "serve.log"
    ports = ["--otlp-grpc", _FREE, "--otlp-http", _FREE, "--api", _FREE]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with output.open("w") as sink:
        process = subprocess.Popen(
            [*SPYHOP, "serve", "--data", str(folder / "data"), *ports],
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        deadline_s = monotonic() + patience_s(40)
        while "ready;" not in (text := output.read_text()):
            assert process.poll() is None, text
            assert monotonic() < deadline_s, f"not ready: {text}"
            sleep(0.05)
        said = [line.rsplit(maxsplit=1) for line in text.splitlines() if "  " in line]
        served = Served({_LINES[name.strip()]: address for name, address in said})
        with served.api:
            yield served
    finally:
        process.terminate()
        try:
            process.wait(patience_s(20))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run_client(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, bound_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run an application with nothing of OpenTelemetry in its environment but `environment`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("OTEL_") and not name.lower().endswith("_proxy")
    }
    return subprocess.run(
        command,
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=patience_s(bound_s),
        check=False,
    )
