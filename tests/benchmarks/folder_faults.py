"""Does to a running server's files what other programs may do, and counts acknowledged against stored spans.

    uv run python tests/benchmarks/folder_faults.py [--fault delete-database] [--kill]

Each fault is played under load over gRPC and HTTP. The server must be not ready within seconds and refuse
its senders; it is then stopped (--kill: by SIGKILL, a second after it said so), what its message asks for is
done, and a second server lands what is left. Exits with 1 if an acknowledged span is missing or stored twice,
or if a fault was not noticed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple, Self

import grpc
import httpx2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROTOBUF = {"content-type": "application/x-protobuf"}
SPANS_PER_REQUEST = 40
START_NS = 1_790_000_000_000_000_000
NOTICE_MAX_S = 5.0
LOAD_S = 1.0
SERVE = """
import json, logging, sys
from pathlib import Path
from collector.server import run
from collector.settings import Settings
logging.basicConfig(level=logging.INFO)
anywhere = "127.0.0.1:0"
changes = json.loads(sys.argv[2])
settings = Settings(data=Path(sys.argv[1]), otlp_grpc=anywhere, otlp_http=anywhere, api=anywhere, **changes)
run(settings, on_ready=lambda addresses: print(json.dumps(addresses), flush=True))
"""

_numbers = itertools.count(1)


class Served:
    """A server process and how to reach it."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        settings = {"land_interval_ms": 50, "spool_segment_bytes": 262144, **changes}
        self._log = folder.with_name(folder.name + ".log")
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(folder), json.dumps(settings)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.stdout.close()
            code = self.process.wait()
            raise RuntimeError(f"exit code {code}: {self.log()[-2000:]}")
        self.addresses: dict[str, str] = json.loads(line)
        self.api = httpx2.Client(base_url=self.addresses["api"], trust_env=False, timeout=10)
        self.http = httpx2.Client(base_url=self.addresses["otlp_http"], trust_env=False, timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """A check that failed leaves no process behind, which would slow down all that follows."""
        if self.process.poll() is None:
            self.end(kill=True)

    def log(self) -> str:
        """The text of its standard error."""
        return self._log.read_text()

    def readyz(self) -> tuple[int, dict[str, Any]]:
        answer = self.api.get("/readyz")
        return answer.status_code, answer.json()["checks"]

    def wait(
        self, condition: Callable[[int, dict[str, Any]], bool], timeout_s: float
    ) -> dict[str, Any] | None:
        """The checks of /readyz once `condition` holds; None when it does not in time."""
        deadline_s = monotonic() + timeout_s
        while monotonic() < deadline_s:
            code, checks = self.readyz()
            if condition(code, checks):
                return checks
            sleep(0.02)
        return None

    def post(self, body: bytes) -> int:
        return self.http.post("/v1/traces", content=body, headers=PROTOBUF).status_code

    def stored(self) -> list[str]:
        query = {"query": "SELECT span_id FROM spans", "limit": 1_000_000}
        # The first query starts the process that examines queries: 10 s and more at load 45 on two cores.
        answer = self.api.post("/api/sql", json=query, timeout=120)
        answer.raise_for_status()
        return [row[0] for row in answer.json()["rows"]]

    def end(self, *, kill: bool = False) -> int:
        (self.process.kill if kill else self.process.terminate)()
        self.process.communicate(timeout=20)
        self.api.close()
        self.http.close()
        return self.process.returncode


def make_request() -> tuple[list[str], bytes]:
    """Span ids that were never used before, and a request with them."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    ids = []
    for number in itertools.islice(_numbers, SPANS_PER_REQUEST):
        span = scope.spans.add(trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"))
        span.name = "op"
        span.start_time_unix_nano = span.end_time_unix_nano = START_NS + number
        span.attributes.add(key="text").value.string_value = "x" * 100
        ids.append(span.span_id.hex())
    return ids, request.SerializeToString()


class Load:
    """Two senders that go on until they are told to stop; a refused request is sent again."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._channel = grpc.insecure_channel(served.addresses["otlp_grpc"])
        self._export: Any = self._channel.unary_unary(EXPORT)
        self._stopping = threading.Event()
        self.acknowledged: list[str] = []
        self.unanswered: list[str] = []  # may be stored or not
        self.refused = 0
        self._threads = [threading.Thread(target=self._run, args=[send]) for send in (self._http, self._grpc)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._channel.close()

    def _run(self, send: Callable[[bytes], bool]) -> None:
        while not self._stopping.is_set():
            ids, body = make_request()
            try:
                while not send(body):
                    self.refused += 1
                    if self._stopping.wait(0.05):
                        self.unanswered += ids
                        return
                self.acknowledged += ids
            except (httpx2.HTTPError, grpc.RpcError):
                self.unanswered += ids
                return

    def _http(self, body: bytes) -> bool:
        return self._served.post(body) == 200

    def _grpc(self, body: bytes) -> bool:
        try:
            self._export(body, timeout=10)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE and self._served.process.poll() is None:
                return False
            raise
        return True


class Fault(NamedTuple):
    """A fault of the folder, and the step that the server's message asks for before the next start."""

    play: Callable[[Path], object]
    mend: Callable[[Path], object] = lambda folder: None
    passes: bool = False  # ends by itself once `mend` is done while the server runs


def segment(folder: Path) -> Path:
    return max((folder / "spool").glob("*.log"))


def closed_segment(folder: Path) -> Path:
    return sorted((folder / "spool").glob("*.log"))[-2]


def database(folder: Path) -> Path:
    return folder / "spyhop.duckdb"


def replace(path: Path, content: bytes = b"trace_id\n1\n") -> None:
    """As COPY and editors do: another file, renamed over it."""
    other = path.with_name("other")
    other.write_bytes(content)
    other.replace(path)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"foreign bytes")


def overwrite(path: Path) -> None:
    """Other bytes in the middle, in place."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"junk")


def delete_all(folder: Path) -> None:
    for path in (folder / "spool").glob("*.log"):
        path.unlink()


def use_copy(folder: Path) -> None:
    (folder / "spyhop.duckdb.rescued").replace(database(folder))


def aside(folder: Path) -> Path:
    return folder.with_name(folder.name + "-aside")


FAULTS = {
    "delete-segment": Fault(lambda folder: segment(folder).unlink()),
    "delete-segments": Fault(delete_all),
    "replace-segment": Fault(lambda folder: replace(segment(folder))),
    "rename-segment": Fault(lambda folder: segment(folder).rename(folder / "elsewhere")),
    "cut-segment": Fault(lambda folder: os.truncate(segment(folder), 100)),
    "grow-segment": Fault(lambda folder: append(segment(folder))),
    "overwrite-segment": Fault(lambda folder: overwrite(closed_segment(folder))),
    "delete-database": Fault(lambda folder: database(folder).unlink()),
    "replace-database": Fault(lambda folder: replace(database(folder)), use_copy),
    "delete-log": Fault(lambda folder: Path(f"{database(folder)}.wal").unlink(missing_ok=True)),
    "replace-log": Fault(lambda folder: replace(Path(f"{database(folder)}.wal"))),
    "cut-log": Fault(lambda folder: os.truncate(f"{database(folder)}.wal", 10)),
    "delete-owner": Fault(lambda folder: (folder / "owner.json").unlink()),
    "move-database": Fault(
        lambda folder: database(folder).rename(folder / "moved"),
        lambda folder: (folder / "moved").rename(database(folder)),
        passes=True,
    ),
    "move-folder": Fault(
        lambda folder: folder.rename(aside(folder)), lambda folder: aside(folder).rename(folder), passes=True
    ),
    "delete-folder": Fault(lambda folder: subprocess.run(["rm", "-rf", str(folder)], check=True)),
}


def is_unready(code: int, checks: dict[str, Any]) -> bool:
    return code == 503 and bool(checks["folder"]["failure"])


def play(name: str, folder: Path, *, kill: bool = False) -> dict[str, Any]:
    """One fault on one server; what was acknowledged, refused and stored."""
    fault = FAULTS[name]
    with Served(folder) as served:
        load = Load(served)
        served.wait(lambda _, checks: checks["landing"]["batch_id"] > 0, 20)
        sleep(LOAD_S)
        fault.play(folder)
        played_s = monotonic()
        checks = served.wait(is_unready, NOTICE_MAX_S)
        noticed_s = monotonic() - played_s
        refused_before = load.refused
        sleep(1.0)
        is_refusing = load.refused > refused_before
        ready_again = True
        if fault.passes:
            fault.mend(folder)
            ready_again = served.wait(lambda code, _: code == 200, NOTICE_MAX_S) is not None
            sleep(0.3)
        load.stop()
        told = served.readyz()[1]["folder"]["failure"] or (checks or {}).get("folder", {}).get("failure", "")
        served.end(kill=kill)
    if not fault.passes:
        fault.mend(folder)
    with Served(folder) as again:
        again.wait(lambda _, checks: checks["spool"]["bytes"] == 0, 10)
        stored = again.stored()
        again.end()
    acknowledged, unknown = set(load.acknowledged), set(load.unanswered)
    return {
        "fault": name,
        "acknowledged": len(acknowledged),
        "lost": len(acknowledged - set(stored)),
        "twice": len(stored) - len(set(stored)),
        "never_sent": len(set(stored) - acknowledged - unknown),
        "noticed_s": round(noticed_s, 2) if checks else None,
        "refuses": is_refusing,
        "ready_again": ready_again,
        "told": told,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fault", choices=FAULTS, action="append", help="all without")
    parser.add_argument("--kill", action="store_true", help="end the first server by SIGKILL")
    options = parser.parse_args()
    results = []
    for name in options.fault or FAULTS:
        with tempfile.TemporaryDirectory() as parent:
            results.append(play(name, Path(parent) / "data", kill=options.kill))
            print(json.dumps(results[-1]), flush=True)
    sys.exit(
        any(
            result["lost"] or result["twice"] or result["noticed_s"] is None or not result["ready_again"]
            for result in results
        )
    )


if __name__ == "__main__":
    main()
