"""What telemetry says steers no terminal: every command shows it escaped, and pipes get it exactly."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from collector.cli.shell import open_source, print_rows
from collector.visible import visible
from llm.show import show
from spyhop import app

EVIL = "GET /\x1b[2J\x9b31m\u202edne\x07"
SHOWN = r"GET /\x1b[2J\x9b31m\u202edne\x07"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_visible() -> None:
    """Escapes, C1 and bidi controls are shown as their codes; other text stays, and so does what is asked."""
    assert visible(EVIL) == SHOWN
    assert visible("Zürich 東京 👩‍💻 \\x1b") == "Zürich 東京 👩‍💻 \\x1b"
    assert visible("a\nb\tc\r", keep="\n") == "a\nb\\tc\\r"


@given(st.text())
def test_nothing_steers(text: str) -> None:
    """Whatever the text, what is left of it is printable or a space, and can be encoded."""
    shown = visible(text)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202a\u202e\u2066\u2069" for c in shown)
    shown.encode()


@pytest.fixture(scope="module")
def evil(shared: Any, make_request: Any) -> Any:
    request = make_request(1, name=EVIL, service="evil")
    shared.http.post(
        "/v1/traces",
        content=request.SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
    )
    shared.landed()
    return shared


@pytest.mark.parametrize("output", ["table", "csv", "json"])
@pytest.mark.parametrize("out", [Terminal, io.StringIO])
def test_sql(evil: Any, output: str, out: type[io.StringIO]) -> None:
    """Tables are escaped always, CSV and JSON on a terminal; in a pipe these two are exact."""
    written = out()
    query = "SELECT DISTINCT span_name FROM spans WHERE service_name = 'evil'"
    with open_source(evil.addresses["api"], None) as source:
        print_rows(source, query, output, None, written)
    text = written.getvalue()
    if output == "table" or out is Terminal:
        assert "\x1b[2J" not in text
        assert "\x9b" not in text
        assert "\u202e" not in text
    elif output == "csv":
        assert EVIL in text
    else:
        assert json.loads(text) == [{"span_name": EVIL}]


def test_replay(shared: Any, tmp_path: Path) -> None:
    """The messages of replay on a hostile file show its escapes."""
    document = {"data": [{"traceID": EVIL, "spans": [{"spanID": 1}]}]}
    (tmp_path / "f.json").write_text(json.dumps(document))
    result = CliRunner().invoke(app, ["replay", str(tmp_path), "--to", shared.addresses["otlp_http"]])
    assert result.exit_code == 1
    assert SHOWN in result.stderr
    assert "\x1b" not in result.stderr


def test_explain() -> None:
    """An explanation shows them too."""
    written = io.StringIO()
    explanation = {
        "explanation_id": "e1",
        "summary": f"{EVIL} is slow",
        "root_causes": [],
        "evidence": [],
        "recommendations": [f"look at {EVIL}"],
        "trace_id": "",
        "source": "code",
        "model": None,
        "created_at": "now",
        "notice": EVIL,
    }
    show(explanation, Console(file=written, width=200))
    assert written.getvalue().count(SHOWN) == 3
    assert "\x1b[2J" not in written.getvalue()
