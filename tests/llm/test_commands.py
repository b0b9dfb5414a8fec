from __future__ import annotations

import json
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from collector.errors import NotFound, Unavailable
from llm.commands import register


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    register(made)
    made.callback()(lambda: None)  # keeps the command's name although it is the only one
    return made


def test_text(slow_shop: Any, api_url: str, app: typer.Typer) -> None:
    """The terminal shows the summary, the cause with its evidence, and what to do next."""
    result = CliRunner().invoke(app, ["explain", "an-slow", "--api", api_url])
    assert result.exit_code == 0, result.output
    assert "SELECT carts in checkout" in result.output
    assert "E2" in result.output
    assert "What to do next" in result.output
    assert "WHERE trace_id = '" in result.output


@pytest.mark.parametrize("subject", ["an-slow", "in-slow", "5" * 32])
def test_json_of_any_kind(slow_shop: Any, api_url: str, app: typer.Typer, subject: str) -> None:
    """An anomaly, an incident and a trace are found by their ids alone."""
    result = CliRunner().invoke(app, ["explain", subject, "--json", "--api", api_url])
    assert json.loads(result.output)["subject_id"] == subject


def test_unknown(api_url: str, app: typer.Typer) -> None:
    """An unknown id is NotFound, for the command line to report."""
    result = CliRunner().invoke(app, ["explain", "f" * 32, "--api", api_url])
    assert isinstance(result.exception, NotFound)


def test_no_server(app: typer.Typer) -> None:
    """Without a server the error says how to start one."""
    result = CliRunner().invoke(app, ["explain", "x", "--api", "http://127.0.0.1:9"])
    assert isinstance(result.exception, Unavailable)
    assert "spyhop serve" in str(result.exception)


def test_markup_in_names_is_text(shop: Any, api_url: str, app: typer.Typer) -> None:
    """A span name cannot colour the terminal or vanish as markup."""
    shop.span("5" * 32, "bank", "[red]pay[/red]\x1b[31m", ms=3, status="ERROR")
    result = CliRunner().invoke(app, ["explain", "5" * 32, "--api", api_url])
    assert "[red]pay[/red]" in result.output
    assert "\x1b" not in result.output
