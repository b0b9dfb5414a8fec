"""Bodies of the exchange's HTTP API. Amounts are decimals, as numbers or texts."""

from __future__ import annotations

from decimal import Decimal
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from exchange_ref.engine.instruments import ASSETS, MAX_UNITS, PAIRS, UNITS_PER_ASSET
from exchange_ref.engine.orders import OrderType, Side


class OrderRequest(BaseModel):
    """A new order. A repeated `client_order_id` of the same user returns the first order."""

    model_config = ConfigDict(extra="forbid")

    client_order_id: str = Field(min_length=1, max_length=64)
    pair: str
    side: Side
    type: OrderType
    quantity: Decimal = Field(gt=0, max_digits=20)
    price: Decimal | None = Field(default=None, gt=0, max_digits=20)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.pair not in PAIRS:
            raise ValueError(f"pair {self.pair!r} is not traded; choose one of {', '.join(PAIRS)}")
        if (self.price is None) is (self.type is OrderType.LIMIT):
            raise ValueError("a LIMIT order needs a price and a MARKET order has none")
        return self


class OrderReply(BaseModel):
    order_id: str
    client_order_id: str
    pair: str
    side: str
    type: str
    status: str
    quantity: float
    filled_quantity: float
    price: float | None = None
    """The limit; none for a market order."""
    fill_price: float | None = None
    """The mean of its fills when it was placed; `GET` does not know it."""


class TransferRequest(BaseModel):
    """Money to somebody's address. A repeated `client_transfer_id` of the same user moves nothing again."""

    model_config = ConfigDict(extra="forbid")

    client_transfer_id: str = Field(min_length=1, max_length=64)
    asset: str
    amount: Decimal = Field(gt=0, le=MAX_UNITS // UNITS_PER_ASSET, max_digits=20)
    to_address: str = Field(max_length=64)

    @field_validator("asset")
    @classmethod
    def _held(cls, asset: str) -> str:
        if asset not in ASSETS:
            raise ValueError(f"asset {asset!r} is not known; choose one of {', '.join(ASSETS)}")
        return asset


class TransferReply(BaseModel):
    transfer_id: str
    client_transfer_id: str
    asset: str
    amount: float
    to_address: str
    status: str


class AddressReply(BaseModel):
    address: str


class WalletReply(BaseModel):
    asset: str
    available: float
    locked: float


class ErrorBody(BaseModel):
    code: str
    message: str
    details: dict[str, object] = {}


class ErrorReply(BaseModel):
    """Every error of gateway and exchange has this form."""

    error: ErrorBody
