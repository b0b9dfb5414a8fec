from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from exchange_ref.errors import AddressInUse, FolderUnusable, InvalidUse
from exchange_ref.exchange import ExchangeConfig
from exchange_ref.faults.schedule import parse_schedule
from exchange_ref.folder import lock_folder
from exchange_ref.host_port import parse_host_port
from exchange_ref.run import RunOptions, parse_otlp, prepare_report
from exchange_ref.services.serving import bind
from exchange_ref.telemetry.metrics import Gauges, Metrics
from exchange_ref.telemetry.outputs import Exporters
from tests.exchange_ref.runs import accepted, run_till
from tests.pace import check


def run_for(folder: Path, orders: int) -> tuple[dict[str, object], InMemorySpanExporter]:
    """A run of so many more orders, and a fault that is over."""
    memory, labels = InMemorySpanExporter(), folder / "labels.jsonl"
    schedule = parse_schedule("faults: [{kind: whale_order, at_s: 0.2}]", "test")
    options = RunOptions(ExchangeConfig(folder), "http://127.0.0.1:9", 80.0, 3, schedule, otlp_wait_s=0)
    orders += accepted(options)
    told = len(labels.read_bytes().splitlines()) if labels.exists() else 0
    report = run_till(
        options,
        Exporters(memory),
        lambda: accepted(options) >= orders and len(labels.read_bytes().splitlines()) > told,
    )
    return report, memory


def test_a_run_reports_what_it_did(tmp_path: Path) -> None:
    """Accepted orders, their 17 spans each, the accepted list and the report agree; nothing is dropped."""
    report, memory = run_for(tmp_path, 30)
    accepted = [json.loads(line) for line in (tmp_path / "accepted.jsonl").read_text().splitlines()]
    assert report["orders_submitted"] == report["orders_accepted"] == len(accepted) > 20
    assert report["spans_exported"] == 17 * len(accepted) == len(memory.get_finished_spans())
    assert (report["orders_rejected"], report["spans_dropped"]) == (0, 0)
    (fault,) = report["faults"]
    assert (fault["kind"], fault["traces"]) == ("whale_order", 1)
    assert "trace_ids" not in fault


def test_a_second_run_goes_on_from_the_first(tmp_path: Path) -> None:
    """The journal brings back balances, so a folder can be used again and its orders are all kept."""
    first, _ = run_for(tmp_path, 20)
    second, _ = run_for(tmp_path, 20)
    lines = (tmp_path / "accepted.jsonl").read_text().splitlines()
    assert second["orders_rejected"] == 0
    assert len(lines) == first["orders_accepted"] + second["orders_accepted"]
    sequences = [json.loads(line)["seq"] for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert sequences == list(range(1, len(sequences) + 1))


def test_an_endpoint_that_is_gone_does_not_hold_up_the_end() -> None:
    """Metrics that nobody takes are given up in the time that was given, all providers together."""
    took_s = []
    for _ in range(3):  # a machine that stalls makes one of them longer
        metrics = Metrics(
            lambda: PeriodicExportingMetricReader(
                OTLPMetricExporter(endpoint="http://127.0.0.1:9", insecure=True),
                export_interval_millis=60_000,
            ),
            Gauges(dict, dict, dict),
        )
        began = time.monotonic()
        metrics.shutdown(300)
        took_s.append(time.monotonic() - began)
    assert min(took_s) >= 0.3
    check(min(took_s), 2.0)


def test_a_port_in_use_says_which_option_helps() -> None:
    """The error names the port and the option to choose another."""
    with (
        bind("127.0.0.1:0", "--gateway") as taken,
        pytest.raises(AddressInUse, match=f"port {taken.getsockname()[1]} .*--gateway"),
    ):
        bind(f"127.0.0.1:{taken.getsockname()[1]}", "--gateway")


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    """A second exchange on the same folder is refused with the owner's process, until the first lets go."""
    first = lock_folder(tmp_path)
    with pytest.raises(FolderUnusable, match=r"process \d+\).*--data"):
        lock_folder(tmp_path)
    first.close()
    lock_folder(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A path below a file cannot become a folder, and says so."""
    (tmp_path / "file").touch()
    with pytest.raises(FolderUnusable, match=r"file/below.*--data"):
        lock_folder(tmp_path / "file/below")
    with pytest.raises(InvalidUse, match="--report"):
        prepare_report(tmp_path / "file/report.json")


@pytest.mark.parametrize("text", ["8000", "localhost", "localhost:http", "host:70000", ":80", "h:-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """Host and port are both needed."""
    with pytest.raises(ValueError, match="host:port"):
        parse_host_port(text)


@pytest.mark.parametrize("text", ["localhost:4317", "ftp://x:1", "http://", "http://x:port"])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    """An OTLP endpoint is an http or https URL with a host."""
    with pytest.raises(InvalidUse, match="OTLP endpoint"):
        parse_otlp(text)


def test_otlp_endpoints() -> None:
    """An endpoint without a port means OTLP's."""
    assert parse_otlp("http://collector") == ("collector", 4317)
