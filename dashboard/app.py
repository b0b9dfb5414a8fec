"""The page frame: navigation, the bar, current page. Streamlit runs this at every interaction."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard.theme import PAGE_STYLE
from dashboard.views import bar, frame, incident, logs, now, trace

# path, title, icon, what draws it. The first is the page at `/`.
PAGES: list[tuple[str, str, str, Callable[[], None]]] = [
    ("overview", "Now", "monitoring", now.render),
    ("incident", "Incidents", "troubleshoot", incident.render),
    ("trace", "Trace", "account_tree", trace.render),
    ("logs", "Logs", "notes", logs.render),
]


def _anomalies() -> None:
    """The queue under its earlier path, so that links people have sent go on working."""
    incident.render()


def main() -> None:
    # An emoji, because a material icon would be fetched from outside for the tab.
    st.set_page_config(page_title="Spyhop", page_icon="🐋", layout="wide")
    pages = {
        path: st.Page(render, title=title, icon=f":material/{icon}:", url_path=path, default=index == 0)
        for index, (path, title, icon, render) in enumerate(PAGES)
    }
    earlier = st.Page(_anomalies, title="Incidents", url_path="anomalies", visibility="hidden")
    current = st.navigation([*pages.values(), earlier], position="top")
    st.html(PAGE_STYLE)
    frame.register({"": pages[PAGES[0][0]], **pages, "anomalies": earlier})
    frame.apply_pending()
    bar.render(current.title, ["", *pages, "anomalies"])
    current.run()


if __name__ == "__main__":  # Streamlit runs the script under this name
    main()
