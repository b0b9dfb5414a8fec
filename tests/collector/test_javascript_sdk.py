"""The JavaScript OpenTelemetry SDK over OTLP/HTTP: what an application recorded is what DuckDB returns."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import npm

pytestmark = pytest.mark.node
PROBE = Path(__file__).parent / "js"


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sending script with its packages, installed from the lock file, outside the repository."""
    folder = tmp_path_factory.mktemp("js")
    npm.install(PROBE, folder, ["send.mjs"])
    return folder


@pytest.mark.parametrize("wire_format", ["json", "proto"])
def test_field_by_field(running: Any, probe: Path, wire_format: str) -> None:
    """Ids, parents, kinds, status, times, attribute types, events and links equal what the SDK recorded."""
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    process = subprocess.run(
        ["node", "send.mjs", running.addresses["otlp_http"], wire_format],
        cwd=probe,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    recorded = json.loads(process.stdout)
    assert len(recorded) == 6
    running.landed()
    cursor = running.store.cursor()
    cursor.execute(
        "SELECT span_name AS name, trace_id, span_id, parent_span_id, span_kind AS kind,"
        " status_code AS status,"
        " status_message, epoch_ns(start_time)::VARCHAR AS start_ns,"
        " (epoch_ns(start_time) + duration_ns)::VARCHAR AS end_ns, attributes,"
        " events, links, service_name, scope_name, scope_version, resource_attributes FROM spans"
    )
    names = [column[0] for column in cursor.description]
    stored = {row[2]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}
    cursor.execute("SELECT span_id, list_transform(events, lambda e: epoch_ns(e.time)::VARCHAR) FROM spans")
    event_times = dict(cursor.fetchall())
    cursor.close()
    assert len(stored) == len(recorded)
    for span in recorded:
        row = stored[span["span_id"]]
        assert (row.pop("service_name"), row.pop("scope_name"), row.pop("scope_version")) == (
            "javascript-app",
            "lib",
            "1.2",
        )
        assert row.pop("resource_attributes") == {"service.name": "javascript-app", "host.cpus": 2}
        row["events"] = [
            {"name": event["name"], "ns": ns, "attributes": event["attributes"]}
            for event, ns in zip(row["events"], event_times[span["span_id"]], strict=True)
        ]
        row["links"] = [
            {key: link[key] for key in ("trace_id", "span_id", "attributes")} for link in row["links"]
        ]
        assert row == span
    root = next(row for row in stored.values() if row["name"] == "root")["attributes"]
    assert [type(root[key]) for key in ("text", "yes", "zero", "large", "half", "texts", "fractions")] == [
        str,
        bool,
        int,
        int,
        float,
        list,
        list,
    ]


def test_lock_file_names_no_registry() -> None:
    """The lock pins versions by hash and leaves the registry to the user's configuration."""
    packages = json.loads((PROBE / "package-lock.json").read_text())["packages"]
    assert all("resolved" not in package for package in packages.values())
    assert all("integrity" in package for name, package in packages.items() if name)
