"""Keeps kx-matcher in a process of its own: starts it, gives it commands, starts it again when it is dead.

A command counts as handled when the process says so. What it had when it died is given to the next one, whose
engine knows from the journal what was executed already.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from exchange_ref.broker.message import BrokerLost, Message
from exchange_ref.engine.matcher import MatcherGone
from exchange_ref.engine.process import MAX_LINE_BYTES, pack, unpack
from exchange_ref.errors import ExchangeError
from exchange_ref.telemetry.span_frames import from_frame

logger = logging.getLogger(__name__)

# Interpreter and imports take 0.4 s, and a journal of 100,000 commands 1 s.
START_TIMEOUT_S = 30.0
END_TIMEOUT_S = 5.0
KILL_WITHIN_S = 2.0


class _Dead(Exception):
    """The process has ended."""


class CommandFailed(Exception):
    """The process could not handle a message."""


class Supervisor:
    """
    Args:
        system: the broker's `messaging.system`.
        publish: sends the process's replies.
        take_span: gets each span that the process has finished.
    """

    def __init__(
        self,
        journal: Path,
        *,
        system: str,
        publish: Callable[[str, Message], Awaitable[None]],
        take_span: Callable[[ReadableSpan], None],
    ) -> None:
        self.journal = str(journal)
        self._system = system
        self._publish = publish
        self._take_span = take_span
        self._process: asyncio.subprocess.Process | None = None
        self._serving = asyncio.Event()
        self._handling = asyncio.Event()
        self._given_up = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def prepare(self) -> None:
        """Start a process and let it read the journal, of which others may still write the end.

        Raises:
            ExchangeError: it does not come up.
        """
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "exchange_ref.engine.process",
            self.journal,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MAX_LINE_BYTES,
            start_new_session=True,  # Ctrl-C is for the exchange, which ends it in order
        )
        await self._expect("ready")

    async def go(self) -> None:
        """Let it read the end of the journal, which from now on is its own, and serve."""
        with suppress(_Dead):  # waiting for its answer finds that out
            self._write({"go": self._system})
        await self._expect("serving")
        self._serving.set()

    async def handle(self, message: Message) -> None:
        """Give it one command and wait until it is handled, by the next process if this one dies.

        Raises:
            CommandFailed: it cannot be handled.
            MatcherGone: there is no process any more, and there will be none.
            BrokerLost: it was handled, and the reply could not be sent.
        """
        while True:
            await self._serving.wait()
            if self._given_up or self._process is None:
                raise MatcherGone
            process = self._process
            try:
                self._write({"message": pack(message)})
                self._handling.set()
                error = await self._until_done(process)
            except _Dead:
                if process is self._process and not self._given_up:
                    self._serving.clear()
                continue
            finally:
                self._handling.clear()
            if error is not None:
                raise CommandFailed(error)
            return

    async def kill(self) -> None:
        """End the process as the system's out-of-memory killer would, without a last word: while it handles a
        message, if one comes soon."""
        assert self._process is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(KILL_WITHIN_S):
                await self._handling.wait()
        self._serving.clear()
        self._process.kill()
        await self._process.wait()

    async def restart(self) -> None:
        """A new process in the place of the dead one; it reads all of the journal.

        Raises:
            ExchangeError: it does not come up; whoever waits for it gets an error.
        """
        try:
            await self.prepare()
            await self.go()
        except BaseException:
            self._given_up = True
            self._serving.set()
            raise

    async def end(self) -> None:
        """Let it finish in order, if it lives."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            logger.warning("the matcher's process did not end by itself and was killed")
            process.kill()
            await process.wait()

    def _write(self, frame: dict[str, object]) -> None:
        """
        Raises:
            _Dead: the process's input is closed.
        """
        process = self._process
        assert process is not None
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(frame).encode() + b"\n")
        except (OSError, RuntimeError):  # uvloop's pipe to a dead process refuses with a RuntimeError
            raise _Dead from None

    async def _read(self, process: asyncio.subprocess.Process) -> dict[str, Any]:
        """
        Raises:
            _Dead: nothing comes any more. A last line that was cut off is nothing.
        """
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line.endswith(b"\n"):
            raise _Dead
        frame: dict[str, Any] = json.loads(line)
        return frame

    async def _expect(self, word: str) -> None:
        process = self._process
        assert process is not None
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while word not in await self._read(process):
                    pass
        except (_Dead, TimeoutError):
            raise ExchangeError(f"the matcher's process did not get to {word!r}") from None

    async def _until_done(self, process: asyncio.subprocess.Process) -> str | None:
        lost: BrokerLost | None = None
        while True:
            frame = await self._read(process)
            if "span" in frame:
                self._take_span(from_frame(frame["span"]))
            elif "publish" in frame:
                try:
                    await self._publish(frame["publish"], unpack(frame["message"]))
                except BrokerLost as error:  # further lines about the message are still to be read
                    lost = error
            elif lost is not None:
                raise lost
            else:
                failure: str | None = frame["done"]
                return failure
