"""Request bodies, bounded in bytes and time, each alone and all together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from collector.errors import MalformedBody, TooLarge, TooSlow, Unavailable

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

BODY_BYTES_PER_S_MIN = 1024  # after the first wait: a body that trickles would hold its connection for days
# All bodies together may take as much as this many of the largest. A body that is sent at full speed is read
# in well under a second, so more are seldom under way.
BODIES_AT_ONCE = 4


class BodyLimits(NamedTuple):
    max_bytes: int
    timeout_s: float  # longest wait for the next piece
    hint: str  # what a sender of a longer body can do


class Share:
    """The bytes of one request."""

    def __init__(self, now_s: float) -> None:
        self.size_bytes = 0
        self.since_s = now_s
        self.reading: asyncio.Timeout | None = None  # while the rest of the body is waited for
        self.is_given_up = False


class BodyRoom:
    """The memory that the bodies of all requests of one event loop share.

    When it is full, the unfinished body that has cost most so far (bytes × seconds) is given up for the new
    piece: a client that sends large bodies slowly holds up nobody else.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self._shares: set[Share] = set()

    @contextmanager
    def share(self) -> Iterator[Share]:
        """A request's part of the room, given back at the end of the block."""
        share = Share(asyncio.get_running_loop().time())
        self._shares.add(share)
        try:
            yield share
        finally:
            self._shares.discard(share)
            self._held_bytes -= share.size_bytes

    def take(self, share: Share, size_bytes: int) -> None:
        """
        Raises:
            Unavailable: no room, and no other body has cost more than this one.
        """
        while self._held_bytes + size_bytes > self._max_bytes:
            now_s = asyncio.get_running_loop().time()
            unfinished = [other for other in self._shares if other.reading is not None and other.size_bytes]
            costliest = max(unfinished, key=lambda other: _cost(other, now_s), default=share)
            if costliest is share:
                raise Unavailable("there is no room for more unfinished requests", hint="try again later")
            self._give_up(costliest, now_s)
        share.size_bytes += size_bytes
        self._held_bytes += size_bytes

    def _give_up(self, share: Share, now_s: float) -> None:
        assert share.reading is not None
        self._held_bytes -= share.size_bytes
        share.size_bytes, share.is_given_up = 0, True
        share.reading.reschedule(now_s)
        share.reading = None


async def read_body(
    receive: Receive, content_length: str, limits: BodyLimits, room: BodyRoom, share: Share
) -> bytes:
    """The whole body of an ASGI request.

    Raises:
        TooLarge: it is, or says that it is, longer than allowed.
        TooSlow: a piece, or the whole, takes too long.
        Unavailable: there is no room for it.
        MalformedBody: the client went away.
    """
    too_large = TooLarge(
        f"the body is larger than {limits.max_bytes} bytes",
        hint=limits.hint,
        details={"max_bytes": limits.max_bytes},
    )
    digits = content_length.lstrip("0")
    if digits.isdecimal() and (len(digits) > 18 or int(digits) > limits.max_bytes):
        raise too_large
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    pieces: list[bytes] = []
    size_bytes = 0
    more = True
    while more:
        if loop.time() - started_s > limits.timeout_s + size_bytes / BODY_BYTES_PER_S_MIN:
            raise TooSlow(f"the body comes at less than {BODY_BYTES_PER_S_MIN} bytes/s")
        event = await _next_event(receive, limits.timeout_s, share)
        if event["type"] == "http.disconnect":
            raise MalformedBody("the client went away before the body was complete")
        piece = event.get("body", b"")
        size_bytes += len(piece)
        if size_bytes > limits.max_bytes:
            raise too_large
        room.take(share, len(piece))
        pieces.append(piece)
        more = event.get("more_body", False)
    return b"".join(pieces)


async def _next_event(receive: Receive, timeout_s: float, share: Share) -> MutableMapping[str, Any]:
    event: MutableMapping[str, Any] = {}
    try:
        async with asyncio.timeout(timeout_s) as share.reading:
            event = await receive()
    except TimeoutError as error:
        if not share.is_given_up:
            raise TooSlow(f"nothing of the body came for {timeout_s:g} s") from error
    finally:
        share.reading = None
    if share.is_given_up:
        raise Unavailable("the body came too slowly while others had no room", hint="send it again, faster")
    return event


def _cost(share: Share, now_s: float) -> float:
    return share.size_bytes * (now_s - share.since_s)
