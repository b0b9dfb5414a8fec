"""What every page shares: the server's address, live refresh, and what to say when nothing can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache

import streamlit as st

from collector.errors import NotFound, SpyhopError, Unavailable
from dashboard import format as fmt
from dashboard.markup import page, tag
from dashboard.settings import Settings


@cache
def settings() -> Settings:
    """The process's settings; its environment does not change while it runs."""
    return Settings()


def api_url() -> str:
    return settings().dashboard_api_url


def now() -> datetime:
    return datetime.now(UTC)


def live() -> bool:
    """Whether pages refresh by themselves: the switch in the header, or `?live=false`."""
    return bool(st.session_state.get("live", True))


def every(body: Callable[[], None], interval_s: float) -> None:
    """Runs `body` now, and again by itself while the page is live."""
    st.fragment(body, run_every=interval_s if live() else None)()


def href(page_path: str, **query: object) -> tuple[str, dict[str, object]]:
    """A place in the dashboard that keeps the live switch where it is."""
    return page_path, query if live() else {**query, "live": "false"}


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Shows an expected failure in place of the part that needed the data."""
    try:
        yield
    except Unavailable as error:
        _panel(
            "The Spyhop server does not answer",
            f"{error.message}. Start it with",
            "spyhop serve",
            "or point the dashboard at it: spyhop dashboard --api http://HOST:4320. "
            "This page tries again by itself."
            if live()
            else "Then reload this page.",
        )
    except NotFound as error:
        _panel(
            f"{what}: not stored", f"{error.message}. It may have been removed with old data; choose another."
        )
    except SpyhopError as error:
        _panel(f"{what} could not be read", f"{error.message}.", "", error.hint)


def _panel(title: str, text: str, code: str = "", after: str = "") -> None:
    st.html(
        page(
            tag("div", f"▲ {title}", css="title", style="color:#FF9F43"),
            tag("div", text, " ", tag("code", code) if code else "", " ", after),
            css="panel",
        )
    )


def updated(generated_at: str | None) -> str:
    """`updated 22:45:17 UTC`, and whether it goes on by itself."""
    moment = fmt.clock(generated_at) if generated_at else now().strftime("%H:%M:%S UTC")
    pace = f"refreshes every {settings().dashboard_refresh_s:g} s" if live() else "live refresh is off"
    return f"updated {moment}, {pace}"
