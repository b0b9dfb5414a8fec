"""Fixtures over a small shop in a real store, and a scripted model endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from collector.api import create_app
from collector.store.store import Store
from llm.api import build_router
from llm.reviews.feedback import FeedbackBook
from llm.service import Explainer
from llm.settings import Settings
from tests.llm.support import T0, Endpoint, Loopback, Shop, fill_slow_shop


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture
def shop(store: Store) -> Shop:
    return Shop(store)


@pytest.fixture
def slow_shop(shop: Shop) -> Shop:
    """One slow trace with its anomaly `an-slow` and its incident `in-slow`."""
    fill_slow_shop(shop)
    return shop


@pytest.fixture
def clock() -> Iterator[Any]:
    ticks = count(T0, 1_000_000_000)
    return lambda: next(ticks)


@pytest.fixture
def new_id() -> Any:
    numbers = count(1)
    return lambda: f"id-{next(numbers):04d}"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    started = Endpoint()
    yield started
    started.stop()


@pytest.fixture
def model_settings(endpoint: Endpoint) -> Settings:
    return Settings(
        llm_base_url=endpoint.url,
        llm_model="scripted",
        llm_api_key=SecretStr("the-configured-key"),
        llm_deadline_s=5,
        llm_request_timeout_s=2,
    )


@pytest.fixture
def explainer(store: Store, clock: Any, new_id: Any) -> Explainer:
    """Deterministic: no model is configured."""
    return Explainer(store, Settings(llm_base_url=None, llm_model=None), clock_ns=clock, new_id=new_id)


@pytest.fixture
def narrator(store: Store, model_settings: Settings, clock: Any, new_id: Any) -> Explainer:
    """Asks the scripted endpoint."""
    return Explainer(store, model_settings, clock_ns=clock, new_id=new_id)


@pytest.fixture
def api_url(store: Store, explainer: Explainer) -> Iterator[str]:
    """The explainer's paths, served as `spyhop serve` does, without a model."""
    router = build_router(
        store, explainer, FeedbackBook(store), lambda incident, rater: {"adopted": [f"{incident} by {rater}"]}
    )
    served = Loopback(create_app(store, [router]))
    yield served.url
    served.stop()


@pytest.fixture
def http(api_url: str) -> Any:
    with httpx2.Client(base_url=f"{api_url}/api/monitor", trust_env=False) as client:
        yield client
