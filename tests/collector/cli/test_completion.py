from __future__ import annotations

import os
import pty
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from subprocess import Popen
from time import monotonic, sleep
from typing import Any

import pytest

from collector.cli.completion import complete
from tests.pace import patience_s

SCHEMA = {"spans": ["trace_id", "span_name", "service_name"], "logs": ["time", "body", "service_name"]}


@pytest.mark.parametrize(
    ("before", "word", "expected"),
    [
        ("SELECT * FROM ", "s", ["spans"]),
        ("from spans join ", "", ["spans", "logs"]),
        ("\\d ", "lo", ["logs"]),
        ("FROM spans SELECT ", "t", ["trace_id", "tables"]),
        ("SELECT ", "bo", ["body"]),
        ("FROM spans SELECT ", "bo", []),
        ("FROM spans s SELECT ", "s.se", ["s.service_name"]),
        ("FROM logs AS l SELECT ", "l.", ["l.time", "l.body", "l.service_name"]),
        ("FROM logs SELECT ", "logs.b", ["logs.body"]),
        ("FROM logs SELECT ", "x.b", []),
        ("", "SEL", ["SELECT"]),
        ("", "sel", ["select"]),
    ],
)
def test_complete(before: str, word: str, expected: list[str]) -> None:
    """Tables follow FROM; columns are those of the tables named so far, or an alias's; keywords keep case."""
    assert complete(before, word, SCHEMA) == expected


class Terminal:
    """A shell on a pseudo-terminal, as a person has it."""

    def __init__(self, *arguments: str) -> None:
        self._main, side = pty.openpty()
        environment = {
            **os.environ,
            "TERM": "xterm",
            "LINES": "12",
            "COLUMNS": "60",
            "PAGER": "sed s/^/PAGED:/",
        }
        command = [sys.executable, "-m", "spyhop", "sql", *arguments]
        self.process = Popen(command, stdin=side, stdout=side, stderr=side, env=environment)
        os.close(side)
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self._main, text.encode())

    def wait_for(self, text: str, after: str = "", timeout_s: float = 20.0) -> None:
        """Until `text` is shown, behind the last place that shows `after`."""
        deadline_s = monotonic() + timeout_s
        while text not in self.shown.rpartition(after)[2] if after else text not in self.shown:
            assert monotonic() < deadline_s, f"{text!r} is not in {self.shown!r}"
            if wait([self._main], 0.1):
                self.shown += os.read(self._main, 4096).decode()

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        os.close(self._main)


def stop_a_query(terminal: Terminal) -> None:
    """Ctrl-C ends a query that would take ages, here and in the server, and not the shell."""
    rows = "range(10_000_000) a, range(10_000_000) b, landing_position"
    terminal.type(f"SELECT count(*) FROM {rows} WHERE hash(a.range, b.range) = 1;\n")
    wait_until(lambda: is_running("sql"))
    terminal.process.send_signal(signal.SIGINT)
    terminal.wait_for("stopped")
    wait_until(lambda: not is_running("sql"))


def is_running(thread_name: str) -> bool:
    return any(thread.name == thread_name for thread in threading.enumerate())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = monotonic() + patience_s(20)
    while not condition():
        assert monotonic() < deadline_s
        sleep(0.02)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_shell_on_a_terminal(running: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TAB completes a table of the server, and rows that do not fit on the screen go through the pager."""
    monkeypatch.setenv("HOME", str(tmp_path))
    terminal = Terminal("--api", running.addresses["api"])
    try:
        terminal.wait_for("spyhop> ")
        terminal.type("SELECT count(*) AS spans_now FROM service_e\t;\n")
        terminal.wait_for("FROM service_edges")
        terminal.wait_for("1 rows")
        terminal.type("FROM range(30);\n")
        terminal.wait_for("PAGED: ")
        terminal.wait_for("30 rows")
        terminal.type("SELECT 5 AS few;\n")
        terminal.wait_for("few")
        terminal.wait_for("1 rows, ", after="few")
        assert "PAGED: few" not in terminal.shown
        terminal.wait_for("spyhop> ", after="few")
        stop_a_query(terminal)
        terminal.type("\\q\n")
        assert terminal.process.wait(10) == 0
    finally:
        terminal.close()
    assert "service_edges" in (tmp_path / ".spyhop_history").read_text()
