"""Jaeger's answers beside ours, field by field, for the same traces.

    go get -tool github.com/jaegertracing/jaeger/cmd/jaeger@v1.76.0 && go build -o jaeger …/cmd/jaeger
    uv run python tests/benchmarks/jaeger.py --jaeger ./jaeger [--json] [--record FILE]

Starts both on free ports of this machine, sends them the request of `jaeger_traces.py`, asks both the same,
and prints where the answers differ. `--record` writes Jaeger's answers, which the tests compare with ours.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx2

sys.path.append(str(Path(__file__).parents[2]))  # behind ours: as a script it stands in no package
from tests.benchmarks.jaeger_traces import QUESTIONS, make_request

CONFIG = """
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {{receivers: [otlp], exporters: [jaeger_storage_exporter]}}
  telemetry: {{metrics: {{level: none}}}}
extensions:
  jaeger_query:
    storage: {{traces: memory}}
    http: {{endpoint: "127.0.0.1:{api}"}}
    grpc: {{endpoint: "127.0.0.1:{grpc}"}}
  jaeger_storage:
    backends: {{memory: {{memory: {{max_traces: 1000}}}}}}
receivers:
  otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{otlp}"}}}}}}
exporters:
  jaeger_storage_exporter: {{trace_storage: memory}}
"""
# Jaeger's store in memory finds spans without an error by `error=true` (v1.76.0).
KNOWN_QUESTION = next(question for question in QUESTIONS if "error" in question)
START_TIMEOUT_S = 60.0
PROTOBUF = {"content-type": "application/x-protobuf"}


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def jaeger_answers(binary: Path, body: bytes, folder: Path) -> dict[str, Any]:
    api, grpc, otlp = free_ports(3)
    config = folder / "jaeger.yaml"
    config.write_text(CONFIG.format(api=api, grpc=grpc, otlp=otlp), encoding="utf-8")
    with (folder / "jaeger.log").open("wb") as log:
        process = subprocess.Popen([binary, "--config", config], stdout=log, stderr=log)
    try:
        send(f"http://127.0.0.1:{otlp}", body)
        return ask(f"http://127.0.0.1:{api}")
    finally:
        process.kill()  # it drains for longer than anybody waits
        process.wait(10)


def our_answers(body: bytes, folder: Path) -> dict[str, Any]:
    from collector.server import Server
    from collector.settings import Settings

    anywhere = "127.0.0.1:0"
    settings = Settings(data=folder / "data", otlp_grpc=anywhere, otlp_http=anywhere, api=anywhere)
    server = Server(settings)
    addresses = server.start()
    try:
        send(addresses["otlp_http"], body)
        return ask(addresses["api"] + "/jaeger")
    finally:
        server.stop()


def send(url: str, body: bytes) -> None:
    deadline_s = monotonic() + START_TIMEOUT_S
    while True:
        try:
            httpx2.post(f"{url}/v1/traces", content=body, headers=PROTOBUF).raise_for_status()
            return
        except httpx2.TransportError:
            if monotonic() > deadline_s:
                raise
            sleep(0.2)


def ask(url: str) -> dict[str, Any]:
    """The answer of each question, once all spans are there."""
    deadline_s = monotonic() + START_TIMEOUT_S
    while True:
        try:
            if len(httpx2.get(f"{url}/api/services").json()["data"] or ()) >= 2:
                break
        except httpx2.TransportError:
            pass
        if monotonic() > deadline_s:
            raise TimeoutError(url)
        sleep(0.2)
    sleep(0.5)
    return {question: sorted_answer(httpx2.get(url + question).json()) for question in QUESTIONS}


def sorted_answer(answer: Any) -> Any:
    """Lists without an order in one order, and processes, whose names mean nothing, in their spans."""
    if isinstance(answer, dict) and "processes" in answer and "spans" in answer:
        processes = answer["processes"]
        spans = [{**span, "processID": processes[span["processID"]]} for span in answer["spans"]]
        answer = {**answer, "processes": list(processes.values()), "spans": spans}
    if isinstance(answer, dict):
        return {key: sorted_answer(value) for key, value in sorted(answer.items())}
    if isinstance(answer, list):
        return sorted(
            (sorted_answer(item) for item in answer), key=lambda item: json.dumps(item, sort_keys=True)
        )
    return answer


def differences(theirs: Any, ours: Any, path: str = "") -> Iterator[str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(theirs.keys() | ours.keys()):
            yield from differences(theirs.get(key, "(absent)"), ours.get(key, "(absent)"), f"{path}.{key}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for i, (a, b) in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(a, b, f"{path}[{i}]")
    elif theirs != ours:
        yield f"{path}: Jaeger {json.dumps(theirs)[:300]}, Spyhop {json.dumps(ours)[:300]}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jaeger", type=Path, required=True, help="the program of Jaeger 1.76 (v2)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--record", type=Path, help="write Jaeger's answers there")
    options = parser.parse_args()
    body = make_request().SerializeToString()
    with tempfile.TemporaryDirectory() as scratch:
        theirs = jaeger_answers(options.jaeger.resolve(), body, Path(scratch))
        ours = our_answers(body, Path(scratch))
    found = {question: list(differences(theirs[question], ours[question])) for question in QUESTIONS}
    found[KNOWN_QUESTION] = []
    if options.record:
        options.record.write_text(json.dumps(theirs, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if options.json:
        json.dump({"questions": len(found), "differences": found}, sys.stdout)
        print()
    else:
        for question, lines in found.items():
            print(f"{'same' if not lines else 'differs'}  {question}")
            for line in lines:
                print(f"         {line}")
    sys.exit(1 if any(found.values()) else 0)


if __name__ == "__main__":
    main()
