"""One order hundreds of times as large as is typical, paid for with real money and executed as fast as any.

It is a limit order away from the market, so that it rests instead of emptying the book: what is unusual is
its amount and nothing else.
"""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, Field

from exchange_ref.engine.instruments import PAIRS
from exchange_ref.engine.orders import Side
from exchange_ref.faults.fault import Occurrence, Target
from exchange_ref.faults.labels import Label
from exchange_ref.faults.orders import PairParams
from exchange_ref.load.traders import APPETITES
from exchange_ref.telemetry.tracing import WALLET

DISTANCE_FROM_MARKET = 0.02


class WhaleOrderParams(PairParams):
    multiple: float = Field(400, ge=2, le=100_000)
    side: Side = Side.BUY


@dataclass(frozen=True)
class WhaleOrder:
    params: WhaleOrderParams

    kind: ClassVar[str] = "whale_order"
    params_model: ClassVar[type[BaseModel]] = WhaleOrderParams

    async def run(self, target: Target, occurrence: Occurrence, stop: asyncio.Event) -> Label:
        pair, side = PAIRS[self.params.pair], self.params.side
        traders = target.load.traders
        mid = traders.mid(pair.symbol)
        price = mid * (1 - DISTANCE_FROM_MARKET if side is Side.BUY else 1 + DISTANCE_FROM_MARKET)
        order = traders.order(
            pair, side, self.params.multiple * APPETITES[pair.symbol].median_quantity, price
        )
        assert order.price is not None
        lots = pair.lots(order.quantity)
        if side is Side.BUY:
            await target.exchange.wallets.deposit(
                order.user_id, pair.quote, pair.notional_units(pair.ticks(order.price), lots)
            )
        else:
            await target.exchange.wallets.deposit(order.user_id, pair.base, pair.base_units(lots))
        start_unix_nano = target.now_ns()
        outcome = await target.load.send(order)
        end_unix_nano = target.now_ns()
        usual = [float(other.quantity) for other in target.load.recent if other.symbol == pair.symbol]
        median_quantity = statistics.median(usual) if usual else None
        ratio = float(order.quantity) / median_quantity if median_quantity else None
        return Label(
            fault_id=occurrence.fault_id,
            kind=self.kind,
            root_service=WALLET,
            root_operation="order.submit.client",
            params=self.params.model_dump(mode="json"),
            seed=occurrence.seed,
            start_unix_nano=start_unix_nano,
            end_unix_nano=end_unix_nano,
            trace_ids=[outcome.trace_id],
            expected_symptoms=[{"kind": "amount", "service": WALLET, "operation": "order.submit.client"}],
            impact_verified=outcome.accepted and ratio is not None and ratio >= self.params.multiple / 2,
            impact={
                "quantity": float(order.quantity),
                "median_quantity": median_quantity,
                "http_status": outcome.status,
                "duration_ms": round((end_unix_nano - start_unix_nano) / 1e6, 3),
            },
        )
