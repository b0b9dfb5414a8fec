"""Bodies of the HTTP API for contracts for difference. Amounts are decimals, as numbers or texts, in USD."""

from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from exchange_ref.cfd.pricing import MAX_LEVERAGE
from exchange_ref.cfd.words import TradeSide
from exchange_ref.engine.instruments import MAX_UNITS, PAIRS, UNITS_PER_ASSET

TRADED_ASSETS = tuple(pair.base for pair in PAIRS.values())


class TradeRequest(BaseModel):
    """A new position. A repeated `client_trade_id` of the same user opens nothing again."""

    model_config = ConfigDict(extra="forbid")

    asset: str
    side: TradeSide
    leverage: int = Field(ge=1, le=MAX_LEVERAGE)
    margin: Decimal = Field(gt=0, le=MAX_UNITS // UNITS_PER_ASSET, max_digits=20)
    stop_loss: Decimal | None = Field(default=None, gt=0, max_digits=20)
    take_profit: Decimal | None = Field(default=None, gt=0, max_digits=20)
    client_trade_id: str | None = Field(default=None, min_length=1, max_length=64)

    @field_validator("asset")
    @classmethod
    def _traded(cls, asset: str) -> str:
        if asset not in TRADED_ASSETS:
            raise ValueError(f"asset {asset!r} is not traded; choose one of {', '.join(TRADED_ASSETS)}")
        return asset


class TradeReply(BaseModel):
    """`price` is the reference price now, or at which the trade ended; `profit` is what it brings at that
    price, and never less than minus the margin."""

    trade_id: str
    asset: str
    side: str
    leverage: int
    margin: float
    entry_price: float
    stop_loss: float | None = None
    take_profit: float | None = None
    status: str
    price: float
    profit: float
