"""`spyhop search` against a server, as a person would use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from typer.testing import CliRunner

import spyhop

TIMES = ["--start", "2026-09-21", "--end", "2026-09-22"]


def test_command(shop: Any) -> None:
    """Each trace is a line; --json prints the API's answer; nothing found is said on standard error."""
    run: Callable[..., Any] = lambda *words: CliRunner().invoke(  # noqa: E731
        spyhop.app, ["search", *words, "--api", shop.addresses["api"]]
    )
    shown = run("{ status = error }", *TIMES)
    assert shown.exit_code == 0, shown.output
    assert "00000000000000000000000000000001" in shown.stdout
    assert "shop: checkout" in shown.stdout
    assert "100 ms" in shown.stdout
    assert json.loads(run("{ status = error }", *TIMES, "--json").stdout)["count"] == 1
    assert "there may be more traces" in run("{}", *TIMES, "--limit", "1").stderr
    assert "matches" in run("{ name = `none` }", *TIMES).stderr
    wrong = run("{ name = }")
    assert wrong.exit_code == 2
    assert "line 1, column 10" in wrong.stderr
