"""The page frame: navigation, the bar, current page."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard.views import (
    bar,
    exchange,
    frame,
    health,
    incident,
    logs,
    market,
    metrics,
    now,
    review,
    services,
    sql,
    trace,
    traces,
)

# path, title, icon, the function that draws the page. The first is the page at `/`.
PAGES: list[tuple[str, str, str, Callable[[], None]]] = [
    ("overview", "Now", "monitoring", now.render),
    ("incident", "Incidents", "troubleshoot", incident.render),
    ("traces", "Traces", "search", traces.render),
    ("trace", "Trace", "account_tree", trace.render),
    ("services", "Services", "hub", services.render),
    ("logs", "Logs", "notes", logs.render),
    ("metrics", "Metrics", "show_chart", metrics.render),
    ("market", "Market", "candlestick_chart", market.render),
    ("exchange", "Exchange", "currency_exchange", exchange.render),
    ("sql", "SQL", "database", sql.render),
    ("review", "Review", "rate_review", review.render),
    ("health", "Health", "monitor_heart", health.render),
]


def _anomalies() -> None:
    """The queue under its earlier path, so that existing links keep working."""
    incident.render()


def show() -> None:
    """The page that the address names, in its frame."""
    with frame.whole_page():
        _page()


def _page() -> None:
    there = bar.presence()
    shown = {"market": there.market, "exchange": there.exchange}
    pages = {
        path: st.Page(
            render,
            title=title,
            icon=f":material/{icon}:",
            url_path=path,
            default=index == 0,
            visibility="visible" if shown.get(path, True) else "hidden",
        )
        for index, (path, title, icon, render) in enumerate(PAGES)
    }
    earlier = st.Page(_anomalies, title="Incidents", url_path="anomalies", visibility="hidden")
    current = st.navigation([*pages.values(), earlier], position="top")
    frame.register({"": pages[PAGES[0][0]], **pages, "anomalies": earlier})
    frame.apply_pending()
    bar.controls(current.title)
    # Filled last: the page must not wait for the status of all parts.
    place = st.container(key="bar_place")
    current.run()
    with place:
        bar.render(["", *pages, "anomalies"], there)
