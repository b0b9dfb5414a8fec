"""Parts that all pages share: server, time range, links, live regions, and texts on failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import streamlit as st
from streamlit.navigation.page import Page

from collector.errors import Busy, NotFound, SpyhopError, Timeout, Unavailable
from dashboard import format as fmt
from dashboard.markup import page, tag
from dashboard.settings import ExchangeAddress, Settings

T = TypeVar("T")

RANGES_S = {"5m": 300, "15m": 900, "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800}
# What is bound to the address on every page; a link sets them before their widgets are drawn.
BOUND = ("live", "range", "zone")
RETRY_S = 3.0
LATE_AFTER = 3  # refreshes that were missed before data counts as stale
REGIONS_KEPT = 24  # of the page that is open, and of the last ones before it
_PAGES = "spyhop_pages"
_REGIONS = "spyhop_regions"
_FAILED = "spyhop_failed"
_PENDING = "spyhop_pending"
_RUNNING = "spyhop_running"
_AGAIN = "spyhop_again"
_SPEAKER = "spyhop_speaker"


@cache
def settings() -> Settings:
    """The process's settings; its environment does not change while it runs."""
    return Settings()


@cache
def exchange() -> ExchangeAddress:
    """Where the reference exchange is, if one runs."""
    return ExchangeAddress()


def api_url() -> str:
    return settings().dashboard_api_url


def reader() -> str:
    """Under which name the reader decides and rates: what the page says, else the setting's."""
    return str(st.session_state.get("rater") or settings().dashboard_rater).strip()


def api_host() -> str:
    """The host of the server, for what to type elsewhere."""
    return urlsplit(api_url()).hostname or "127.0.0.1"


def now() -> datetime:
    return datetime.now(UTC)


def now_ns() -> int:
    return int(now().timestamp() * 1e6) * 1000


def live() -> bool:
    """Whether pages refresh by themselves: the switch in the header, or `?live=false`."""
    return bool(st.session_state.get("live", True))


def use_zone() -> None:
    """Writes times in UTC, or in the reader's zone when the page says so."""
    fmt.use_zone(st.context.timezone if st.session_state.get("zone") == "local" else None)


@dataclass(frozen=True)
class Window:
    """The time range of the page: whole seconds in ns since 1970, and how it is called."""

    since_ns: int
    until_ns: int
    text: str

    @property
    def length_s(self) -> int:
        return (self.until_ns - self.since_ns) // 1_000_000_000

    def bucket_s(self, most: int = 120) -> int:
        """A bucket that gives at most so many of them.

        >>> Window(0, 3600 * 10**9, "").bucket_s(), Window(0, 900 * 10**9, "").bucket_s()
        (30, 10)
        """
        steps = (5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600)
        return next((step for step in steps if self.length_s / step <= most), steps[-1])


def default_range() -> str:
    """The shortest range that holds as many minutes as the setting says."""
    wanted_s = 60 * settings().dashboard_window_min
    return next((name for name, length_s in RANGES_S.items() if length_s >= wanted_s), "24h")


def window() -> Window:
    """The range that the header says, up to now, or up to `?at=` (an ISO time)."""
    # A page that opens by a link draws its first parts before the widget has taken the address over.
    name = str(st.session_state.get("range") or st.query_params.get("range") or default_range())
    length_s = RANGES_S.get(name, RANGES_S[default_range()])
    fixed = fmt.parse_time(st.query_params.get("at"))
    end = fixed or now()
    until_ns = (int(end.timestamp()) + 1) * 1_000_000_000
    text = f"{name} until {fmt.clock_of(end)}" if fixed else f"last {name}"
    return Window(until_ns - length_s * 1_000_000_000, until_ns, text)


def around(moment: datetime | None, after: timedelta = timedelta(minutes=5)) -> dict[str, str]:
    """Query parameters that put a page at another time."""
    return {"at": (moment + after).strftime("%Y-%m-%dT%H:%M:%SZ")} if moment else {}


def register(pages: dict[str, Page]) -> None:
    """The pages by path, for links within the dashboard."""
    st.session_state[_PAGES] = pages


def apply_pending() -> None:
    """Takes over what a link said of the range, the zone or the live switch, before their widgets exist."""
    for name, value in st.session_state.pop(_PENDING, {}).items():
        st.session_state[name] = value


def go(href: str) -> None:
    """Opens a page of the dashboard without loading it again; an unknown path does nothing."""
    parts = urlsplit(href)
    target = st.session_state.get(_PAGES, {}).get(parts.path.strip("/"))
    if target is None:
        return
    query = dict(parse_qsl(parts.query))
    pending: dict[str, object] = {}
    if query.get("range") in RANGES_S:
        pending["range"] = query["range"]
    if query.get("live") in ("true", "false"):
        pending["live"] = query["live"] == "true"
    st.session_state[_PENDING] = pending
    st.switch_page(target, query_params={key: value for key, value in query.items() if key not in BOUND})


def turn_to(range_name: str, **query: str) -> None:
    """Shows this page again at another time; everything else in its address stays."""
    st.session_state[_PENDING] = {"range": range_name}
    st.query_params.update(query)
    st.rerun(scope="app")


def href(page_path: str, **query: object) -> tuple[str, dict[str, object]]:
    """A place in the dashboard that keeps the live switch where it is."""
    return page_path, query if live() else {**query, "live": "false"}


def link_of(page_path: str, query: dict[str, object] | dict[str, str]) -> str:
    """An address within the dashboard.

    >>> link_of("trace", {"id": "ab"}), link_of("", {})
    ('/trace?id=ab', '/')
    """
    written = urlencode({key: str(value) for key, value in query.items() if value not in (None, "")})
    return f"/{page_path}?{written}" if written else f"/{page_path}"


@contextmanager
def whole_page() -> Iterator[None]:
    """Around a run of the whole page: what asks for another run meanwhile gets it at the end.

    A run that starts anew forgets the click it was started for, so every part has to have had its turn.
    """
    st.session_state[_RUNNING] = True
    st.session_state[_AGAIN] = False
    st.session_state[_SPEAKER] = None
    try:
        yield
    finally:
        st.session_state[_RUNNING] = False
    if st.session_state[_AGAIN]:
        st.rerun()


def rerun() -> None:
    """Runs the page anew: at once from a part that refreshes alone, else after all parts have run."""
    if st.session_state.get(_RUNNING):
        st.session_state[_AGAIN] = True
    else:
        st.rerun()


def every(body: Callable[[], None], interval_s: float) -> None:
    """Runs `body` now, and again by itself while the page is live."""

    def run() -> None:
        use_zone()
        body()

    st.fragment(run, run_every=interval_s if live() else None)()


@dataclass(frozen=True)
class _Kept:
    value: object
    at: datetime


def region(  # noqa: PLR0917 - the parts of a live region
    key: str,
    what: str,
    read: Callable[[], T],
    draw: Callable[[T], object],
    every_s: float | None = None,
    show_age: bool = True,
) -> None:
    """A part of a page that reads, draws, says how old it is, and recovers by itself.

    When reading fails, what was read last stays, marked as stale; without any, the part says what to do.
    A part that failed is tried again every three seconds, also while live refresh is off.

    Args:
        key: unique on its page and the same at every refresh; it names what is shown, ids included.
        what: e.g. `The incidents`, for the message of a failure.
        every_s: seconds between refreshes while live; the setting's without.
    """
    interval_s = every_s or frame_interval_s()
    failed: set[str] = st.session_state.setdefault(_FAILED, set())

    def body() -> None:
        use_zone()
        before = _kept(key)
        try:
            value: T = read()
        except SpyhopError as error:
            if before is None or isinstance(error, NotFound):
                if not isinstance(error, Unavailable | Timeout) or _speaks_of_the_server(key):
                    problem(what, error)
                else:
                    _waits(what)
            else:
                _stale(what, error, before)
                draw(before.value)  # type: ignore[arg-type] # what this same region has read
            if key not in failed:
                failed.add(key)
                if not live():
                    rerun()  # so that the part is tried again although live refresh is off
            return
        if st.session_state.get(_SPEAKER) == key:
            st.session_state[_SPEAKER] = None
        _keep(key, value)
        draw(value)
        if show_age:
            st.html(age_mark(now(), interval_s))
        if key in failed:
            failed.discard(key)
            if not live():
                rerun()

    retry_s = RETRY_S if key in failed else None
    st.fragment(body, run_every=interval_s if live() else retry_s)()


def _speaks_of_the_server(key: str) -> bool:
    """Whether this part says that there is no server: the first of a page does, the others wait with it."""
    if st.session_state.get(_SPEAKER) is None:
        st.session_state[_SPEAKER] = key
    return bool(st.session_state[_SPEAKER] == key)


def _waits(what: str) -> None:
    st.html(page(tag("div", f"{what}: waiting for the server.", css="muted")))


def frame_interval_s() -> float:
    return settings().dashboard_refresh_s


def _kept(key: str) -> _Kept | None:
    regions: dict[str, _Kept] = st.session_state.setdefault(_REGIONS, {})
    return regions.get(key)


def kept(key: str) -> object:
    """What a region has read last, stale or not; None when it never could."""
    found = _kept(key)
    return found.value if found else None


def _keep(key: str, value: object) -> None:
    regions: dict[str, _Kept] = st.session_state.setdefault(_REGIONS, {})
    regions.pop(key, None)
    regions[key] = _Kept(value, now())
    while len(regions) > REGIONS_KEPT:
        del regions[next(iter(regions))]


def age_mark(at: datetime, interval_s: float) -> str:
    """`updated 2 s ago`, counted on by the bar's script in the browser, so that the age needs no refresh."""
    late_s = max(10, round(LATE_AFTER * interval_s)) if live() else 0
    word = "updated" if live() else "read"
    return str(
        tag(
            "span",
            f"{word} {fmt.clock_of(at)}",
            css="sp-age",
            data_at=int(at.timestamp() * 1000),
            data_late=late_s,
            data_word=word,
        )
    )


def _stale(what: str, error: SpyhopError, before: _Kept) -> None:
    st.html(
        page(
            tag(
                "div",
                tag("strong", f"▲ {what}: not up to date. ", style="color:#FF9F43"),
                f"{error.message}. What follows is from {fmt.clock_of(before.at)}; "
                "this is tried again by itself.",
            ),
            css="panel",
        )
    )


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Shows an expected failure in place of the part that needed the data."""
    try:
        yield
    except SpyhopError as error:
        problem(what, error)


@contextmanager
def quiet() -> Iterator[None]:
    """Passes over an expected failure that a region of the page says already."""
    with suppress(SpyhopError):
        yield


def problem(what: str, error: SpyhopError, again: str = "this page tries again by itself") -> None:
    """Says what could not be read, why, and what to do."""
    if isinstance(error, Busy | Timeout):
        _panel(
            "The Spyhop server is busy",
            f"{what}: {error.message}. It runs, and {again}. If it stays so, choose a shorter time range, or "
            "look at what else its machine does.",
        )
    elif isinstance(error, Unavailable):
        _panel(
            "The Spyhop server does not answer",
            f"{error.message}. Start it with",
            "spyhop serve",
            "or point the dashboard at it: spyhop dashboard --api http://HOST:4320. "
            "This page tries again by itself.",
        )
    elif isinstance(error, NotFound):
        _panel(
            f"{what}: not stored", f"{error.message}. It may have been removed with old data; choose another."
        )
    else:
        _panel(f"{what} could not be read", f"{error.message}.", "", error.hint)


def _panel(title: str, text: str, code: str = "", after: str = "") -> None:
    st.html(
        page(
            tag("div", f"▲ {title}", css="title", style="color:#FF9F43"),
            tag("div", text, " ", tag("code", code) if code else "", " ", after),
            css="panel",
        )
    )
