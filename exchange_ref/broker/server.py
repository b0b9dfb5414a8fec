"""A broker's server that a command of its owner stops and starts, such as `service rabbitmq-server`."""

from __future__ import annotations

import asyncio
import shlex

from exchange_ref.errors import ExchangeError, InvalidUse

COMMAND_TIMEOUT_S = 60.0


class CommandServer:
    """
    Args:
        command: called with `stop` and with `start` behind it, without a shell.

    Raises:
        InvalidUse: no command, or one whose quotes do not match.
    """

    def __init__(self, command: str) -> None:
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise InvalidUse(f"the broker command {command!r} cannot be read: {error}") from None
        if not self._words:
            raise InvalidUse("the broker command is empty; write one such as: service rabbitmq-server")

    async def stop(self) -> None:
        await self._call("stop")

    async def start(self) -> None:
        await self._call("start")

    async def _call(self, word: str) -> None:
        """
        Raises:
            ExchangeError: it cannot be run, failed, or took too long.
        """
        shown = shlex.join([*self._words, word])
        try:
            process = await asyncio.create_subprocess_exec(
                *self._words,
                word,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise ExchangeError(f"{shown}: {error.strerror}; correct the broker command") from None
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                _, said = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise ExchangeError(f"{shown} took longer than {COMMAND_TIMEOUT_S:g} s") from None
        if process.returncode:
            words = said.decode(errors="replace").strip().splitlines()[-1:]
            raise ExchangeError(f"{shown} ended with {process.returncode}: {''.join(words) or 'no message'}")
