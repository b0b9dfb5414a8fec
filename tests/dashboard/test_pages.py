"""The pages as Streamlit runs them, over a real server."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.views import frame
from tests.dashboard.shop_world import World

Opener = Callable[..., AppTest]


def _overview() -> None:
    from dashboard.views import overview

    overview.render()


def _anomalies() -> None:
    from dashboard.views import anomalies

    anomalies.render()


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Runs a page against an address, with query parameters, and asserts that nothing was raised."""

    def opened(page: Callable[[], None], url: str, **query: str) -> AppTest:
        monkeypatch.setenv("SPYHOP_DASHBOARD_API_URL", url)
        monkeypatch.setenv("SPYHOP_DASHBOARD_RATER", "anna")
        frame.settings.cache_clear()
        st.cache_data.clear()
        app = AppTest.from_function(page, default_timeout=20)
        app.session_state["live"] = False
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception
        return app

    yield opened
    frame.settings.cache_clear()


def shown(app: AppTest) -> str:
    """All text of the page, without tags."""
    bodies = [element.proto.body for element in app.get("html")]
    bodies += [
        element.value for kind in ("markdown", "caption", "subheader", "error") for element in app.get(kind)
    ]
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", " ".join(bodies), flags=re.DOTALL).split())


def test_overview_says_what_is_broken_since_when_and_why(
    open_page: Opener, api_url: str, busy: object
) -> None:
    """The first page names the incident, its likely cause, the whale and each service's figures."""
    text = shown(open_page(_overview, api_url))
    assert "SELECT wallets in kx-exchange: p50 152 ms against 0.9 ms" in text
    assert "Likely cause: kx-exchange · SELECT wallets (99% of the excess)" in text
    assert "since " in text
    assert "WHALE BUY 402.5 BTC , 497× the usual 0.81 BTC (6.3σ)" in text
    assert "kx-matcher ✓ ok 292/s 0% 2.7 ms 12.3 ms 152 ms" in text


def test_links_lead_to_the_queue_narrowed(open_page: Opener, api_url: str, busy: World) -> None:
    """Severities, services, incidents and whales each open the queue at themselves, live switch kept."""
    app = open_page(_overview, api_url)
    body = " ".join(element.proto.body for element in app.get("html"))
    for query in ("incident=inc-slow", "anomaly=a-whale", "severity=1", "service=kx-matcher"):
        assert f'href="anomalies?{query}&amp;live=false"' in body


def test_without_telemetry_it_says_how_to_send_some(open_page: Opener, api_url: str) -> None:
    """An empty store shows the two lines that an SDK needs."""
    app = open_page(_overview, api_url)
    assert "No telemetry yet" in shown(app)
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318" in app.code[0].value


def test_without_a_server_it_says_how_to_start_one(open_page: Opener) -> None:
    """Nothing answers: one panel says so and what to type, on both pages, and nothing is raised."""
    for page in (_overview, _anomalies):
        text = shown(open_page(page, "http://127.0.0.1:9"))
        assert "The Spyhop server does not answer" in text
        assert "spyhop serve" in text


def test_silence_is_not_called_healthy(open_page: Opener, api_url: str, busy: World) -> None:
    """When nothing arrives any more the page says so, whatever the last state was."""
    busy.status, busy.services = "ok", []
    text = shown(open_page(_overview, api_url))
    assert "▲ Silent No span has arrived in the last minute" in text
    assert "All services are within" not in text


def test_learning_is_not_called_healthy(open_page: Opener, api_url: str, busy: World) -> None:
    """While baselines fill, the headline says that nothing is judged yet."""
    busy.status, busy.incidents = "learning", []
    text = shown(open_page(_overview, api_url))
    assert "Learning what is usual" in text
    assert "No open incident" in text


def test_a_deep_link_opens_the_anomaly(open_page: Opener, api_url: str, busy: World) -> None:
    """`?anomaly=ID` shows observed, expected, σ, cell and samples, and the explanation."""
    text = shown(open_page(_anomalies, api_url, anomaly="a-whale"))
    assert "Whale: BUY 402.5 BTC ● open" in text
    assert "Observed 402.5 BTC Expected 0.81 BTC Times expected 497× Deviation 6.3σ" in text
    assert "Samples 812" in text
    assert "One order of 402.5 BTC was submitted" in text


def test_without_a_choice_the_most_urgent_is_open_and_pinned(
    open_page: Opener, api_url: str, busy: object
) -> None:
    """The worst incident is open at once, and named in the address so that a refresh keeps it."""
    app = open_page(_anomalies, api_url)
    assert app.query_params["incident"] == "inc-slow"
    assert "Likely cause kx-exchange · SELECT wallets" in shown(app)


def test_an_unknown_id_is_said_to_be_unknown(open_page: Opener, api_url: str, busy: World) -> None:
    """A link to something that retention removed explains itself."""
    text = shown(open_page(_anomalies, api_url, anomaly="gone"))
    assert "This anomaly: not stored no anomaly gone" in text


def test_state_changes_and_is_undone(open_page: Opener, api_url: str, busy: World) -> None:
    """Acknowledging an incident says so and offers to undo it, which opens it again."""
    app = open_page(_anomalies, api_url, incident="inc-slow")
    app.button(key="acknowledged-incident:inc-slow").click().run()
    (slow,) = [row for row in busy.incidents if row["incident_id"] == "inc-slow"]
    assert slow["state"] == "acknowledged"
    assert "Now acknowledged, was open" in shown(app)
    app.button(key="undo-incident:inc-slow").click().run()
    assert slow["state"] == "open"


def test_thumbs_up_is_saved_at_once(open_page: Opener, api_url: str, busy: World) -> None:
    """One click stores the rating under the reader's name, and the page says so after a reload."""
    app = open_page(_anomalies, api_url, anomaly="a-whale")
    app.button(key="up-editing-anomaly:a-whale").click().run()
    assert "✓ Saved. You said this explanation is right" in shown(app)
    assert "✓ Saved. You said this explanation is right" in shown(
        open_page(_anomalies, api_url, anomaly="a-whale")
    )


def test_a_correction_is_saved_shown_and_edited(open_page: Opener, api_url: str, busy: World) -> None:
    """Wrong, with what really happened: stored, shown after a reload, and edited without losing the rest."""
    app = open_page(_anomalies, api_url, anomaly="a-whale")
    app.button(key="down-editing-anomaly:a-whale").click().run()
    app.text_area[0].set_value("A treasury transfer")
    app.selectbox[-2].set_value("kx-wallet")
    app.text_area[1].set_value(" Ask treasury \n\n Raise the limit")
    next(button for button in app.button if button.label == "Save").click().run()
    assert not app.exception
    again = open_page(_anomalies, api_url, anomaly="a-whale")
    text = shown(again)
    assert "You said this explanation is wrong" in text
    assert (
        "What really happened: A treasury transfer Root cause: kx-wallet Do next: Ask treasury; Raise" in text
    )
    again.button(key="edit-anomaly:a-whale").click().run()
    again.text_area[0].set_value("A treasury transfer, approved")
    next(button for button in again.button if button.label == "Save").click().run()
    (row,) = busy.query(
        "SELECT rating, correction::VARCHAR AS correction, rater FROM feedback", None
    ).to_pylist()
    assert row["correction"] == (
        '{"summary": "A treasury transfer, approved", "root_service": "kx-wallet", '
        '"recommendations": ["Ask treasury", "Raise the limit"]}'
    )
    assert (row["rating"], row["rater"]) == ("down", "anna")


def test_an_incident_may_be_called_normal(open_page: Opener, api_url: str, busy: World) -> None:
    """The button says what it does; pressed, it tells which baselines moved, and the incident is resolved."""
    app = open_page(_anomalies, api_url, incident="inc-slow")
    assert "becomes what is usual for them" in shown(app)
    app.button(key="expected-inc-slow").click().run()
    assert not app.exception
    assert "SELECT wallets: 0.9 ms to 152 ms, says anna" in app.success[0].value
    assert [row["state"] for row in busy.incidents if row["incident_id"] == "inc-slow"] == ["resolved"]
    assert "expected-inc-slow" not in {button.key for button in app.button}


def test_a_refused_word_is_told(open_page: Opener, api_url: str, busy: World) -> None:
    """When the server does not know the incident any more, the page says that nothing was adopted."""
    app = open_page(_anomalies, api_url, incident="inc-slow")
    busy.incidents.clear()
    app.button(key="expected-inc-slow").click().run()
    assert "Nothing was adopted" in " ".join(error.value for error in app.error) + shown(app)
