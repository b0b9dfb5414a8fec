from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from exchange_ref.services.http_client import HttpClient, HttpFailure

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def served(handler: Handler, requests: int, timeout_s: float = 60.0) -> tuple[list[bytes], int]:
    """Ask `requests` times one after another; returns bodies and the number of connections made."""
    connections = 0

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(counted, "127.0.0.1", 0)
    client = HttpClient(*server.sockets[0].getsockname()[:2], timeout_s=timeout_s)
    try:
        return [(await client.request("GET", "/", {})).body for _ in range(requests)], connections
    finally:
        await client.close()
        server.close()


def answering(answer: bytes, *, then_close: bool = False) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(answer)
            if then_close:
                return

    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await handler(reader, writer)

    return quiet


def test_a_connection_is_used_again() -> None:
    """Requests one after another share one connection."""
    bodies, connections = asyncio.run(served(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), 3))
    assert (bodies, connections) == ([b"ok"] * 3, 1)


def test_a_connection_the_server_closed_is_not_used_again() -> None:
    """After `connection: close` the next request opens a new one."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: close\r\n\r\nok"
    bodies, connections = asyncio.run(served(answering(answer, then_close=True), 2))
    assert (bodies, connections) == ([b"ok"] * 2, 2)


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\nok", b"nonsense\r\nContent-Length: x\r\n\r\n"],
    ids=["nothing", "half a head", "no length", "no number"],
)
def test_what_is_no_answer_is_a_failure(answer: bytes) -> None:
    """A cut-off or malformed answer is an HttpFailure that names the address."""
    with pytest.raises(HttpFailure, match=r"127\.0\.0\.1"):
        asyncio.run(served(answering(answer, then_close=True), 1))


def test_silence_ends_with_the_time_out() -> None:
    """A server that never answers costs no more than the time-out."""

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    with pytest.raises(HttpFailure, match=r"within 0\.05 s"):
        asyncio.run(served(silent, 1, timeout_s=0.05))
