"""Commands to the matcher: publish, wait for the reply, process it under the request's server span."""

from __future__ import annotations

import time

from opentelemetry.trace import Span, SpanKind, Tracer

from exchange_ref.broker.message import ORDERS_QUEUE, REPLIES_QUEUE, Broker, Message
from exchange_ref.broker.request_reply import NoReply, Requester
from exchange_ref.engine.messages import Failure, decode_reply
from exchange_ref.engine.orders import OrderRejected, Result
from exchange_ref.telemetry.log_export import ServiceLog
from exchange_ref.telemetry.messaging import messaging_attributes
from exchange_ref.telemetry.tracing import (
    PARENT_HEADER,
    TRACE_HEADER,
    context_from,
    fail,
    headers_of,
    link_to,
    under,
)

REPLY_TIMEOUT_S = 5.0
UNTRACED_REPLY_TIMEOUT_S = 60.0  # a start on a busy machine and a real broker took more than 5 s


class MatcherFailed(Exception):
    """The matcher had the command and could not execute it."""


class MatcherUnavailable(MatcherFailed):
    """The matcher cannot take commands at the moment; it has not executed this one."""


class MatcherClient:
    """Every method raises

    OrderRejected: the matcher refused the command.
    NoReply: it did not answer in time; the command may still be executed.
    MatcherFailed: it could not execute it.
    """

    def __init__(
        self,
        broker: Broker,
        requester: Requester,
        tracer: Tracer,
        log: ServiceLog,
        *,
        reply_timeout_s: float = REPLY_TIMEOUT_S,
    ) -> None:
        self._broker = broker
        self._requester = requester
        self._tracer = tracer
        self._log = log
        self.reply_timeout_s = reply_timeout_s

    async def execute(self, body: bytes, server: Span, subject: str = "order") -> Result:
        """Send a command as part of the request of `server`; `subject` names the result's attributes."""
        with self._tracer.start_as_current_span(
            "publish orders", context=under(server), attributes={"messaging.destination.name": ORDERS_QUEUE}
        ) as publish:
            request = self._requester.prepare(body, {PARENT_HEADER: headers_of(server)[TRACE_HEADER]})
            with self._tracer.start_as_current_span(
                "publish <default>",
                context=under(publish),
                kind=SpanKind.PRODUCER,
                attributes=messaging_attributes(self._broker.system, "send", ORDERS_QUEUE, request),
            ) as producer:
                request.headers.update(headers_of(producer))
                reply = await self._requester.send(ORDERS_QUEUE, request)
        since_unix_nano = time.time_ns()
        try:
            message = await self._requester.receive(request, reply, self.reply_timeout_s)
        except NoReply as error:
            self._missed(request, server, since_unix_nano, error)
            raise
        return self._process(message, subject)

    async def execute_untraced(self, body: bytes) -> Result:
        """Send a command that belongs to no request; nobody waits for it but the start."""
        request = self._requester.prepare(body, {})
        reply = await self._requester.send(ORDERS_QUEUE, request)
        message = await self._requester.receive(request, reply, UNTRACED_REPLY_TIMEOUT_S)
        return _result(decode_reply(message.body))

    def _process(self, message: Message, subject: str) -> Result:
        with self._tracer.start_as_current_span(
            "payment_response process",
            context=context_from(message.headers, PARENT_HEADER),
            kind=SpanKind.CONSUMER,
            links=link_to(context_from(message.headers)),
            attributes=messaging_attributes(self._broker.system, "process", REPLIES_QUEUE, message),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            result = _result(decode_reply(message.body))
            status = result.trade.status if result.trade is not None else result.status
            span.set_attributes({f"{subject}.id": result.order_id, f"{subject}.status": str(status)})
        return result

    def _missed(self, request: Message, server: Span, since_unix_nano: int, error: NoReply) -> None:
        """The processing of a reply that did not come: it waited, and failed."""
        span = self._tracer.start_span(
            "payment_response process",
            context=under(server),
            kind=SpanKind.CONSUMER,
            start_time=since_unix_nano,
            attributes={
                **messaging_attributes(self._broker.system, "process", REPLIES_QUEUE, Message(b"")),
                "messaging.message.conversation_id": request.correlation_id,
            },
        )
        span.record_exception(error)
        fail(span, "timeout", str(error))
        self._log.warning(span, f"the matcher gave {error}")
        span.end()


def _result(reply: Result | Failure) -> Result:
    if isinstance(reply, Result):
        return reply
    if reply.code == "internal":
        raise MatcherFailed(reply.message)
    if reply.code == "unavailable":
        raise MatcherUnavailable(reply.message)
    raise OrderRejected(reply.code, reply.message, reply.details)
