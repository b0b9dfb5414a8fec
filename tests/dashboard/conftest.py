"""A real API server with a world behind it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.views import frame
from tests.accessibility import install_axe
from tests.dashboard.page import Opener
from tests.dashboard.shop_api import build_api, serve
from tests.dashboard.shop_world import World


@pytest.fixture(autouse=True)
def keep_main() -> Iterator[None]:
    """Streamlit's test runner leaves its script as `__main__`, which spawned processes would run again."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's script."""
    return install_axe(tmp_path_factory.mktemp("axe"))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def api_url(world: World) -> Iterator[str]:
    """The address of a server that answers from `world`."""
    server, thread, url = serve(build_api(world))
    yield url
    server.should_exit = True
    thread.join(5)


@pytest.fixture(scope="session")
def shared_api_url() -> Iterator[str]:
    """The address of a server with a slow database and a whale, for tests that bring their own subject."""
    filled = World()
    filled.fill()
    server, thread, url = serve(build_api(filled))
    yield url
    server.should_exit = True
    thread.join(5)


@pytest.fixture
def busy(world: World) -> World:
    """A world with a slow database and a whale."""
    world.fill()
    return world


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    """Runs a page by its name against a server, with query parameters; nothing may be raised."""

    def opened(name: str, url: str, **query: str) -> AppTest:
        monkeypatch.setenv("SPYHOP_DASHBOARD_API_URL", url)
        monkeypatch.setenv("SPYHOP_DASHBOARD_RATER", "anna")
        frame.settings.cache_clear()
        frame.exchange.cache_clear()
        st.cache_data.clear()
        script = f"from dashboard.views import {name}\n\n{name}.render()\n"
        app = AppTest.from_string(script, default_timeout=60)
        app.session_state["live"] = False
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        assert not app.exception
        return app

    yield opened
    frame.settings.cache_clear()
    frame.exchange.cache_clear()
