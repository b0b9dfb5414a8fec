"""kx-exchange's HTTP application."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from opentelemetry.trace import Span, Tracer
from starlette.exceptions import HTTPException

from exchange_ref.accounts.routes import account_routes
from exchange_ref.accounts.service import AccountService
from exchange_ref.broker.message import BrokerLost
from exchange_ref.broker.request_reply import NoReply
from exchange_ref.cfd.engine_route import engine_routes
from exchange_ref.cfd.routes import TRADES_PATH, trade_routes
from exchange_ref.cfd.service import TradeService
from exchange_ref.engine.orders import OrderRejected
from exchange_ref.market.predictor import Predictor
from exchange_ref.services.addresses import address_of
from exchange_ref.services.api.funds import DEPOSIT, WITHDRAWAL, FundsService
from exchange_ref.services.api.market_routes import Market, market_routes
from exchange_ref.services.api.matcher_client import MatcherFailed, MatcherUnavailable
from exchange_ref.services.api.models import (
    AddressReply,
    ErrorReply,
    FundsReply,
    FundsRequest,
    OrderReply,
    OrderRequest,
    TransferReply,
    TransferRequest,
    WalletReply,
    wallet_replies,
)
from exchange_ref.services.api.orderbook import ORDERBOOK_PATH, orderbook_routes
from exchange_ref.services.api.orders import OrderService
from exchange_ref.services.api.predict_routes import predict_routes
from exchange_ref.services.api.server_spans import SPAN_KEY, ServerSpans
from exchange_ref.services.api.transfers import TransferService
from exchange_ref.services.api.user import UserId
from exchange_ref.services.api.wallets import Wallets
from exchange_ref.services.http_errors import error_body, status_of
from exchange_ref.telemetry.log_export import ServiceLog
from exchange_ref.telemetry.metrics import Metrics
from exchange_ref.telemetry.tracing import EXCHANGE, MATCHER, fail

# What a body that does not fit is called.
INVALID_BODY = {
    "/api/v1/orders": "invalid_order",
    ORDERBOOK_PATH: "invalid_order",
    "/api/v1/transfers": "invalid_transfer",
    TRADES_PATH: "invalid_trade",
}


def build_app(
    orders: OrderService,
    transfers: TransferService,
    wallets: Wallets,
    trades: TradeService,
    *,
    funds: FundsService,
    market: Market,
    predictor: Predictor,
    accounts: AccountService,
    gateway_token: str,
    tracer: Tracer,
    log: ServiceLog,
    metrics: Metrics,
) -> ServerSpans:
    app = FastAPI(
        title="kx-exchange",
        version="1",
        responses={"default": {"model": ErrorReply}},
        redirect_slashes=False,  # the gateway's clients would be sent to the API's own address
    )
    _add_errors(app, log)
    app.include_router(trade_routes(trades))
    app.include_router(engine_routes(trades, wallets))
    app.include_router(market_routes(market))
    app.include_router(orderbook_routes(market.engine, orders))
    app.include_router(predict_routes(predictor))
    app.include_router(account_routes(accounts))
    app.state.gateway_token = gateway_token

    @app.post("/api/v1/orders", status_code=201)
    async def post_order(
        order: OrderRequest, user_id: UserId, request: Request, response: Response
    ) -> OrderReply:
        reply, repeated = await orders.submit(user_id, order, request.scope[SPAN_KEY])
        if repeated:
            response.status_code = 200
        return reply

    @app.get("/api/v1/orders")
    async def get_orders(user_id: UserId, request: Request, before: str | None = None) -> list[OrderReply]:
        return await orders.all(user_id, before, request.scope[SPAN_KEY])

    @app.get("/api/v1/open-orders")
    async def get_open_orders(user_id: UserId, request: Request) -> list[OrderReply]:
        return await orders.open(user_id, request.scope[SPAN_KEY])

    @app.get("/api/v1/orders/{order_id}")
    async def get_order(order_id: str, user_id: UserId, request: Request) -> OrderReply:
        return await orders.find(user_id, order_id, request.scope[SPAN_KEY])

    @app.delete("/api/v1/orders/{order_id}")
    async def delete_order(order_id: str, user_id: UserId, request: Request) -> OrderReply:
        return await orders.cancel(user_id, order_id, request.scope[SPAN_KEY])

    @app.post("/api/v1/transfers", status_code=201)
    async def post_transfer(
        transfer: TransferRequest, user_id: UserId, request: Request, response: Response
    ) -> TransferReply:
        reply, repeated = await transfers.submit(user_id, transfer, request.scope[SPAN_KEY])
        if repeated:
            response.status_code = 200
        return reply

    @app.get("/api/v1/transfers")
    async def get_transfers(user_id: UserId, request: Request) -> list[TransferReply]:
        return await transfers.list(user_id, request.scope[SPAN_KEY])

    _add_funds(app, funds)

    @app.get("/api/v1/address")
    async def get_address(user_id: UserId) -> AddressReply:
        return AddressReply(address=address_of(user_id))

    @app.get("/api/v1/wallets")
    async def get_wallets(user_id: UserId, request: Request) -> list[WalletReply]:
        return wallet_replies(await wallets.read(user_id, request.scope[SPAN_KEY]))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics", include_in_schema=False)
    async def get_metrics(request: Request) -> Response:
        return _scraped(metrics, EXCHANGE, request)

    @app.get("/metrics/matcher", include_in_schema=False)
    async def get_matcher_metrics(request: Request) -> Response:
        return _scraped(metrics, MATCHER, request)

    return ServerSpans(app, tracer)


def _scraped(metrics: Metrics, service: str, request: Request) -> Response:
    body, content_type = metrics.scraped(service, request.headers.get("accept", ""))
    return Response(body, headers={"content-type": content_type})


def _add_funds(app: FastAPI, funds: FundsService) -> None:
    def add(path: str, kind: str) -> None:
        @app.post(path, status_code=201)
        async def post_funds(
            body: FundsRequest, user_id: UserId, request: Request, response: Response
        ) -> FundsReply:
            reply, repeated = await funds.submit(kind, user_id, body, request.scope[SPAN_KEY])
            if repeated:
                response.status_code = 200
            return reply

        @app.get(path)
        async def get_funds(user_id: UserId, request: Request) -> list[FundsReply]:
            return await funds.list(kind, user_id, request.scope[SPAN_KEY])

    add("/api/v1/deposits", DEPOSIT)
    add("/api/v1/withdrawals", WITHDRAWAL)


def _add_errors(app: FastAPI, log: ServiceLog) -> None:
    @app.exception_handler(OrderRejected)
    async def rejected(_: Request, error: OrderRejected) -> Response:
        return _error(error.code, error.message, error.details)

    @app.exception_handler(NoReply)
    async def no_reply(_: Request, error: NoReply) -> Response:
        return _error("timeout", f"the matcher gave {error}; ask for the order by its client_order_id", {})

    @app.exception_handler(BrokerLost)
    async def broker_lost(_: Request, error: BrokerLost) -> Response:
        return _error("unavailable", f"{error}; send the same client id again to learn what became of it", {})

    @app.exception_handler(MatcherUnavailable)
    async def matcher_unavailable(_: Request, error: MatcherUnavailable) -> Response:
        return _error("unavailable", str(error), {})

    @app.exception_handler(MatcherFailed)
    async def matcher_failed(_: Request, error: MatcherFailed) -> Response:
        return _error("internal", str(error), {})

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        span: Span = request.scope[SPAN_KEY]
        span.record_exception(error)
        fail(span, type(error).__name__, "")
        log.error(span, f"{request.method} {request.url.path} failed", error)
        return _error("internal", f"the exchange failed: {type(error).__name__}", {})

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        fields = _fields(error.errors())
        code = INVALID_BODY.get(request.url.path, "invalid_request")
        return _error(code, "; ".join(f"{name}: {text}" for name, text in fields.items()), fields)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        tried = f"{request.method} {request.url.path}"
        return _error(code, f"nothing is served at {tried}: {error.detail}; see /openapi.json", {})


def _fields(errors: Sequence[Any]) -> dict[str, object]:
    """Field → what is wrong with it."""
    return {
        ".".join(str(part) for part in error["loc"] if part != "body") or "body": str(error["msg"])
        for error in errors
    }


def _error(code: str, message: str, details: dict[str, object]) -> Response:
    return Response(error_body(code, message, details), status_of(code), media_type="application/json")
