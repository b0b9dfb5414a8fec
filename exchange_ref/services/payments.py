"""The third party that money comes from and goes to: a server of its own, whose inside nobody here sees.

It answers `POST /charges` and `POST /payouts` with `{"reference"}`, the same for a repeated
`idempotency-key`, and declines more than `MAX_AMOUNT`.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from opentelemetry.trace import Span as OpenSpan
from opentelemetry.trace import SpanKind, Tracer

from exchange_ref.services.api.server_spans import Receive, Scope, Send
from exchange_ref.services.gateway import read_body, respond
from exchange_ref.services.http_client import HttpClient, HttpFailure
from exchange_ref.services.serving import HttpServer, bind
from exchange_ref.telemetry.tracing import fail, headers_of, under

TIMEOUT_S: Final = 3.0
MAX_REMEMBERED: Final = 100_000
# Of one payment, in whole assets.
MAX_AMOUNT: Final = 250_000


class PaymentProvider:
    """`delay_s` is how long an answer takes, `failing` makes it a 503; above `max_amount` it declines."""

    def __init__(self) -> None:
        self.server = HttpServer(self._answer, bind("127.0.0.1:0", "payments"))
        self.delay_s: Callable[[], float] = lambda: 0.0
        self.failing: Callable[[], bool] = lambda: False
        self.max_amount = MAX_AMOUNT
        self._references: OrderedDict[str, str] = OrderedDict()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = json.loads(await read_body(receive))
        await asyncio.sleep(self.delay_s())
        key = dict(scope["headers"]).get(b"idempotency-key", b"").decode("latin-1")
        status, body = 503, b'{"error": "overloaded"}'
        if asked["amount"] > self.max_amount:
            status, body = 402, b'{"error": "above the limit"}'
        elif not self.failing():
            reference = self._references.setdefault(key, f"pay-{len(self._references) + 1}")
            if len(self._references) > MAX_REMEMBERED:
                self._references.popitem(last=False)
            status, body = 200, json.dumps({"reference": reference}).encode()
        await respond(send, status, body)


class PaymentDeclined(Exception):
    """No money has moved, nor will it."""


class PaymentUnknown(Exception):
    """It failed or gave no answer: the money may have moved. The same key may be sent again."""


class PaymentClient:
    def __init__(self, provider: PaymentProvider, tracer: Tracer) -> None:
        self._http = HttpClient(provider.server.host, provider.server.port, timeout_s=TIMEOUT_S)
        self._tracer = tracer

    async def close(self) -> None:
        await self._http.close()

    async def send(self, path: str, payment_id: str, asset: str, amount: float, server: OpenSpan) -> None:
        """Move money once for each `payment_id`, in whole assets.

        Raises:
            PaymentDeclined, PaymentUnknown
        """
        span = self._tracer.start_span(
            f"POST {path}",
            context=under(server),
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": "POST",
                "url.template": path,
                "server.address": self._http.host,
                "server.port": self._http.port,
                "peer.service": "payment-provider",
            },
        )
        try:
            headers = {**headers_of(span), "content-type": "application/json", "idempotency-key": payment_id}
            body = json.dumps({"asset": asset, "amount": amount}).encode()
            response = await self._http.request("POST", path, headers, body)
            span.set_attribute("http.response.status_code", response.status)
            if response.status >= 400:
                fail(span, str(response.status), "")
                if response.status < 500:
                    raise PaymentDeclined(f"the payment provider declines more than {MAX_AMOUNT:,} at once")
                raise PaymentUnknown(f"the payment provider answered {response.status}")
        except HttpFailure as failure:
            span.record_exception(failure)
            fail(span, "HttpFailure", str(failure))
            raise PaymentUnknown(f"the payment provider gave no answer within {TIMEOUT_S:g} s") from None
        finally:
            span.end()
