"""Limits how many requests each part of the API works on at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from collector.errors import Unavailable
from collector.http.answers import answer_of
from collector.http.body import Receive
from collector.http.requests import App, Scope, Send

WAIT_S = 1.0  # the burst of a page passes; later requests are refused and should come again
WAITING_MAX = 100


class Places:
    """ASGI middleware. The longest prefix of a path decides which places it takes; others take none.

    Each request that is worked on holds a thread, and the threads are shared: places that are fewer than
    threads keep one part of the API from stopping another.
    """

    def __init__(self, app: App, counts: Mapping[str, int]) -> None:
        self._app = app
        self._places = {
            prefix: asyncio.Semaphore(counts[prefix]) for prefix in sorted(counts, key=len, reverse=True)
        }
        self._waiting_count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        places = self._places_of(scope["path"]) if scope["type"] == "http" else None
        if places is None:
            await self._app(scope, receive, send)
            return
        try:
            await self._enter(places)
        except Unavailable as error:
            await answer_of(error)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            places.release()

    def _places_of(self, path: str) -> asyncio.Semaphore | None:
        return next((places for prefix, places in self._places.items() if path.startswith(prefix)), None)

    async def _enter(self, places: asyncio.Semaphore) -> None:
        busy = Unavailable("all places for requests of this kind are taken", hint="try again in a second")
        if places.locked() and self._waiting_count >= WAITING_MAX:
            raise busy
        self._waiting_count += 1
        try:
            async with asyncio.timeout(WAIT_S):
                await places.acquire()
        except TimeoutError as error:
            raise busy from error
        finally:
            self._waiting_count -= 1
