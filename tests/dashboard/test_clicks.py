"""A click is heard, whatever else the page finds out in the same run."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.components.bar import Asked
from dashboard.data.presence import Present
from dashboard.views import bar, frame


def test_a_link_is_followed_although_the_navigation_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first click after orders have come opens its page, before the page that is left is drawn again; it
    is no mere refresh of the navigation."""
    asked = [Asked(go="/incident?id=7", find=None)]
    steps: list[str] = []
    monkeypatch.setattr(bar, "presence", lambda: Present(market=bool(asked)))
    monkeypatch.setattr(bar, "asked_of", lambda _: asked.pop() if asked else Asked(None, None))
    monkeypatch.setattr(bar, "bar", lambda *_, **__: steps.append("drawn"))
    monkeypatch.setattr(frame, "go", steps.append)

    def page() -> None:
        from dashboard.data.presence import Present
        from dashboard.views import bar

        bar.render([""], Present())

    assert not AppTest.from_function(page, default_timeout=60).run().exception
    assert steps == ["/incident?id=7", "drawn"]


def test_a_part_that_asks_for_another_run_takes_no_click() -> None:
    """A region asks for another run of the page; a button below it is heard all the same."""

    def page() -> None:
        import streamlit as st

        from dashboard.views import frame

        with frame.whole_page():
            runs = st.session_state["runs"] = st.session_state.get("runs", 0) + 1
            if runs == 2:
                frame.rerun()
            if st.button("Acknowledge"):
                st.session_state["heard"] = runs

    app = AppTest.from_function(page, default_timeout=60).run()
    app.button[0].click().run()
    assert (app.session_state["heard"], app.session_state["runs"]) == (2, 3)
