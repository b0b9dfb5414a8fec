"""The page frame: navigation, live switch, current page. Streamlit runs this at every interaction."""

from __future__ import annotations

import streamlit as st

from dashboard.theme import PAGE_STYLE
from dashboard.views import anomalies, overview


def main() -> None:
    # An emoji, because a material icon would be fetched from outside for the tab.
    st.set_page_config(page_title="Spyhop", page_icon="🐋", layout="wide")
    current = st.navigation(
        [
            st.Page(
                overview.render,
                title="Overview",
                icon=":material/monitoring:",
                url_path="overview",
                default=True,
            ),
            st.Page(
                anomalies.render, title="Anomalies", icon=":material/troubleshoot:", url_path="anomalies"
            ),
        ],
        position="top",
    )
    st.html(PAGE_STYLE)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"#### {current.title}")
        st.space("stretch")
        st.toggle("Live", value=True, key="live", bind="query-params", help="Refresh by itself")
    current.run()


if __name__ == "__main__":  # Streamlit runs the script under this name
    main()
