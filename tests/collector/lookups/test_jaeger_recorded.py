"""Our answers beside those of Jaeger 1.76 for the same traces (`tests/benchmarks/jaeger.py --record`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.server import Server
from tests.benchmarks import jaeger as comparison
from tests.benchmarks import jaeger_traces as traces

RECORDED = json.loads((Path(__file__).parent / "jaeger_1_76.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def api(
    tmp_path_factory: pytest.TempPathFactory,
    make_settings: Callable[..., Any],
    start_running: Callable[..., Any],
) -> Iterator[Any]:
    running = start_running(Server(make_settings(tmp_path_factory.mktemp("recorded"))))
    body = traces.make_request().SerializeToString()
    assert running.http.post("/v1/traces", content=body, headers=comparison.PROTOBUF).status_code == 200
    running.landed()
    yield running.api
    running.stop()


@pytest.mark.parametrize("question", [q for q in traces.QUESTIONS if q != comparison.KNOWN_QUESTION])
def test_same_answer(api: Any, question: str) -> None:
    """Each field of the answer is Jaeger's."""
    ours = comparison.sorted_answer(api.get(f"/jaeger{question}").json())
    assert list(comparison.differences(RECORDED[question], ours)) == []
