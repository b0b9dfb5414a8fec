"""The load of `ingest.py` against Arize Phoenix and MLflow, and the ratio of Spyhop to each.

    uv run python tests/benchmarks/peers.py [--seconds 15] [--drain 20] [--only phoenix …] [--json]

Each peer comes from PyPI into an environment of its own under --cache, made at the first run (1.5 GB)
and later runs use again. Servers listen on loopback with the settings they come with, SQLite for both peers.
All get the same requests of 512 spans from senders in another process, Phoenix and Spyhop over gRPC and
MLflow, which has none, over HTTP. "accepted" is what was acknowledged while sending; "stored" is what can be
counted in the database at the end, over the time since the first request: senders stop after --seconds, and
what is queued then gets --drain seconds more.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, NamedTuple

import httpx2

sys.path.insert(0, str(Path(__file__).parent))
from otlp_load import SENDERS, SPANS_PER_REQUEST, Renewed, make_bodies

ROOT = Path(__file__).parents[2]
READY_TIMEOUT_S = 90.0
CALL_TIMEOUT_S = 30.0
INSTALL_TIMEOUT_S = 900.0
POOL_SPANS = 20_480  # distinct spans, sent again and again under fresh ids


class Peer(NamedTuple):
    """How a system is installed, started and asked how many spans it has."""

    name: str
    package: str  # on PyPI; empty: this repository
    protocol: str  # grpc or http
    command: Callable[[Path, int, int], list[str]]  # program folder, HTTP port, gRPC port
    environment: Callable[[Path, int, int], dict[str, str]]  # data folder, HTTP port, gRPC port
    ready_path: str
    headers: dict[str, str]
    count: Callable[[Path, int], int]  # data folder, HTTP port


def sqlite_count(file_name: str) -> Callable[[Path, int], int]:
    def count(data: Path, _: int) -> int:
        with closing(sqlite3.connect(f"file:{data / file_name}?mode=ro", uri=True, timeout=10)) as database:
            return int(database.execute("SELECT count(*) FROM spans").fetchone()[0])

    return count


def spyhop_count(_: Path, port: int) -> int:
    query = {"query": "SELECT count(*) FROM spans"}
    answer = httpx2.post(f"http://127.0.0.1:{port}/api/sql", json=query, trust_env=False, timeout=30)
    return int(answer.raise_for_status().json()["rows"][0][0])


PEERS = [
    Peer(
        "spyhop",
        "",
        "grpc",
        lambda _, http, grpc: [
            *(sys.executable, str(ROOT / "spyhop.py"), "serve", "--api", f"127.0.0.1:{http}"),
            *("--otlp-grpc", f"127.0.0.1:{grpc}", "--otlp-http", "127.0.0.1:0"),
        ],
        lambda data, *_: {"SPYHOP_DATA": str(data)},
        "/readyz",
        {},
        spyhop_count,
    ),
    Peer(
        "phoenix",
        "arize-phoenix",
        "grpc",
        lambda bin_folder, *_: [str(bin_folder / "phoenix"), "serve"],
        lambda data, http, grpc: {
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(http),
            "PHOENIX_GRPC_PORT": str(grpc),
            "PHOENIX_WORKING_DIR": str(data),
            "PHOENIX_TELEMETRY_ENABLED": "false",
        },
        "/healthz",
        {},
        sqlite_count("phoenix.db"),
    ),
    Peer(
        "mlflow",
        "mlflow",
        "http",
        lambda bin_folder, http, _: [
            *(str(bin_folder / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(http)),
            *("--backend-store-uri", "sqlite:///mlflow.db", "--default-artifact-root", "./artifacts"),
        ],
        lambda *_: {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
        "/health",
        {"x-mlflow-experiment-id": "0"},
        sqlite_count("mlflow.db"),
    ),
]


def install(peer: Peer, cache: Path) -> tuple[Path, str]:
    """The folder of the peer's programs and its version."""
    if not peer.package:
        return ROOT, subprocess.check_output(["git", "-C", ROOT, "describe", "--always"], text=True).strip()
    uv = shutil.which("uv")
    if uv is None:
        sys.exit("uv is not on the PATH; it makes the environments of the peers")
    environment = cache / peer.name
    python = environment / "bin" / "python"
    if not (environment / "bin" / peer.name).exists():
        subprocess.run([uv, "venv", "--clear", "--python", sys.executable, environment], check=True)
        command = [uv, "pip", "install", "--python", python, peer.package]
        subprocess.run(command, check=True, timeout=INSTALL_TIMEOUT_S, cwd=cache)
    ask = f"from importlib.metadata import version; print(version({peer.package!r}))"
    return environment / "bin", subprocess.check_output([python, "-c", ask], text=True).strip()


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def generate(  # noqa: PLR0917  # a process starts with positional arguments
    protocol: str,
    http: int,
    grpc_port: int,
    headers: dict[str, str],
    seconds: float,
    senders: int,
    results: Any,
    go: Any,
) -> None:
    """Runs in its own process: `senders` threads for `seconds`; reports what was acknowledged."""
    import grpc

    take = Renewed(make_bodies(POOL_SPANS)).take
    refusals = (grpc.RpcError, httpx2.HTTPError)
    acknowledged: list[float] = []
    refused: list[str] = []

    def sender() -> Callable[[bytes], object]:
        if protocol == "grpc":
            options = [("grpc.use_local_subchannel_pool", 1)]
            channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}", options=options)
            call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            return lambda body: call(body, timeout=CALL_TIMEOUT_S)
        url = f"http://127.0.0.1:{http}/v1/traces"
        client = httpx2.Client(trust_env=False, timeout=CALL_TIMEOUT_S)
        kind = {"content-type": "application/x-protobuf", **headers}
        return lambda body: client.post(url, content=body, headers=kind).raise_for_status()

    def work() -> None:
        send = sender()
        while perf_counter() - started_s < seconds:
            try:
                send(take())
                acknowledged.append(perf_counter() - started_s)
            except refusals as error:
                refused.append(str(error)[:300])
                sleep(0.05)  # as a client does that is asked to retry

    results.put("ready")
    go.wait()
    started_s = perf_counter()
    threads = [threading.Thread(target=work) for _ in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put((len(acknowledged), perf_counter() - started_s, len(refused), refused[-1:]))


def measure(peer: Peer, cache: Path, seconds: float, drain_s: float, senders: int) -> dict[str, Any]:
    programs, version = install(peer, cache)
    http, grpc_port = free_ports(2)
    context = multiprocessing.get_context("spawn")
    results, go = context.Queue(), context.Event()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        data = Path(folder)
        server = subprocess.Popen(
            peer.command(programs, http, grpc_port),
            cwd=data,
            env={**os.environ, **peer.environment(data, http, grpc_port)},
            stdout=subprocess.DEVNULL,
            stderr=(log := (data / "server.log").open("wb")),
            start_new_session=True,  # MLflow has workers; all of them end together
        )
        arguments = (peer.protocol, http, grpc_port, peer.headers, seconds, senders, results, go)
        generator = context.Process(target=generate, args=arguments)
        try:
            wait_ready(server, f"http://127.0.0.1:{http}{peer.ready_path}", data / "server.log")
            generator.start()
            assert results.get(timeout=60) == "ready"
            started_s = perf_counter()
            go.set()
            requests, sent_s, refused_count, last_refusal = results.get(timeout=seconds + 2 * CALL_TIMEOUT_S)
            accepted = requests * SPANS_PER_REQUEST
            stored, stored_s = peer.count(data, http), perf_counter() - started_s
            while stored < accepted and stored_s < sent_s + drain_s:
                sleep(0.25)
                stored, stored_s = peer.count(data, http), perf_counter() - started_s
        finally:
            if generator.pid is not None:
                generator.terminate()
                generator.join(10)
            stop(server)
            log.close()
    return {
        "system": peer.name,
        "version": version,
        "protocol": peer.protocol,
        "accepted": accepted,
        "accepted_per_s": round(accepted / sent_s),
        "stored": stored,
        "stored_per_s": round(stored / stored_s),
        "stored_share": round(stored / accepted, 3) if accepted else None,
        "refused_requests": refused_count,
        "last_refusal": "".join(last_refusal),
        "seconds": round(stored_s, 1),
    }


def wait_ready(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline_s = perf_counter() + READY_TIMEOUT_S
    while True:
        if server.poll() is not None or perf_counter() > deadline_s:
            sys.exit(f"{url} does not answer; the end of its log:\n{log.read_text()[-2000:]}")
        try:
            if httpx2.get(url, trust_env=False, timeout=2).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        sleep(0.25)


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server's own process group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def main() -> None:
    names = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=15, help="how long the senders send")
    parser.add_argument("--drain", type=float, default=20, help="longest wait for what is queued then")
    parser.add_argument("--senders", type=int, default=SENDERS, help="requests under way at once")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these systems alone")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "spyhop-peers")
    parser.add_argument("--install", action="store_true", help="make the environments and stop")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    chosen = [peer for peer in PEERS if peer.name in options.only]
    if options.install:
        for peer in chosen:
            print(peer.name, install(peer, options.cache)[1])
        return
    rows = [measure(peer, options.cache, options.seconds, options.drain, options.senders) for peer in chosen]
    ours = next((row["stored_per_s"] for row in rows if row["system"] == "spyhop"), None)
    for row in rows:
        row["spyhop_ratio"] = round(ours / row["stored_per_s"], 1) if ours and row["stored_per_s"] else None
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "load_1m": os.getloadavg()[0]}
    if options.json:
        print(
            json.dumps(
                {"spans_per_request": SPANS_PER_REQUEST, "systems": rows, "machine": machine}, indent=2
            )
        )
        return
    print(f"{'system':10}{'version':>12}{'accepted/s':>12}{'stored/s':>10}{'stored':>8}{'ratio':>9}  refused")
    for row in rows:
        print(
            f"{row['system']:10}{row['version']:>12}{row['accepted_per_s']:>12}{row['stored_per_s']:>10}"
            f"{row['stored_share'] or 0:>8.1%}{row['spyhop_ratio'] or '–':>9}  {row['refused_requests']}"
        )


if __name__ == "__main__":
    main()
