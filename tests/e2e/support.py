"""Real processes, started as a user starts them, and ended by their own ids."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from tests.pace import patience_s

SPYHOP = [sys.executable, "-P", "-m", "spyhop"]


def processes_naming(text: str) -> list[int]:
    """Ids of the processes, other than this one, whose command line holds `text`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command_line = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if text in command_line:
            found.append(int(entry.name))
    return found


def wait_for(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether `condition` became true in time."""
    deadline = time.monotonic() + patience_s(timeout_s)
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


@dataclass
class Running:
    """A `spyhop` command that runs until the test ends."""

    process: subprocess.Popen[str]
    output: Path
    started: float = field(default_factory=time.monotonic)

    def text(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def says(self, text: str, timeout_s: float) -> bool:
        return (
            wait_for(lambda: text in self.text() or self.process.poll() is not None, timeout_s)
            and text in self.text()
        )

    def interrupt(self, timeout_s: float) -> float:
        """Send what Ctrl-C sends; the seconds until the process ended."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(patience_s(timeout_s))
        return time.monotonic() - began


def spyhop(
    *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run `spyhop ARGUMENTS` to its end."""
    return subprocess.run(
        [*SPYHOP, *arguments],
        capture_output=True,
        text=True,
        timeout=patience_s(timeout_s),
        check=False,
        env={**os.environ, **(env or {})},
    )


@dataclass(frozen=True)
class DemoRun:
    """The output and folder of one whole demo."""

    exit_code: int
    report: dict[str, Any]
    messages: str
    folder: Path

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.folder / "spyhop.duckdb"), read_only=True) as connection:
            return connection.execute(query).fetchall()

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text(encoding="utf-8").splitlines()]
