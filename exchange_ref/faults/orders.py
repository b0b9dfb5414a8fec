"""Single orders with wrong content, executed as fast as any: typing errors and wash trades."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from exchange_ref.engine.instruments import PAIRS, Pair
from exchange_ref.engine.orders import OrderType, Side
from exchange_ref.faults.fault import Occurrence, Target
from exchange_ref.faults.labels import Label
from exchange_ref.load.arrivals import wait_for_event
from exchange_ref.load.traders import APPETITES, round_to
from exchange_ref.services.wallet import NewOrder, Outcome
from exchange_ref.telemetry.tracing import WALLET

ROOT_OPERATION = "order.submit.client"


class PairParams(BaseModel):
    model_config = ConfigDict(extra="forbid")

    pair: str = "BTC/USD"

    @field_validator("pair")
    @classmethod
    def _traded(cls, pair: str) -> str:
        if pair not in PAIRS:
            raise ValueError(f"{pair!r} is not traded; choose one of {', '.join(PAIRS)}")
        return pair


class FatFingerParams(PairParams):
    """`factor`: how many times the market's price somebody offers to pay."""

    factor: float = Field(10, ge=1.5, le=1_000)


@dataclass(frozen=True)
class FatFinger:
    """A limit order to buy at a price with a digit too many. It is filled at the makers' prices."""

    params: FatFingerParams

    kind: ClassVar[str] = "fat_finger"
    params_model: ClassVar[type[BaseModel]] = FatFingerParams

    async def run(self, target: Target, occurrence: Occurrence, stop: asyncio.Event) -> Label:
        pair, traders = PAIRS[self.params.pair], target.load.traders
        mid = traders.mid(pair.symbol)
        order = traders.order(
            pair, Side.BUY, APPETITES[pair.symbol].median_quantity, mid * self.params.factor
        )
        assert order.price is not None
        cost_units = pair.notional_units(pair.ticks(order.price), pair.lots(order.quantity))
        await target.exchange.wallets.deposit(order.user_id, pair.quote, cost_units)
        start_unix_nano = target.now_ns()
        outcome = await target.load.send(order)
        ratio = float(order.price) / mid
        return _label(
            self.kind,
            self.params,
            occurrence,
            (start_unix_nano, target.now_ns()),
            [outcome],
            verified=outcome.accepted and ratio >= self.params.factor / 2,
            impact={"price": float(order.price), "market_price": round(mid, 4), "status": outcome.status},
        )


class WashTradeParams(PairParams):
    rounds: int = Field(8, ge=1, le=1_000)
    every_ms: float = Field(150, ge=0, le=60_000)


@dataclass(frozen=True)
class WashTrade:
    """One user buys from himself: an order inside the spread, and at once its opposite of the same size."""

    params: WashTradeParams

    kind: ClassVar[str] = "wash_trade"
    params_model: ClassVar[type[BaseModel]] = WashTradeParams

    async def run(self, target: Target, occurrence: Occurrence, stop: asyncio.Event) -> Label:
        pair, traders = PAIRS[self.params.pair], target.load.traders
        start_unix_nano = target.now_ns()
        outcomes: list[Outcome] = []
        met = 0
        first = traders.order(pair, Side.SELL, APPETITES[pair.symbol].median_quantity, None)
        for number in range(self.params.rounds):
            price = inside_spread(target, pair)
            selling = limit(traders.order(pair, Side.SELL, float(first.quantity), None), first.user_id, price)
            buying = replace(selling, side=Side.BUY, client_order_id=f"{selling.client_order_id}-{number}")
            sold = await target.load.send(selling)
            bought = await target.load.send(buying)
            outcomes += [sold, bought]
            met += bought.accepted and bought.reply.get("fill_price") == float(price)
            if await wait_for_event(stop, self.params.every_ms / 1000):
                break
        return _label(
            self.kind,
            self.params,
            occurrence,
            (start_unix_nano, target.now_ns()),
            outcomes,
            verified=met > len(outcomes) / 4,
            impact={"rounds": len(outcomes) // 2, "rounds_filled_at_own_price": met},
        )


def inside_spread(target: Target, pair: Pair) -> Decimal:
    """A price just below the best offer: first in the queue for both sides."""
    offer = target.exchange.engine.books[pair.symbol].best(Side.SELL)
    if offer is None:
        return round_to(target.load.traders.mid(pair.symbol), pair.tick)
    return (offer.price_ticks - 1) * pair.tick


def limit(order: NewOrder, user_id: str, price: Decimal) -> NewOrder:
    return replace(order, user_id=user_id, price=price, type=OrderType.LIMIT)


def _label(
    kind: str,
    params: BaseModel,
    occurrence: Occurrence,
    times: tuple[int, int],
    outcomes: list[Outcome],
    *,
    verified: bool,
    impact: dict[str, object],
) -> Label:
    return Label(
        fault_id=occurrence.fault_id,
        kind=kind,
        root_service=WALLET,
        root_operation=ROOT_OPERATION,
        params=params.model_dump(mode="json"),
        seed=occurrence.seed,
        start_unix_nano=times[0],
        end_unix_nano=times[1],
        trace_ids=[outcome.trace_id for outcome in outcomes],
        expected_symptoms=[{"kind": kind, "service": WALLET, "operation": ROOT_OPERATION}],
        impact_verified=verified,
        impact=impact,
    )
