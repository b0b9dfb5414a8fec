"""The HTTP paths of contracts for difference."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from exchange_ref.cfd.models import TradeReply, TradeRequest
from exchange_ref.cfd.service import TradeService
from exchange_ref.services.api.server_spans import SPAN_KEY
from exchange_ref.services.api.user import UserId

TRADES_PATH = "/api/v1/cfd/trades"


def trade_routes(trades: TradeService) -> APIRouter:
    router = APIRouter()

    @router.post(TRADES_PATH, status_code=201)
    async def post_trade(
        trade: TradeRequest, user_id: UserId, request: Request, response: Response
    ) -> TradeReply:
        reply, repeated = await trades.submit(user_id, trade, request.scope[SPAN_KEY])
        if repeated:
            response.status_code = 200
        return reply

    @router.get(TRADES_PATH)
    async def get_trades(user_id: UserId, request: Request) -> list[TradeReply]:
        return await trades.of_user(user_id, request.scope[SPAN_KEY])

    @router.delete(TRADES_PATH + "/{trade_id}")
    async def delete_trade(trade_id: str, user_id: UserId, request: Request) -> TradeReply:
        return await trades.close(user_id, trade_id, request.scope[SPAN_KEY])

    return router
