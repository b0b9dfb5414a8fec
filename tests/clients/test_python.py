"""Python as README starts it, `opentelemetry-instrument python app.py`, with the endpoint as only setting."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clients import shop
from tests.clients.loop import check_loop
from tests.clients.serving import Served, run_client

SOURCE = Path(__file__).parent / "python" / "shop.py"
SHOP = shop.Shop(
    service="unknown_service:python",
    language="python",
    pay="GET /pay/{order}",
    stock="GET /stock/{item}",
    failure="ValueError: unlucky",
)


@pytest.fixture(scope="module")
def told(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the shop says that it did, all of which has landed."""
    done = run_client(
        [str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable, str(SOURCE)],
        {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{served.grpc}"},
        tmp_path_factory.mktemp("shop"),
    )
    assert done.returncode == 0, done.stderr
    served.landed()
    return json.loads(done.stdout.splitlines()[-1])


def test_spans(served: Served, told: dict[str, Any]) -> None:
    """Each request is one trace of client, server, the shop's own span and the call within it."""
    shop.check_spans(served, SHOP, told)


def test_what_the_shop_recorded(served: Served, told: dict[str, Any]) -> None:
    """Attributes keep their types; events, links, scope and the exception are those that were recorded."""
    shop.check_recorded(served, SHOP, told)


def test_logs_stand_in_their_spans(served: Served, told: dict[str, Any]) -> None:
    """A log record has the trace and the span in which it was written, its severity and its attributes."""
    shop.check_logs(served, SHOP)


def test_metrics_lead_to_traces(served: Served, told: dict[str, Any]) -> None:
    """Counters, histograms and gauges have the values that were recorded, and exemplars name their spans."""
    shop.check_metrics(served, SHOP, told)


def test_the_sender_is_known(served: Served, told: dict[str, Any]) -> None:
    """`/api/senders` counts what came of all three signals, and names no problem."""
    shop.check_sender(served, SHOP, "OTel-OTLP-Exporter-Python", "grpc")


def test_the_whole_loop(served: Served, told: dict[str, Any]) -> None:
    """Figures, searches, look-ups and the trace view know the service, its routes and whom it calls."""
    check_loop(served, SHOP, told)
