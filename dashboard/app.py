"""Streamlit runs this at every interaction. It imports little, so the first page can say that it waits."""

from __future__ import annotations

import streamlit as st

from dashboard import warm
from dashboard.theme import PAGE_STYLE


def main() -> None:
    # An emoji, because a material icon would be fetched from outside for the tab.
    st.set_page_config(page_title="Spyhop", page_icon="🐋", layout="wide")
    st.html(PAGE_STYLE)
    warm.wait()
    from dashboard.navigation import show  # noqa: PLC0415 - seconds of imports in the first run of a process

    show()


if __name__ == "__main__":  # Streamlit runs the script under this name
    main()
