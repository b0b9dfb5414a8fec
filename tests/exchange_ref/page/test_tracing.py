"""What the trading page's module sends against what the OpenTelemetry web SDK sends."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import exchange_ref
from exchange_ref.services.browser_spans import BrowserSpans
from exchange_ref.services.identity import Refused
from tests import npm

PROBE = Path(__file__).parent / "js"
MODULE = Path(exchange_ref.__file__).parent / "page" / "tracing.js"
SPAN: dict[str, Any] = {
    "traceId": "1" * 32,
    "spanId": "2" * 16,
    "name": "page.load.client",
    "kind": 1,
    "startTimeUnixNano": "1800000000000000000",
    "endTimeUnixNano": "1800000000000000007",
}


@pytest.mark.node
def test_requests_equal_those_of_the_web_sdk(tmp_path: Path) -> None:
    """Three spans with attributes of every type, an exception and failures: equal field by field."""
    npm.install(PROBE, tmp_path, ["compare.mjs"])
    shutil.copy(MODULE, tmp_path / "tracing.mjs")
    process = subprocess.run(
        ["node", "compare.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode == 0, process.stderr
    sent = json.loads(process.stdout)
    assert len(sent["sdk"]["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 3
    assert sent["page"] == sent["sdk"]


def test_lock_file_names_no_registry() -> None:
    """The lock pins versions by hash and leaves the registry to the user's configuration."""
    packages = json.loads((PROBE / "package-lock.json").read_text())["packages"]
    assert all("resolved" not in package for package in packages.values())
    assert all("integrity" in package for name, package in packages.items() if name)


def request(service: str = "kx-wallet", spans: list[dict[str, Any]] | None = None) -> bytes:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    scoped = [{"scope": {"name": "page"}, "spans": [SPAN] if spans is None else spans}]
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": scoped}]}).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "Invalid JSON"),
        (b"[" * 30_000, "Invalid JSON"),
        (request("kx-matcher"), "only spans of kx-wallet"),
        (request(spans=[{**SPAN, "traceId": "0" * 32}]), "an id of zeros"),
        (request(spans=[{**SPAN, "spanId": "xyz"}]), "spanId"),
        (request(spans=[{**SPAN, "kind": 2}]), "kind"),
        (request(spans=[{**SPAN, "name": "n" * 129}]), "name"),
        (request(spans=[{**SPAN, "startTimeUnixNano": str(2**64)}]), "startTimeUnixNano"),
        (request(spans=[SPAN] * 129), "spans"),
        (request(spans=[{**SPAN, "attributes": [{"key": "k", "value": {"intValue": 2**63}}]}]), "intValue"),
    ],
)
def test_what_is_no_span_of_the_page_is_refused(body: bytes, words: str) -> None:
    """Another service's spans, ids, kinds and sizes that the page never sends; none of them is sent on."""
    taken: list[object] = []
    with pytest.raises(Refused, match=words):
        BrowserSpans(taken.append).take(body)
    assert not taken


def test_a_span_is_sent_on_as_it_came() -> None:
    taken: list[Any] = []
    BrowserSpans(taken.append).take(request())
    (span,) = taken
    assert (span.name, span.start_time, span.end_time) == ("page.load.client", 18 * 10**17, 18 * 10**17 + 7)
    assert (f"{span.context.trace_id:x}", f"{span.context.span_id:x}") == (SPAN["traceId"], SPAN["spanId"])
    assert span.resource.attributes == {"service.name": "kx-wallet"}
