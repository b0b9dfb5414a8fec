"""Child processes: started together, watched, stopped in order, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from collector.errors import StartupError

POLL_INTERVAL_S = 0.1
# A child writes its reason for not starting in its last lines.
LOG_TAIL_LINES = 5


@dataclass
class Part:
    """One child process of the demo.

    name: shown to the user, and the stem of its log file.
    name: shown to the user and the stem of its log file.
    arguments: the `spyhop` subcommand with its options.
    address: what the user opens or sends to.
    ready_url: answers 200 once the part works.
    environment: variables that it has besides the demo's own.
    """

    name: str
    arguments: Sequence[str]
    address: str
    ready_url: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    log: Path | None = None

    def start(self, log_folder: Path) -> None:
        """Start it in a session of its own: Ctrl-C reaches the demo only, which stops its parts in order.

        The child's standard input is a pipe that nobody writes to. Should the demo be killed, the pipe
        closes, and `--stop-with-parent` ends the child.
        """
        self.log = log_folder / f"{self.name}.log"
        command = [sys.executable, "-P", "-m", "spyhop", "--stop-with-parent", *self.arguments]
        with self.log.open("wb") as sink:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=_environment({**os.environ, **self.environment}),
            )

    def exit_code(self) -> int | None:
        return None if self.process is None else self.process.poll()

    def last_words(self) -> str:
        if self.log is None or not self.log.exists():
            return ""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return " | ".join(line.strip() for line in lines[-LOG_TAIL_LINES:])

    def stop(self, timeout_s: float) -> None:
        """SIGTERM, then SIGKILL when the time is over."""
        process = self.process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment(parent: Mapping[str, str]) -> dict[str, str]:
    # Logs are read while the parts run, so nothing may stay in a buffer.
    return {**parent, "PYTHONUNBUFFERED": "1"}


def wait_until_ready(
    parts: Sequence[Part],
    timeout_s: float,
    on_ready: Callable[[Part, float], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Wait until every part answers 200, calling `on_ready(part, seconds)` for each.

    Raises:
        StartupError: a part ended, or was not ready in time; its last log lines are in the message.
    """
    started = clock()
    waiting = list(parts)
    with httpx2.Client(timeout=1.0, trust_env=False) as http:
        while waiting:
            for part in list(waiting):
                if part.exit_code() is not None:
                    raise StartupError(
                        f"{part.name} ended at its start", hint=f"{part.last_words()} (log: {part.log})"
                    )
                if _answers(http, part.ready_url):
                    waiting.remove(part)
                    on_ready(part, clock() - started)
            if not waiting:
                return
            if clock() - started > timeout_s:
                names = ", ".join(part.name for part in waiting)
                raise StartupError(
                    f"{names} not ready after {timeout_s:.0f} s", hint=f"see the log {waiting[0].log}"
                )
            time.sleep(POLL_INTERVAL_S)


def _answers(http: httpx2.Client, url: str) -> bool:
    try:
        return http.get(url).status_code == httpx2.codes.OK
    except httpx2.TransportError:
        return False
