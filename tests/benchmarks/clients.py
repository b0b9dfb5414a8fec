"""Real clients against a real server: Node.js, the Java agent, Go's SDK, a Collector, telemetrygen.

    uv run python tests/benchmarks/clients.py [NAME …] [--work DIR] [--json]

Each client has only the endpoint set, sends to a `spyhop serve` of its own, and what landed is compared with
what the client says that it recorded. Needs node and npm, java and mvn, go; what is fetched and built stays
in DIR. Python's client is in the tests (tests/clients/test_python.py).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # behind ours: as a script it stands in no package
from tests.clients import builds, shop
from tests.clients.collector_check import check_collector, check_files
from tests.clients.loop import check_loop
from tests.clients.serving import Served, run_client, serving

NODE = shop.Shop(
    service="unknown_service:node",
    language="nodejs",
    pay="GET /pay/:order",
    stock="GET /stock/:item",
    logger="@opentelemetry/instrumentation-pino",
    severities=("info", "warn", "error"),
    exemplars=False,  # this SDK has none,
    counter_value="value_double",  # makes no integers of numbers,
    schema_of_spans="",  # and sends the schema of metrics only
)
JAVA = shop.Shop(
    service="shop",  # the agent takes the name of the JAR
    language="java",
    pay="GET /pay",
    stock="GET /stock",
    severities=("INFO", "WARNING", "SEVERE"),
    log_attributes=False,  # java.util.logging has none
)
GO = shop.Shop(
    service="unknown_service:shop",
    language="go",
    pay="GET /pay/{order}",
    stock="GET /stock/{item}",
    client="HTTP GET",
)
GO_AGENT = "OTel"  # each of its exporters has a name of its own
GENERATED = 25


def check_shop(
    served: Served,
    what: shop.Shop,
    command: Sequence[str],
    folder: Path,
    *,
    agent: str,
    transport: str = "http/protobuf",
    **more: str,
) -> dict[str, Any]:
    """Run a shop to its end and check all that it sent; the counts."""
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{served.grpc}", **more}
    done = run_client(command, environment, folder, 120)
    assert done.returncode == 0, done.stderr
    served.landed()
    told = json.loads(done.stdout.splitlines()[-1])
    shop.check_spans(served, what, told)
    shop.check_recorded(served, what, told)
    shop.check_logs(served, what)
    shop.check_metrics(served, what, told)
    shop.check_sender(served, what, agent, transport)
    check_loop(served, what, told)
    return {
        table: served.rows(f"SELECT count(*)::INTEGER AS n FROM {table}")[0]["n"]
        for table in ("spans", "logs", "metrics")
    }


def node(served: Served, folder: Path) -> dict[str, Any]:
    preload = "--require @opentelemetry/auto-instrumentations-node/register"
    agent = "OTel-OTLP-Exporter-JavaScript"
    return check_shop(served, NODE, builds.node(folder), folder, agent=agent, NODE_OPTIONS=preload)


def java(served: Served, folder: Path) -> dict[str, Any]:
    return check_shop(served, JAVA, builds.java(folder), folder, agent="OTel-OTLP-Exporter-Java")


def go_grpc(served: Served, folder: Path) -> dict[str, Any]:
    command = [*builds.go(folder), "grpc"]
    answer = check_shop(served, GO, command, folder, agent=GO_AGENT, transport="grpc")
    (row,) = served.rows(
        "SELECT attributes['map'] AS map, hex(attributes['bytes']::BLOB) AS hex FROM spans"
        " WHERE span_name = 'shapes'"
    )
    assert row == {"map": {"n": 1, "mixed": [1, "a"]}, "hex": "00FF"}
    return answer


def go_http(served: Served, folder: Path) -> dict[str, Any]:
    return check_shop(served, GO, builds.go(folder), folder, agent=GO_AGENT)


def collector(served: Served, folder: Path) -> dict[str, Any]:
    return {"ways": check_collector(served, builds.collector(folder), folder)}


def collector_files(served: Served, folder: Path) -> dict[str, Any]:
    return {"forms": check_files(served, builds.collector(folder), folder)}


def telemetrygen(served: Served, folder: Path) -> dict[str, Any]:
    """Traces, logs and every type of metric, over gRPC and HTTP."""
    program = str(builds.telemetrygen(folder))
    ways = 0
    for transport in (
        ["--otlp-endpoint", served.grpc],
        ["--otlp-http", "--otlp-endpoint", served.http.removeprefix("http://")],
    ):
        name = "http" if "--otlp-http" in transport else "grpc"
        for signal, count, *more in (
            ("traces", "--traces", "--child-spans", "3", "--status-code", "Error"),
            ("logs", "--logs", "--severity-text", "Warn", "--severity-number", "13"),
            *(
                ("metrics", "--metrics", "--metric-type", kind)
                for kind in ("Gauge", "Sum", "Histogram", "ExponentialHistogram")
            ),
        ):
            service = "-".join(["gen", name, signal, *more[1:2]])
            command = [
                program,
                signal,
                "--otlp-insecure",
                *("--rate", "0"),
                *transport,
                "--service",
                service,
                count,
                str(GENERATED),
                *more,
            ]
            done = run_client(command, {}, folder, 120)
            assert done.returncode == 0, done.stderr
            served.landed()
            table = {"traces": "spans"}.get(signal, signal)
            (row,) = served.rows(
                f"SELECT count(*)::INTEGER AS n FROM {table} WHERE service_name = ?", service
            )
            assert row["n"] == GENERATED * (4 if signal == "traces" else 1), (service, row)
            ways += 1
    assert not [sender for sender in served.senders("") if sender["problems"]]
    return {"ways": ways}


CLIENTS: dict[str, Callable[[Served, Path], dict[str, Any]]] = {
    "node": node,
    "java": java,
    "go-grpc": go_grpc,
    "go-http": go_http,
    "collector": collector,
    "collector-files": collector_files,
    "telemetrygen": telemetrygen,
}
_FOLDERS = {"go-grpc": "go", "go-http": "go", "collector-files": "collector"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CLIENTS)}; all without")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "spyhop-clients")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    for name in arguments.names or CLIENTS:
        folder = arguments.work / _FOLDERS.get(name, name)
        folder.mkdir(parents=True, exist_ok=True)
        began_s = monotonic()
        try:
            with tempfile.TemporaryDirectory() as data, serving(Path(data)) as served:
                results[name] = {"right": True, **CLIENTS[name](served, folder)}
        except Exception as error:  # the others are tried all the same
            traceback.print_exc()
            results[name] = {"right": False, "error": f"{type(error).__name__}: {error}"[:500]}
        results[name]["seconds"] = round(monotonic() - began_s, 1)
        if not arguments.json:
            print(name, json.dumps(results[name]), flush=True)
    if arguments.json:
        print(json.dumps(results, indent=2))
    if not all(result["right"] for result in results.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
