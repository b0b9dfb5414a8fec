"""Bodies of the exchange's HTTP API. Amounts are decimals, as numbers or texts."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from exchange_ref.engine.instruments import ASSETS, MAX_UNITS, PAIRS, UNITS_PER_ASSET
from exchange_ref.engine.orders import MARKET_TYPES, RESTING, STOPS, OrderType, SelfTrade, Side, TimeInForce

MAX_GOOD_FOR_S = 90 * 86_400


# Of one deposit, in whole assets: so that none alone fills the ledger.
MAX_DEPOSIT = 1_000_000


def _known_asset(asset: str) -> str:
    if asset not in ASSETS:
        raise ValueError(f"asset {asset!r} is not known; choose one of {', '.join(ASSETS)}")
    return asset


class OrderRequest(BaseModel):
    """A new order. A repeated `client_order_id` of the same user returns the first order.

    Without a time in force a limit order rests until it is cancelled. A stop order waits until its
    `stop_price` is traded, and is then a market or a limit order.
    """

    model_config = ConfigDict(extra="forbid")

    client_order_id: str = Field(min_length=1, max_length=64)
    pair: str
    side: Side
    type: OrderType
    quantity: Decimal = Field(gt=0, max_digits=20)
    price: Decimal | None = Field(default=None, gt=0, max_digits=20)
    stop_price: Decimal | None = Field(default=None, gt=0, max_digits=20)
    time_in_force: TimeInForce = TimeInForce.GTC
    good_for_s: float | None = Field(default=None, gt=0, le=MAX_GOOD_FOR_S, allow_inf_nan=False)
    self_trade: SelfTrade = SelfTrade.NONE

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.pair not in PAIRS:
            raise ValueError(f"pair {self.pair!r} is not traded; choose one of {', '.join(PAIRS)}")
        if (self.price is None) is (self.type not in MARKET_TYPES):
            raise ValueError(f"a {self.type} order {'has no' if self.price else 'needs a'} price")
        if (self.stop_price is None) is (self.type in STOPS):
            raise ValueError(f"a {self.type} order {'has no' if self.stop_price else 'needs a'} stop_price")
        self._check_time_in_force()
        return self

    def _check_time_in_force(self) -> None:
        if (self.good_for_s is None) is (self.time_in_force is TimeInForce.GTD):
            raise ValueError("good_for_s belongs to the time in force GTD, which needs it")
        immediate = self.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)
        if self.type is OrderType.MARKET and self.time_in_force is not TimeInForce.GTC:
            raise ValueError("a MARKET order has no time in force: what it cannot get at once is given up")
        if self.type in MARKET_TYPES and immediate:
            raise ValueError(f"a {self.type} order waits for its stop: its time in force is GTC or GTD")
        if self.type is OrderType.LIMIT_MAKER and self.time_in_force not in RESTING:
            raise ValueError("a LIMIT_MAKER order rests: its time in force is GTC or GTD")


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
    time_in_force: str = TimeInForce.GTC
    expires_at: str | None = None
    """When a GTD order expires, as RFC 3339; it does with the next order after that."""
    fill_price: float | None = None
    """The mean of its fills; none for orders that were filled before the exchange stored it."""
    stop_price: float | None = None
    triggered: bool | None = None
    """Of a stop order: whether its stop price was traded."""
    slippage_bps: float | None = None
    """How much worse the mean price is than expected, in hundredths of a per cent: than the best offer as the
    order came (in the answer to the order alone), or than the stop price of a triggered order."""


class TransferRequest(BaseModel):
    """Money to somebody's address. A repeated `client_transfer_id` of the same user moves nothing again."""

    model_config = ConfigDict(extra="forbid")

    client_transfer_id: str = Field(min_length=1, max_length=64)
    asset: str
    amount: Decimal = Field(gt=0, le=MAX_UNITS // UNITS_PER_ASSET, max_digits=20)
    to_address: str = Field(max_length=64)

    _held = field_validator("asset")(_known_asset)


class FundsRequest(BaseModel):
    """A deposit or a withdrawal. A repeated `client_id` of the same user goes on where the first ended."""

    model_config = ConfigDict(extra="forbid")

    client_id: str = Field(min_length=1, max_length=64)
    asset: str
    amount: Decimal = Field(gt=0, le=MAX_DEPOSIT, max_digits=20)

    _held = field_validator("asset")(_known_asset)


class FundsReply(BaseModel):
    """`booked` is what the wallet gained by a deposit, or gave for a withdrawal, fee included."""

    payment_id: str
    client_id: str
    asset: str
    amount: float
    fee: float
    booked: float
    status: str
    created_at: str


class TransferReply(BaseModel):
    transfer_id: str
    client_transfer_id: str
    asset: str
    amount: float
    to_address: str
    status: str


class PriceReply(BaseModel):
    """`price` is the last one traded, `reference_price` the outside market's."""

    pair: str
    price: float
    reference_price: float
    reference_age_s: float


class DepthReply(BaseModel):
    """Levels as [price, quantity], best first. `is_current` is false while the matcher is in a process of its
    own (a fault): then the books are those from before."""

    pair: str
    last_update_id: int
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]
    is_current: bool


class MarketTrade(BaseModel):
    id: int
    price: float
    quantity: float
    taker_side: str
    time: str


class KlineReply(BaseModel):
    """Prices of an interval, `volume` in base and `turnover` in quote."""

    open_time: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    turnover: float
    trades: int


class TickerReply(BaseModel):
    """The last 24 hours, by whole minutes; prices are null where nothing was traded."""

    pair: str
    last_price: float
    open: float | None = None
    high: float | None = None
    low: float | None = None
    change_percent: float | None = None
    volume: float = 0.0
    turnover: float = 0.0
    trades: int = 0
    best_bid: float | None = None
    best_ask: float | None = None


class AddressReply(BaseModel):
    address: str


class WalletReply(BaseModel):
    asset: str
    available: float
    locked: float


def wallet_replies(rows: Iterable[tuple[str, int, int]]) -> list[WalletReply]:
    """
    Args:
        rows: asset, available and locked units.
    """
    return [
        WalletReply(asset=asset, available=available / UNITS_PER_ASSET, locked=locked / UNITS_PER_ASSET)
        for asset, available, locked in rows
    ]


class ErrorBody(BaseModel):
    code: str
    message: str
    details: dict[str, object] = {}


class ErrorReply(BaseModel):
    """Every error of gateway and exchange has this form."""

    error: ErrorBody
