"""kx-matcher as a process of its own: `python -m exchange_ref.engine.process JOURNAL ORDER_TTL_S`.

JSON lines come in and go out. In: `{"go": system}` once nobody else writes the journal, then one
`{"message": [...]}` after another. Out: `{"ready": sequence}` when the journal was read,
`{"serving": sequence}` when its end was too, `{"publish": queue, "message": [...]}` for replies,
`{"span": {...}}`, and after each message `{"done": error | null}`. The end of its input is its end.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from exchange_ref.broker.message import Message
from exchange_ref.engine import journal
from exchange_ref.engine.engine import Engine
from exchange_ref.engine.matcher import Matcher
from exchange_ref.telemetry.log_export import ServiceLog
from exchange_ref.telemetry.metrics import Gauges, Metrics
from exchange_ref.telemetry.span_frames import to_frame
from exchange_ref.telemetry.tracing import MATCHER, Telemetry, resource_of

# The gateway takes no larger body, and JSON can double it.
MAX_LINE_BYTES = 1024 * 1024


def pack(message: Message) -> list[Any]:
    return [message.body.decode("latin-1"), message.headers, message.correlation_id, message.reply_to]


def unpack(fields: list[Any]) -> Message:
    body, headers, correlation_id, reply_to = fields
    return Message(body.encode("latin-1"), headers, correlation_id, reply_to)


def say(frame: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(frame) + "\n")
    sys.stdout.flush()


class SpansOut(SpanProcessor):
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing to do before a span ends."""

    def on_end(self, span: ReadableSpan) -> None:
        say({"span": to_frame(span)})


class PipeBroker:
    """The broker that this process sees: its replies go out by the pipe. Commands are given to the matcher
    directly, so nothing is consumed here."""

    def __init__(self, system: str) -> None:
        self._system = system

    @property
    def system(self) -> str:
        return self._system

    async def start(self) -> None:
        """The pipe is there already."""

    async def publish(self, queue: str, message: Message) -> None:
        say({"publish": queue, "message": pack(message)})

    async def bury(self, queue: str, message: Message) -> None:
        """The other side has the message and sets it aside when it gets the error."""

    def consume(self, queue: str) -> AsyncIterator[Message]:
        raise NotImplementedError("commands come by the pipe")

    def depths(self) -> dict[str, int]:
        return {}

    async def close(self) -> None:
        """The end of the input is the end."""


async def serve(path: Path) -> None:
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    engine = Engine()
    sequence = journal.replay(path, engine, complete=False)
    say({"ready": sequence})
    go = await reader.readline()
    if not go:
        return
    sequence = journal.replay(path, engine, after=sequence)
    matcher = Matcher(
        PipeBroker(json.loads(go)["go"]),
        engine,
        journal.Journal(path, last_sequence=sequence),
        tracer=Telemetry(SpansOut()).tracer(MATCHER),
        log=ServiceLog(resource_of(MATCHER), None),
        metrics=Metrics(None, Gauges(dict, dict, dict)),
    )
    say({"serving": sequence})
    while line := await reader.readline():
        error = None
        try:
            await matcher.handle(unpack(json.loads(line)["message"]))
        except (
            Exception
        ) as failure:  # one bad message must not end the process; the other side gets the error
            error = f"{type(failure).__name__}: {failure}"
        say({"done": error})
    await matcher.stop()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
