"""Types of the engine: commands and results. All quantities are integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from exchange_ref.cfd.words import TradeChange


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    MARKET = "MARKET"
    LIMIT = "LIMIT"
    LIMIT_MAKER = "LIMIT_MAKER"
    """A limit order that is rejected where it would trade at once: it never pays a taker's fee."""
    STOP_LOSS = "STOP_LOSS"
    """A market order once the price has come to the stop: for a SELL from above, for a BUY from below."""
    STOP_LOSS_LIMIT = "STOP_LOSS_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    """The same from the other side."""
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"


STOPS = (
    OrderType.STOP_LOSS,
    OrderType.STOP_LOSS_LIMIT,
    OrderType.TAKE_PROFIT,
    OrderType.TAKE_PROFIT_LIMIT,
)
# These have no price of their own and take any.
MARKET_TYPES = (OrderType.MARKET, OrderType.STOP_LOSS, OrderType.TAKE_PROFIT)


class TimeInForce(StrEnum):
    """How long a limit order waits for what it cannot get at once."""

    GTC = "GTC"  # until it is cancelled
    GTD = "GTD"  # until a moment
    IOC = "IOC"  # not at all: the rest expires
    FOK = "FOK"  # not at all: without all of it nothing is traded


RESTING = (TimeInForce.GTC, TimeInForce.GTD)


class SelfTrade(StrEnum):
    """What happens when an order meets one of the same user."""

    NONE = "NONE"  # they trade
    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"


class Status(StrEnum):
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class OrderRejected(Exception):
    """An order that cannot be taken; nothing has changed because of it.

    Args:
        code: one of `invalid_order`, `invalid_transfer`, `invalid_trade`, `insufficient_funds`,
            `would_trade`, `would_trigger`, `not_found`, `conflict`.
    """

    def __init__(self, code: str, message: str, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = dict(details or {})


@dataclass(slots=True)
class Order:
    """An order, what is left of it, and what was paid for the rest.

    Args:
        price_ticks: 0 for a market order.
        expires_unix_nano: the end of one that is GTD; 0 for the others.
        stop_ticks: the traded price that triggers it; 0 for one that is executed at once.
        triggered: whether that price was traded.
    """

    order_id: str
    user_id: str
    client_order_id: str
    symbol: str
    side: Side
    type: OrderType
    price_ticks: int
    quantity_lots: int
    created_unix_nano: int
    time_in_force: TimeInForce = TimeInForce.GTC
    expires_unix_nano: int = 0
    self_trade: SelfTrade = SelfTrade.NONE
    remaining_lots: int = field(default=-1)
    quote_units: int = 0
    stop_ticks: int = 0
    triggered: bool = False

    def __post_init__(self) -> None:
        if self.remaining_lots < 0:
            self.remaining_lots = self.quantity_lots

    @property
    def filled_lots(self) -> int:
        return self.quantity_lots - self.remaining_lots

    @property
    def triggers_rising(self) -> bool:
        """Whether a stop is met from below."""
        is_stop_loss = self.type in (OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT)
        return is_stop_loss is (self.side is Side.BUY)

    @property
    def hold_ticks(self) -> int:
        """The price by which money for a purchase is held: the limit, or the stop that an order waits for."""
        return self.price_ticks or (0 if self.triggered else self.stop_ticks)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Take an order of this user out of its book."""

    order_id: str
    user_id: str
    symbol: str


@dataclass(frozen=True, slots=True)
class Deposit:
    """Money from outside, less a fee. A repeated `deposit_id`, if it is not empty, credits nothing again."""

    user_id: str
    asset: str
    units: int
    deposit_id: str = ""
    fee_units: int = 0


class WithdrawalStage(StrEnum):
    RESERVE = "RESERVE"  # lock the money
    PAY = "PAY"  # it has left
    REFUND = "REFUND"  # it could not leave


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """One step of money to outside; the fee comes on top. Each stage of one withdrawal is executed once."""

    withdrawal_id: str
    user_id: str
    client_id: str
    asset: str
    units: int
    fee_units: int
    stage: WithdrawalStage


@dataclass(frozen=True, slots=True)
class Transfer:
    """Move available units of one user to another. A repeated `client_transfer_id` moves nothing again."""

    transfer_id: str
    user_id: str
    to_user_id: str
    client_transfer_id: str
    asset: str
    units: int


class Fill(NamedTuple):
    """One match, always at the maker's price."""

    maker_order_id: str
    taker_order_id: str
    price_ticks: int
    lots: int


class BalanceChange(NamedTuple):
    """A wallet row after a command; a larger `version` is newer."""

    user_id: str
    asset: str
    available_units: int
    locked_units: int
    version: int


class OrderChange(NamedTuple):
    """The state of an order after a command. `quote_units` were paid for all that is filled; `triggered` is
    whether its stop was met."""

    order_id: str
    status: Status
    filled_lots: int
    quote_units: int = 0
    triggered: bool = False


class Result(NamedTuple):
    """What a command did.

    `orders` and `balances` name every row that changed, other people's included. A repeated client order id
    returns the first result with `repeated` set, without orders, and with its wallets as they are by now.
    `trade` is what a command about a contract for difference did. `reason` and `code` are those of the
    `OrderRejected` that a command met.
    """

    order_id: str
    status: Status
    filled_lots: int = 0
    quote_units: int = 0
    fills: tuple[Fill, ...] = ()
    balances: tuple[BalanceChange, ...] = ()
    reason: str = ""
    repeated: bool = False
    trade: TradeChange | None = None
    code: str = ""
    orders: tuple[OrderChange, ...] = ()  # last, since what is remembered is all before it
