from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
import typer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typer.testing import CliRunner

from exchange_ref.commands import register
from exchange_ref.errors import InvalidUse
from exchange_ref.settings import Settings
from tests.pace import check, patience_s

RUN = """
import sys, typer
from exchange_ref.commands import register
from exchange_ref.errors import ExchangeError
app = typer.Typer()
register(app)
app.command("other")(lambda: None)
try:
    app(["exchange", *sys.argv[1:]], standalone_mode=False)
except ExchangeError as error:
    sys.exit(f"spyhop: {error}")
"""


class Collector:
    """A real OTLP/gRPC endpoint that keeps what it gets."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.first = threading.Event()
        handler = grpc.method_handlers_generic_handler(
            "opentelemetry.proto.collector.trace.v1.TraceService",
            {"Export": grpc.unary_unary_rpc_method_handler(self._export)},
        )
        self.server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[handler])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def _export(self, request: bytes, _: object) -> bytes:
        self.requests.append(request)
        self.first.set()
        return b""

    def span_counts(self) -> dict[str, int]:
        """Spans by service."""
        counts: dict[str, int] = {}
        for request in self.requests:
            for resource in ExportTraceServiceRequest.FromString(request).resource_spans:
                (service,) = [
                    a.value.string_value for a in resource.resource.attributes if a.key == "service.name"
                ]
                spans = sum(len(scope.spans) for scope in resource.scope_spans)
                counts[service] = counts.get(service, 0) + spans
        return counts


@pytest.fixture
def otlp() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.server.stop(None)


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    ports = ["--gateway", "127.0.0.1:0", "--exchange-api", "127.0.0.1:0", "--data", str(folder)]
    ports += ["--transfer-share", "0", "--cancel-share", "0"]
    command = [sys.executable, "-c", RUN, *ports, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_timed_run_exports_everything_over_grpc(tmp_path: Path, otlp: Collector) -> None:
    """`--for` ends with 0, a report on stdout and in its file, and every span of it at the endpoint."""
    report_file = tmp_path / "report.json"
    process = start(
        tmp_path,
        "--otlp",
        f"http://127.0.0.1:{otlp.port}",
        "--for",
        "4s",
        "--json",
        "--report",
        str(report_file),
    )
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    report = json.loads(stdout)
    assert report == json.loads(report_file.read_text())
    accepted = report["orders_accepted"]
    assert accepted == report["orders_submitted"] > 15
    assert otlp.span_counts() == {
        "kx-wallet": 3 * accepted,
        "api-gateway": 3 * accepted,
        "kx-exchange": 7 * accepted,
        "kx-matcher": 4 * accepted,
    }
    assert report["spans_exported"] == 17 * accepted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_well(tmp_path: Path, otlp: Collector, number: signal.Signals) -> None:
    """On a signal the exchange finishes its orders, sends its spans and exits with 0 within 1.5 s."""
    tried = []
    for _ in range(4):  # a machine that stalls for as long as an exchange waits lets it give orders up
        process = start(tmp_path, "--otlp", f"http://127.0.0.1:{otlp.port}", "--json")
        assert otlp.first.wait(patience_s(20))
        asked = time.monotonic()
        os.kill(process.pid, number)
        stdout, stderr = process.communicate(timeout=patience_s(20))
        took_s = time.monotonic() - asked
        assert process.returncode == 0, stderr
        missing = 17 * json.loads(stdout)["orders_accepted"] - sum(otlp.span_counts().values())
        tried.append((missing, took_s))
        if missing == 0 and took_s < 1.5:
            return
        otlp.requests.clear()
        otlp.first.clear()
    whole_s = [took_s for missing, took_s in tried if missing == 0]
    assert whole_s, tried
    check(min(whole_s), 1.5)


def command_line() -> typer.Typer:
    app = typer.Typer()
    register(app)
    app.command("other")(lambda: None)
    return app


def call(*arguments: str) -> None:
    """`spyhop exchange` with these arguments, in this process."""
    command_line()(["exchange", *arguments], standalone_mode=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--broker", "kafka://localhost"], "--broker memory or amqp://"),
        (["run", "--for", "soon"], "--for 'soon' is not a duration"),
        (["run", "--traders", "nobody"], "choose one of retail"),
        (["history", "a week"], "history 'a week' is not a duration"),
        (["run", "--rate", "0"], "--rate 0.0: "),
        (["history", "1h", "--rate", "0"], "--rate 0.0: "),
        (["run", "--otlp", "localhost"], "OTLP endpoint"),
        (["run", "--gateway", "nowhere"], "host:port"),
        (["run", "--exchange-api", "nowhere"], "--exchange-api.*host:port"),
        (["run", "--faults", "no-such.yaml"], "no-such.yaml"),
        (["scenario", "easy", "--out", "x"], "choose one of smoke, standard, accounts, hard"),
        (["scenario", "smoke", "--out", "x", "--split", "train"], "--split 'train'"),
    ],
)
def test_wrong_use_is_refused_before_anything_starts(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each wrong option is an InvalidUse that names it."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidUse, match=words):
        call(*arguments)
    assert not list(tmp_path.iterdir())


def test_the_command_is_light_to_import() -> None:
    """Registering the command loads neither the SDK nor the server, so that help is fast."""
    heavy = ("fastapi", "grpc", "pydantic", "uvicorn")
    code = f"import sys, exchange_ref.commands; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_setting_is_documented() -> None:
    """Each setting has a description and the package's prefix."""
    for name, field in Settings.model_fields.items():
        assert name.startswith("exchange_")
        assert field.description


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["scenario", "smoke", "--out", "x", "--rate", "500"], "--rate"),
        (["scenario", "smoke", "--out", "x", "--otlp", "h"], "--otlp"),
        (["scenario", "smoke"], "--out"),
        (["history", "1h", "--rhythm", "10m"], "--rhythm"),
        (["history", "1h", "--faults", "x.yaml"], "--faults"),
        (["history", "1h", "--parallel", "2"], "--parallel"),
        (["run", "--orders-per-hour", "60"], "--orders-per-hour"),
        (["--split", "tune"], "--split"),
        (["--scenario", "smoke", "--out", "x", "--rate", "500"], "--rate"),
        (["--history", "1h", "--rhythm", "10m"], "--rhythm"),
    ],
)
def test_options_that_do_not_apply_are_refused(arguments: list[str], option: str) -> None:
    """Options that do not apply, and missing ones, are named; nothing starts."""
    refused = CliRunner().invoke(command_line(), ["exchange", *arguments], env={"NO_COLOR": "1"})
    assert refused.exit_code == 2
    assert option in refused.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--for", "soon"], "--for 'soon'"),
        (["--out", "x", "--scenario", "easy"], "scenario 'easy'"),
        (["--rate", "5", "--history", "soon"], "history 'soon'"),
    ],
)
def test_options_without_a_subcommand_find_theirs(arguments: list[str], words: str) -> None:
    """`spyhop exchange --scenario NAME` and `--history LENGTH` are their subcommands, all else is `run`."""
    with pytest.raises(InvalidUse, match=words):
        call(*arguments)
