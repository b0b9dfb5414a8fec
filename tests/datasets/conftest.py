"""Rated explanations in a real store, and the server's paths over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.api import create_app
from collector.store.store import Store
from datasets.export.api import build_router
from datasets.export.settings import Settings
from llm.explanation import Subject
from llm.reviews.feedback import Feedback, FeedbackBook
from llm.service import Explainer
from llm.settings import Settings as LlmSettings
from tests.datasets.evaluate.incident_folder import IncidentWriter, write_incidents
from tests.llm.support import Loopback, Shop, fill_slow_shop


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture
def api_url(store: Store, settings: Settings) -> Iterator[str]:
    """`/api/sql` and the training paths, as `spyhop serve` serves them."""
    served = Loopback(create_app(store, [build_router(store, settings)]))
    yield served.url
    served.stop()


@pytest.fixture
def rated(store: Store) -> Store:
    """An incident rated up, its anomaly corrected, its trace rated down without a word."""
    shop = Shop(store)
    fill_slow_shop(shop)
    shop.span("5" * 32, "bank", "pay", status="ERROR", message="password=canary1 for canary2@example.com")
    explainer = Explainer(store, LlmSettings(llm_base_url=None, llm_model=None))
    book = FeedbackBook(store)
    subjects = [
        (Subject(kind="incident", id="in-slow"), {"rating": "up", "rater": "canary-rater"}),
        (
            Subject(kind="anomaly", id="an-slow"),
            {
                "rating": "down",
                "correction": {
                    "summary": "A lock on carts, see bob-canary3@example.com [E2].",
                    "root_service": "db",
                },
                "comment": "canary4",
            },
        ),
        (Subject(kind="trace", id="5" * 32), {"rating": "down"}),
    ]
    for subject, verdict in subjects:
        explanation = explainer.analyse(subject)
        book.record(Feedback.model_validate({"explanation_id": explanation.explanation_id, **verdict}))
    return store


@pytest.fixture
def folder(tmp_path: Path) -> IncidentWriter:
    """A folder of labelled incidents: two services, three cases, logs, labels."""
    return write_incidents(tmp_path / "incidents")
