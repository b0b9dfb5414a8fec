"""Every kind of fault and control by its name."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator

from exchange_ref.faults.clients import GatewayDelay, RetryStorm, WalletSlowClient
from exchange_ref.faults.controls import ColdStart, DeployShift, LoadSurge, Noop, TimeOfDayShift
from exchange_ref.faults.customers import (
    AuthFailures,
    FanOutStall,
    PaymentDelay,
    PaymentFailure,
    PredictorCpu,
    RateLimitStorm,
    StreamGap,
)
from exchange_ref.faults.database import DbLock, NPlusOne, PoolExhaustion
from exchange_ref.faults.db_slow import DbSlow
from exchange_ref.faults.lasting import LastingFault
from exchange_ref.faults.market import PriceSpike, SpreadBlowout
from exchange_ref.faults.matcher import (
    ConsumerLag,
    FsyncStall,
    GcPause,
    HotSymbolContention,
    SnapshotPause,
)
from exchange_ref.faults.messages import BrokerDelay, BrokerOutage, DuplicateDelivery, ReplyLoss
from exchange_ref.faults.orders import FatFinger, WashTrade
from exchange_ref.faults.prices import SlowPriceFeed, StalePrice
from exchange_ref.faults.process import ProcessKill
from exchange_ref.faults.service import CpuHog, ErrorBurst, MemoryLeak
from exchange_ref.faults.whale_order import WhaleOrder

# What only people with accounts meet.
_OF_CUSTOMERS: Final[tuple[type[LastingFault[Any]], ...]] = (
    PaymentDelay,
    PaymentFailure,
    AuthFailures,
    RateLimitStorm,
    StreamGap,
    FanOutStall,
    PredictorCpu,
)
_LASTING: Final[tuple[type[LastingFault[Any]], ...]] = (
    DbSlow,
    DbLock,
    PoolExhaustion,
    NPlusOne,
    BrokerDelay,
    BrokerOutage,
    ConsumerLag,
    HotSymbolContention,
    GcPause,
    FsyncStall,
    SnapshotPause,
    CpuHog,
    ErrorBurst,
    RetryStorm,
    DuplicateDelivery,
    ReplyLoss,
    ProcessKill,
    SlowPriceFeed,
    StalePrice,
    GatewayDelay,
    MemoryLeak,
    WalletSlowClient,
    PriceSpike,
    SpreadBlowout,
    *_OF_CUSTOMERS,
    Noop,
    LoadSurge,
    TimeOfDayShift,
    ColdStart,
    DeployShift,
)
# Kinds that last, and take `for_s`.
LASTING: Final = {fault.kind: fault for fault in _LASTING}
# Kinds that are a few orders and no state.
MOMENTARY: Final[dict[str, type[WhaleOrder | FatFinger | WashTrade]]] = {
    fault.kind: fault for fault in (WhaleOrder, FatFinger, WashTrade)
}
CUSTOMERS: Final = frozenset(fault.kind for fault in _OF_CUSTOMERS)
CONTROLS: Final = frozenset(kind for kind, fault in LASTING.items() if fault.root_service is None)
KINDS: Final = (*LASTING, *MOMENTARY)


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"there is no fault {kind!r}; choose one of {', '.join(KINDS)}")
    return kind


KnownKind = Annotated[str, AfterValidator(_known)]
