"""Processes in which queries are checked, and run where they name no table of ours."""

from __future__ import annotations

import json
import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any

import pyarrow as pa

from collector.errors import InvalidInput, RefusedQuery, SpyhopError, Timeout, TooLarge, Unavailable

START_TIMEOUT_S = 60.0  # 20 s are taken where thirty processes want each core
_KILL_GRACE_S = 1.0
WALL_FACTOR = 3  # how much longer a check may take than the CPU that it may use
# One stays: a process takes half a second to start, and 100 MB.
KEPT = 1
START_S = 0.5  # what is taken for the time of a start before there was one
_ERRORS: dict[str, type[SpyhopError]] = {
    kind.code: kind for kind in (InvalidInput, RefusedQuery, Timeout, TooLarge)
}

log = logging.getLogger(__name__)

# How often a waiting thread asks whether its client is still there.
GONE_LOOK_S = 0.25

IsGone = Callable[[], bool] | None
Reply = tuple[dict[str, Any], pa.Table | None]


class Sandbox:
    """Thread-safe. Simultaneous calls share the process that is kept, and have one of their own where they
    would wait for longer than it takes to start.

    A check takes some 20 ms. On a busy machine a start takes 20 s, and the starts would keep it busy.

    Args:
        make: starts a process.
    """

    def __init__(self, make: Callable[[], _Child] | None = None) -> None:
        self._make = make or _Child
        self._idle: list[_Child] = []
        self._lent = 0
        self._start_s = START_S
        self._changed = threading.Condition()
        self._closed = False

    def warm_up(self) -> None:
        """Have a process ready before the next query."""
        with self._changed:
            if self._closed or len(self._idle) >= KEPT:
                return
        self._keep(self._make())

    def ask(self, request: Mapping[str, Any], timeout_s: float, is_gone: IsGone = None) -> Reply:
        """The child's answer about a query, and its rows if the child could run it.

        Args:
            request: `query`, `params`, `limit_rows`, `limit_bytes`, `as_text`, `check_s`.
            timeout_s: how long the query may run, if it is run there.
            is_gone: whether nobody waits for the answer any more.

        Raises:
            RefusedQuery: the query is not allowed, or ended the process that checked it.
            InvalidInput: it does not parse or bind, or fails.
            Timeout: it ran, or was parsed and bound, for too long.
            TooLarge: it takes too much memory.
            Unavailable: the client has gone.
        """
        child = self._take(is_gone)
        try:
            answer, table = child.ask(request, timeout_s, is_gone)
        except _Crashed as crash:
            if not crash.was_ready:
                self._start_s = crash.elapsed_s
            self._drop(child)
            self._replace_soon()
            raise _error_of(crash) from crash
        except BaseException:
            self._drop(child)
            raise
        if answer.get("ends"):
            self._drop(child)
            self._replace_soon()
        else:
            self._give_back(child)
        if "error" in answer:
            raise _ERRORS[answer["error"]](answer["message"], hint=answer["hint"])
        return answer, table

    def close(self) -> None:
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            self._changed.notify_all()
        for child in idle:
            child.close()

    def _take(self, is_gone: IsGone) -> _Child:
        """An idle process: at once, or within the time in which another would start; else that other."""
        began_s = monotonic()
        with self._changed:
            while not self._closed:
                if self._idle:
                    self._lent += 1
                    return self._idle.pop()
                left_s = began_s + self._start_s - monotonic()
                if not self._lent or left_s <= 0:
                    self._lent += 1
                    break
                self._changed.wait(min(left_s, GONE_LOOK_S))
                if is_gone is not None and is_gone():
                    raise gone()
            else:
                raise Unavailable("queries are not taken any more", hint="the server is shutting down")
        try:
            return self._make()
        except BaseException:
            self._returned()
            raise

    def _drop(self, child: _Child) -> None:
        child.close()
        self._returned()

    def _returned(self) -> None:
        with self._changed:
            self._lent -= 1
            self._changed.notify()

    def _replace_soon(self) -> None:
        threading.Thread(target=self._replace, name="sql-replace", daemon=True).start()

    def _replace(self) -> None:
        with suppress(OSError):  # the next query will say it
            self.warm_up()

    def _give_back(self, child: _Child) -> None:
        """Of a process that was lent."""
        self._keep(child)
        self._returned()

    def _keep(self, child: _Child) -> None:
        with self._changed:
            self._start_s = child.start_s or self._start_s
            if not self._closed and len(self._idle) < KEPT:
                self._idle.append(child)
                self._changed.notify()
                return
        child.close()


class _Crashed(Exception):
    """The process ended, or did not answer."""

    def __init__(
        self, exit_code: int | None, elapsed_s: float, was_ready: bool, is_gone: bool = False
    ) -> None:
        super().__init__(exit_code, elapsed_s, was_ready, is_gone)
        self.exit_code, self.elapsed_s, self.was_ready = exit_code, elapsed_s, was_ready
        self.is_gone = is_gone


def gone() -> Unavailable:
    return Unavailable("the client has gone, so its query was stopped", hint="send it again")


def _error_of(crash: _Crashed) -> SpyhopError:
    if crash.is_gone:
        return gone()
    if not crash.was_ready:
        return Unavailable(
            f"the process that checks queries does not start (exit code {crash.exit_code})",
            hint="see the server's standard error, and report it",
        )
    if crash.exit_code is None or -crash.exit_code in (signal.SIGALRM, signal.SIGPROF):
        return Timeout(
            f"the query could not be stopped after {crash.elapsed_s:.1f} s; its process was ended",
            hint="nest less, and ask for shorter values",
        )
    log.warning("a query ended the process that checked it (exit code %d); it was refused", crash.exit_code)
    return RefusedQuery(
        f"the query ends the process that checks it (exit code {crash.exit_code}), so it was not run",
        hint="write it in another way",
    )


class _Child:
    """One process and our end of the connection to it. For one thread at a time."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # -P: a folder named `collector` where the server was started is not ours.
            command = [sys.executable, "-P", "-m", "collector.sql.child", str(theirs.fileno())]
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )
        self._connection = Connection(ours.detach())
        self._is_ready = False
        self._made_s = monotonic()
        self.start_s = 0.0  # how long the start took; 0 until that is known

    def ask(self, request: Mapping[str, Any], timeout_s: float, is_gone: IsGone) -> Reply:
        """Raises _Crashed."""
        started_s = monotonic()
        try:
            if not self._is_ready:
                ready = json.loads(self._receive(START_TIMEOUT_S, started_s))
                self._is_ready = True
                self.start_s = ready["ready_s"] - self._made_s  # one clock for all processes
                started_s = monotonic()
            self._connection.send_bytes(json.dumps({**request, "timeout_s": timeout_s}).encode())
            patience_s = request["check_s"] * WALL_FACTOR + timeout_s + 2 * _KILL_GRACE_S
            answer = json.loads(self._receive(patience_s, started_s, is_gone))
            if not answer.get("has_rows"):
                return answer, None
            with pa.ipc.open_stream(self._receive(patience_s, started_s, is_gone)) as reader:
                return answer, reader.read_all()
        except (EOFError, OSError) as error:
            raise _Crashed(self._exit_code(), monotonic() - started_s, self._is_ready) from error

    def close(self) -> None:
        """End it at once: it holds nothing. A regular exit would take 0.2 s while it still imports."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _receive(self, patience_s: float, started_s: float, is_gone: IsGone = None) -> bytes:
        deadline_s = started_s + patience_s
        while not self._connection.poll(max(0.0, min(GONE_LOOK_S, deadline_s - monotonic()))):
            has_gone = is_gone is not None and is_gone()
            if has_gone or monotonic() >= deadline_s:
                self._process.kill()
                self._process.wait()
                raise _Crashed(None, monotonic() - started_s, self._is_ready, has_gone)
        return self._connection.recv_bytes()

    def _exit_code(self) -> int | None:
        try:
            return self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return None
