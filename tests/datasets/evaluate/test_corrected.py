from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from collector.client import Client
from collector.store.store import Store
from datasets.errors import NothingToExport, OutputUnusable
from datasets.evaluate.corrected import write_cases
from datasets.evaluate.evaluation import evaluate
from datasets.evaluate.incidents import IncidentFolder
from datasets.export.select import Filters
from llm.explanation import Subject
from llm.reviews.feedback import Feedback, FeedbackBook
from llm.service import Explainer
from llm.settings import Settings as LlmSettings
from tests.llm.support import Shop, fill_slow_shop

USUAL = 40


@pytest.fixture
def explained(store: Store) -> str:
    """A slow incident after forty usual traces; returns its explanation's id."""
    shop = Shop(store)
    for number in range(USUAL):
        trace_id, at_ms = f"{number + 1:032x}", -1000 * (USUAL - number)
        root = shop.span(trace_id, "shop-web", "GET /cart", "SERVER", at_ms=at_ms, ms=12 + number % 3)
        server = shop.span(
            trace_id, "checkout", "POST /checkout", "SERVER", parent=root, at_ms=at_ms + 2, ms=8
        )
        shop.span(trace_id, "checkout", "SELECT carts", "CLIENT", parent=server, at_ms=at_ms + 4, ms=1)
    fill_slow_shop(shop)
    explainer = Explainer(store, LlmSettings(llm_base_url=None, llm_model=None))
    return explainer.analyse(Subject(kind="incident", id="in-slow")).explanation_id


def correct(store: Store, explanation_id: str, **correction: Any) -> None:
    body = {"explanation_id": explanation_id, "verdict": "wrong", "correction": correction}
    FeedbackBook(store).record(Feedback.model_validate(body))


def test_a_correction_becomes_a_case(store: Store, explained: str, api_url: str, tmp_path: Path) -> None:
    """A corrected incident is a folder that `spyhop eval` reads and scores by what was said."""
    correct(store, explained, root_service="checkout", root_operation="SELECT carts")
    with Client(api_url) as client:
        cases = write_cases(client, tmp_path / "cases", Filters())
    assert cases.span_count == 3 * USUAL + 3
    (label,) = json.loads((tmp_path / "cases" / "cases.json").read_text())
    assert (label["root_services"], label["root_operation"]) == (["checkout"], "SELECT carts")
    with IncidentFolder.open(tmp_path / "cases") as folder:
        scores = evaluate(folder).as_dict()["localisation"]
    assert (scores["n"], scores["hit@1"], scores["operation_hit@1"]) == (1, 1.0, 1.0)


def test_what_makes_no_case(store: Store, explained: str, api_url: str, tmp_path: Path) -> None:
    """A correction without a place, and a folder in use, are refused with the reason; nothing is written."""
    correct(store, explained, summary="It was a lock.")
    with Client(api_url) as client:
        with pytest.raises(NothingToExport, match="names no root service"):
            write_cases(client, tmp_path / "cases", Filters())
        assert not (tmp_path / "cases").exists()
        correct(store, explained, root_service="db")
        (tmp_path / "mine").write_text("x")
        with pytest.raises(OutputUnusable, match="not an empty folder"):
            write_cases(client, tmp_path, Filters())


def test_expired_spans(store: Store, explained: str, api_url: str, tmp_path: Path) -> None:
    """Where the traces are gone, no case is made up."""
    correct(store, explained, root_service="checkout")
    with store.transaction() as con:
        con.execute("DELETE FROM spans_recent")
    with Client(api_url) as client, pytest.raises(NothingToExport, match="no longer stored"):
        write_cases(client, tmp_path / "cases", Filters())
