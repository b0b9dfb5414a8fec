"""The pages as Streamlit runs them, over a real server."""

from __future__ import annotations

import re

import pytest
import streamlit as st
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from dashboard import data
from dashboard.condition import condition
from dashboard.views import frame
from tests.dashboard.page import Opener, shown
from tests.dashboard.shop_api import build_api, serve
from tests.dashboard.shop_rows import BIG_TRACE, SLOW_TRACE, WHALE_TRACE, span_id
from tests.dashboard.shop_world import World


def test_now_says_what_is_broken_since_when_and_why(open_page: Opener, api_url: str, busy: object) -> None:
    """The first page says of the incident its state, whom it hits, the path, the likely start, the trend and
    what to do next; the whale stands in a strip of its own, and each service has its figures."""
    text = shown(open_page("now", api_url))
    assert "▲ SEV1 ONGOING SELECT wallets in kx-exchange: p50 152 ms against 0.9 ms since " in text
    assert re.search(r"last bad call \d+ s ago · not acknowledged", text)
    assert re.search(r"Users request takes 1\d\d ms \(p95\), usually 2\d(\.\d)? ms", text)
    assert (
        "Path kx-wallet order.submit.client → api-gateway kong → kx-exchange POST /api/v1/orders → kx-ex"
        in text
    )
    assert "Likely start SELECT wallets in kx-exchange, 99% of the excess" in text
    assert "Trend steady" in text or "Trend getting" in text
    assert "Whales BUY 402.5 BTC 497× usual, account user-&lt;b&gt;7, " in text
    assert text.count("Whale: BUY") == 0  # no incident's place
    assert "Do next: SELECT wallets in kx-exchange" in text
    assert re.search(r"kx-matcher ✓ as usual \d\.\d+/s \S+ / \S+ 1\d(\.\d)? ms 12", text)


def test_links_lead_to_the_queue_narrowed(open_page: Opener, api_url: str, busy: World) -> None:
    """Severities, services, incidents and whales each open a page at themselves, live switch kept."""
    app = open_page("now", api_url)
    body = " ".join(element.proto.body for element in app.get("html"))
    places = (
        "incident?id=inc-slow",
        "incident?anomaly=a-whale",
        "incident?severity=SEV1",
        "services?service=kx-matcher",
    )
    for place in places:
        assert f'href="{place}&amp;live=false"' in body
    assert f'href="incident?id=inc-slow&amp;span={span_id(6)}&amp;live=false"' in body


def test_without_telemetry_it_says_how_to_send_some(open_page: Opener, api_url: str) -> None:
    """An empty store shows the two lines that an SDK needs."""
    app = open_page("now", api_url)
    assert "No telemetry yet" in shown(app)
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318" in app.code[0].value


def test_without_a_server_it_says_how_to_start_one(open_page: Opener) -> None:
    """Nothing answers: one panel of each page says so and what to type, and nothing is raised."""
    for page in ("now", "incident", "logs", "trace"):
        text = shown(open_page(page, "http://127.0.0.1:9", id="5a" * 16))
        assert text.count("The Spyhop server does not answer") == 1
        assert "spyhop serve" in text
    assert "The services: waiting for the server." in shown(open_page("now", "http://127.0.0.1:9"))


def test_a_busy_server_is_not_called_a_stopped_one(open_page: Opener) -> None:
    """A server that answers that its places are taken runs: nobody is told to start one."""
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    def busy(path: str) -> JSONResponse:
        error = {"code": "unavailable", "message": f"all places for {path} are taken", "details": {}}
        return JSONResponse({"error": error}, 503)

    server, thread, url = serve(app)
    text = shown(open_page("now", url))
    server.should_exit = True
    thread.join(5)
    assert text.count("The Spyhop server is busy") == 1
    assert "are taken. It runs, and this page tries again by itself" in text
    assert "spyhop serve" not in text


def test_silence_is_not_called_healthy(open_page: Opener, api_url: str, busy: World) -> None:
    """When nothing arrives any more the page says so, whatever the last state was."""
    busy.status, busy.services, busy.incidents = "ok", [], []
    said = condition(data.health(api_url), [], [], [], frame.now())
    assert (
        "No span has arrived in the last minute"
        in condition(
            {"services": [], "status": "ok"}, [], data.service_red(api_url, frame.now_ns()), [], frame.now()
        ).text
    )
    assert said.tone != "good"


def test_the_usual_hour_is_read_once_a_minute(
    api_url: str, busy: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refreshes within a minute share what was usual before, and read the last minute anew; tabs that ask
    within two seconds share that too."""
    asked: list[str] = []
    query = busy.query
    monkeypatch.setattr(busy, "query", lambda text, params: (asked.append(text), query(text, params))[1])
    minute_ns = 60 * 10**9
    start_ns = frame.now_ns() // minute_ns * minute_ns
    for later_s in (4, 24, 44):
        for tab_ns in (0, 10**9):
            rows = data.service_red(api_url, start_ns + later_s * 10**9 + tab_ns)
            assert all(row["usual_minutes"] >= 5 for row in rows)
    assert sum("AS usual_minutes" in text for text in asked) == 1
    assert len(asked) == 4


def test_learning_is_not_called_healthy(open_page: Opener, api_url: str, busy: World) -> None:
    """While baselines fill, the sentence says that nothing is judged yet."""
    busy.status, busy.incidents = "learning", []
    said = condition(data.health(api_url), [], [], [], frame.now())
    assert "Learning what is usual" in said.text
    assert "No open incident" in shown(open_page("now", api_url))


def test_a_deep_link_opens_the_anomaly(open_page: Opener, api_url: str, busy: World) -> None:
    """`?anomaly=ID` shows observed, expected, σ, cell and samples, and the explanation."""
    text = shown(open_page("incident", api_url, anomaly="a-whale"))
    assert "Whale: BUY 402.5 BTC ● open" in text
    assert "Observed 402.5 BTC Expected 0.81 BTC Times expected 497× Deviation 6.3σ" in text
    assert "Samples 812" in text
    assert "One order of 402.5 BTC was submitted" in text


def test_without_a_choice_the_most_urgent_is_open_and_pinned(
    open_page: Opener, api_url: str, busy: object
) -> None:
    """The worst incident is open at once, and named in the address so that a refresh keeps it."""
    app = open_page("incident", api_url)
    assert app.query_params["id"] == "inc-slow"
    assert "Likely start: SELECT wallets in kx-exchange" in shown(app)


def test_an_unknown_id_is_said_to_be_unknown(open_page: Opener, api_url: str, busy: World) -> None:
    """A link to something that retention removed explains itself."""
    text = shown(open_page("incident", api_url, anomaly="gone"))
    assert "This anomaly: not stored no anomaly gone" in text


def test_state_changes_and_is_undone(open_page: Opener, api_url: str, busy: World) -> None:
    """Acknowledging an incident says so and offers to undo it, which opens it again."""
    app = open_page("incident", api_url, id="inc-slow")
    app.button(key="acknowledged-incident:inc-slow").click().run()
    (slow,) = [row for row in busy.incidents if row["incident_id"] == "inc-slow"]
    assert slow["state"] == "acknowledged"
    assert "Now acknowledged, was open" in shown(app)
    assert re.search(r"acknowledged by anna at \d\d:\d\d:\d\d UTC \(\d+ s ago\)", shown(app))
    assert re.search(r"· acknowledged by anna at \S+ UTC", shown(open_page("now", api_url)))
    app.button(key="undo-incident:inc-slow").click().run()
    assert slow["state"] == "open"


def test_thumbs_up_is_saved_at_once(open_page: Opener, api_url: str, busy: World) -> None:
    """One click stores the rating under the reader's name, and the page says so after a reload."""
    app = open_page("incident", api_url, anomaly="a-whale")
    app.button(key="up-editing-anomaly:a-whale").click().run()
    assert "✓ Saved. You said this explanation is right" in shown(app)
    assert "✓ Saved. You said this explanation is right" in shown(
        open_page("incident", api_url, anomaly="a-whale")
    )


def test_a_correction_is_saved_shown_and_edited(open_page: Opener, api_url: str, busy: World) -> None:
    """Wrong, with what really happened: stored, shown after a reload, and edited without losing the rest."""
    app = open_page("incident", api_url, anomaly="a-whale")
    app.button(key="down-editing-anomaly:a-whale").click().run()
    app.text_area[0].set_value("A treasury transfer")
    next(box for box in app.selectbox if box.label == "Root service").set_value("kx-wallet")
    app.text_area[1].set_value(" Ask treasury \n\n Raise the limit")
    next(button for button in app.button if button.label == "Save").click().run()
    assert not app.exception
    again = open_page("incident", api_url, anomaly="a-whale")
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
    app = open_page("incident", api_url, id="inc-slow")
    assert "becomes what is usual for them" in shown(app)
    app.button(key="expected-inc-slow").click().run()
    assert not app.exception
    assert "SELECT wallets: 0.9 ms to 152 ms, says anna" in app.success[0].value
    assert [row["state"] for row in busy.incidents if row["incident_id"] == "inc-slow"] == ["resolved"]
    assert "expected-inc-slow" not in {button.key for button in app.button}


def test_a_refused_word_is_told(open_page: Opener, api_url: str, busy: World) -> None:
    """When the server does not know the incident any more, the page says that nothing was adopted."""
    app = open_page("incident", api_url, id="inc-slow")
    busy.incidents.clear()
    app.button(key="expected-inc-slow").click().run()
    assert "Nothing was adopted" in " ".join(error.value for error in app.error) + shown(app)


def test_single_anomalies_of_one_operation_are_one_row_with_actions_on_all(
    open_page: Opener, api_url: str, busy: World
) -> None:
    """573 anomalies of an operation take one row of the queue, and one click acknowledges them all."""
    for number in range(572):
        busy.anomalies.append(
            next(row for row in busy.anomalies if row["anomaly_id"] == "a-hiccup")
            | {"anomaly_id": f"h{number}", "sigma": 3.2}
        )
    app = open_page("incident", api_url, anomaly="a-hiccup")
    kept = app.session_state["queue_groups"]["a-hiccup"]
    assert kept["anomaly_count"] == 573
    assert data.set_group_state(api_url, kept["group_id"], "acknowledged") == 573
    assert {row["state"] for row in busy.anomalies if row["operation"] == "journal.append"} == {
        "acknowledged"
    }


def test_filters_that_hide_everything_show_no_old_detail(
    open_page: Opener, api_url: str, busy: World
) -> None:
    """Where the queue is empty, the detail of what was chosen before does not stay beside it."""
    app = open_page("incident", api_url, id="inc-slow")
    assert "SELECT wallets in kx-exchange" in shown(app)
    app.text_input(key="find").set_value("nothing is called so").run()
    assert not app.exception
    text = shown(app)
    assert "Nothing matches the filters" in text
    assert "Verdict" not in text


def test_a_trace_opens_by_its_id_alone(open_page: Opener, api_url: str, busy: World) -> None:
    """A trace without an anomaly opens too: head, what is over the baseline, log lines; nonsense is said."""
    app = open_page("trace", api_url, id=SLOW_TRACE.upper())
    text = shown(app)
    assert "kx-wallet: order.submit.client" in text
    assert "17 spans in 4 services · 0 errors" in text
    assert "SELECT wallets kx-exchange on the critical path 152 ms 900 µs +151 ms" in text
    assert "a trace id has 32 hexadecimal digits" in shown(open_page("trace", api_url, id="xyz")).lower()
    assert "not stored" in shown(open_page("trace", api_url, id="0" * 32))
    assert "10,000 spans" in shown(open_page("trace", api_url, id=BIG_TRACE))


def test_a_trace_is_compared_with_another(open_page: Opener, api_url: str, busy: World) -> None:
    """With the trace in the address, or with a usual one of the same operation; nonsense is said."""
    text = shown(open_page("trace", api_url, id=SLOW_TRACE, **{"with": WHALE_TRACE}))
    assert "This trace: 176 ms , 17 spans · the other: 24.9 ms , 17 spans" in text
    assert re.search(r"SELECT wallets kx-exchange 1 / 1 152 ms 900 µs \+151 ms", text)
    assert "is not a trace id" in shown(open_page("trace", api_url, id=SLOW_TRACE, **{"with": "xyz"}))
    assert "not stored" in shown(open_page("trace", api_url, id=SLOW_TRACE, **{"with": "0" * 32}))


def test_logs_are_templates_and_lines_with_the_way_to_the_trace(
    open_page: Opener, api_url: str, busy: World
) -> None:
    """Numbers are masked, errors come first, a template narrows to its lines, and each leads to its trace."""
    text = shown(open_page("logs", api_url))
    assert re.search(r"ERROR 4 no funds &lt;img src=x onerror=alert\(\*\)", text)
    assert "INFO 36 order * filled" in text
    app = open_page("logs", api_url, template="order * filled", log_view="lines")
    assert "Lines of the template order * filled" in shown(app)
    body = " ".join(element.proto.body for element in app.get("html"))
    assert "no funds" not in body
    assert f'href="trace?id={SLOW_TRACE}&amp;span={span_id(6)}&amp;live=false"' in body


def test_a_part_that_failed_keeps_what_it_knew_says_so_and_recovers(open_page: Opener, world: World) -> None:
    """While the server is away the page shows its last data as such; once it is back, the notice goes."""
    world.fill()
    server, thread, url = serve(build_api(world))
    app = open_page("now", url)
    assert "not up to date" not in shown(app)
    server.should_exit = True
    thread.join(5)
    st.cache_data.clear()
    app.run()
    text = shown(app)
    assert not app.exception
    assert "The incidents: not up to date." in text
    assert "SELECT wallets in kx-exchange" in text
    server, thread, _ = serve(build_api(world), int(url.rsplit(":", 1)[1]))
    st.cache_data.clear()
    app.run()
    assert "not up to date" not in shown(app)
    server.should_exit = True
    thread.join(5)
