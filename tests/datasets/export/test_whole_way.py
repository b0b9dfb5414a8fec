"""One incident from its explanation over two reviewers and their judge to every format and to a case."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from collector.api import create_app
from collector.client import Client
from collector.store.store import Store
from datasets.evaluate.corrected import write_cases
from datasets.export.api import build_router as build_training_router
from datasets.export.formats import FORMATS
from datasets.export.run import write_export
from datasets.export.select import Filters
from datasets.export.settings import Settings
from llm.api import build_router
from llm.reviews.feedback import FeedbackBook
from llm.service import Explainer
from llm.settings import Settings as LlmSettings
from tests.llm.support import Loopback, Shop, fill_slow_shop


@pytest.fixture
def api_url(store: Store, settings: Settings) -> Iterator[str]:
    """Explanations, feedback and training data, as `spyhop serve` serves them."""
    shop = Shop(store)
    for number in range(20):  # a case is compared with what was usual
        trace_id, at_ms = f"{number + 1:032x}", -1000 * (20 - number)
        root = shop.span(trace_id, "shop-web", "GET /cart", "SERVER", at_ms=at_ms, ms=12)
        shop.span(trace_id, "checkout", "SELECT carts", "CLIENT", parent=root, at_ms=at_ms + 4, ms=1)
    fill_slow_shop(shop)
    explainer = Explainer(store, LlmSettings(llm_base_url=None, llm_model=None))
    routers = [build_router(store, explainer, FeedbackBook(store)), build_training_router(store, settings)]
    served = Loopback(create_app(store, routers))
    yield served.url
    served.stop()


def _answers(name: str, row: dict[str, Any]) -> list[str]:
    """The texts that a row of the format teaches to say."""
    if name == "trl-kto":
        return [row["completion"][0]["content"]] if row["label"] else []
    if name == "sharegpt":
        return [row["conversations"][-1]["value"]]
    if name in ("openai-dpo", "trl-dpo"):
        return [(row.get("preferred_output") or row.get("chosen"))[0]["content"]]
    field = {"alpaca": "output", "raw": "gold", "openai-rft": "reference_answer"}.get(name)
    return [row[field] if field else row["messages"][-1]["content"]]


def test_from_explanation_to_every_format(api_url: str, tmp_path: Path) -> None:
    """Every format teaches what a third person decided, and so does a case of `spyhop eval`; none a name."""
    with httpx2.Client(base_url=f"{api_url}/api/monitor", trust_env=False, timeout=60) as http:
        asked = {"incident_id": "in-slow"}
        explained = http.post("/analyze", json=asked).raise_for_status().json()
        said = {"explanation_id": explained["explanation_id"]}
        corrected = {"root_service": "shop-web", "root_operation": "GET /cart"}
        for word in (
            {"rater": "canary-ann", "verdict": "right"},
            {"rater": "canary-bob", "verdict": "wrong", "correction": {"root_service": "nowhere"}},
        ):
            http.post("/feedback", json=said | word).raise_for_status()
        assert http.get("/feedback/queue").json()["queue"][0]["reasons"][0] == "disagreed"
        decision = {
            "rater": "canary-cy",
            "verdict": "wrong",
            "is_adjudication": True,
            "correction": corrected,
        }
        http.post("/feedback", json=said | decision).raise_for_status()
        assert http.get("/feedback/queue").json()["queue"] == []
    with Client(api_url, timeout_s=60) as client:
        dry = write_export(client, "all", tmp_path / "dry", dry_run=True)
        assert not (tmp_path / "dry").exists()
        written = write_export(client, "all", tmp_path / "out")
        cases = write_cases(client, tmp_path / "cases", Filters())
    assert dry.rows == written.rows
    for name in FORMATS:
        lines = (tmp_path / "out" / name / "train.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        answers = [json.loads(text) for row in rows for text in _answers(name, row)]
        causes = [
            (cause["service"], cause["operation"]) for answer in answers for cause in answer["root_causes"]
        ]
        assert causes == [("shop-web", "GET /cart")], name
    texts = [path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not any("canary" in text for text in texts)
    (label,) = cases.labels
    assert (label["root_services"], label["root_operation"]) == (["shop-web"], "GET /cart")
