"""`POST /api/v1/engine`: accounts, balances and contracts for difference as commands of one path."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Request, Response
from opentelemetry.trace import Span
from pydantic import BaseModel, ConfigDict, Field

from exchange_ref.cfd.models import TradeReply, TradeRequest
from exchange_ref.cfd.pricing import MARGIN_ASSET
from exchange_ref.cfd.service import TradeService
from exchange_ref.services.addresses import address_of
from exchange_ref.services.api.models import WalletReply, wallet_replies
from exchange_ref.services.api.server_spans import SPAN_KEY
from exchange_ref.services.api.user import UserId
from exchange_ref.services.api.wallets import Wallets

ENGINE_PATH = "/api/v1/engine"


class _Command(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CreateAccount(_Command):
    """Wallets and an address for the user; one who has them keeps them."""

    command: Literal["CREATE_ACCOUNT"]


class GetBalance(_Command):
    command: Literal["GET_BALANCE"]


class GetUsdBalance(_Command):
    command: Literal["GET_USD_BALANCE"]


class CreateTrade(TradeRequest):
    command: Literal["CREATE_TRADE"]


class CloseTradeCommand(_Command):
    command: Literal["CLOSE_TRADE"]
    trade_id: str = Field(min_length=1, max_length=64)


EngineCommand = Annotated[
    CreateAccount | GetBalance | GetUsdBalance | CreateTrade | CloseTradeCommand,
    Body(discriminator="command"),
]


class EngineReply(BaseModel):
    """`balances` for accounts and balances, `trade` for trades."""

    command: str
    user_id: str
    address: str | None = None
    balances: list[WalletReply] | None = None
    trade: TradeReply | None = None


def engine_routes(trades: TradeService, wallets: Wallets) -> APIRouter:
    router = APIRouter()

    async def balances(user_id: str, server: Span) -> list[WalletReply]:
        return wallet_replies(await wallets.read(user_id, server))

    @router.post(ENGINE_PATH, response_model_exclude_none=True)
    async def post_command(
        command: EngineCommand, user_id: UserId, request: Request, response: Response
    ) -> EngineReply:
        server: Span = request.scope[SPAN_KEY]
        server.set_attributes({"kx.engine.command": command.command, "user.id": user_id})
        reply = EngineReply(command=command.command, user_id=user_id)
        match command:
            case CreateAccount():
                await wallets.create(user_id, server)
                reply.address = address_of(user_id)
                reply.balances = await balances(user_id, server)
            case GetBalance():
                reply.balances = await balances(user_id, server)
            case GetUsdBalance():
                held = await balances(user_id, server)
                reply.balances = [row for row in held if row.asset == MARGIN_ASSET]
            case CreateTrade():
                reply.trade, repeated = await trades.submit(user_id, command, server)
                response.status_code = 200 if repeated else 201
            case CloseTradeCommand():
                reply.trade = await trades.close(user_id, command.trade_id, server)
        return reply

    return router
