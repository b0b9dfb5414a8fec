"""The base of faults that last for a while: they begin, grow, end, and are measured."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from exchange_ref.engine.instruments import PAIRS
from exchange_ref.faults.fault import SETTLE_TIMEOUT_S, Occurrence, Target
from exchange_ref.faults.impact import Impact, Window
from exchange_ref.faults.labels import Label
from exchange_ref.load.arrivals import wait_for_event


class LastingParams(BaseModel):
    """`ramp_s`: the fault grows from nothing to its full strength in this time."""

    model_config = ConfigDict(extra="forbid")

    ramp_s: float = Field(0, ge=0, le=3_600)


NOT_OVER_UNIX_NANO = 2**63 - 1

P = TypeVar("P", bound=LastingParams)
T = TypeVar("T")


class Scene:
    """Where and how strongly a fault happens.

    Args:
        now_s: a clock that only goes forward.
    """

    def __init__(
        self, target: Target, occurrence: Occurrence, ramp_s: float, now_s: Callable[[], float]
    ) -> None:
        self.target = target
        self.exchange = target.exchange
        self.rng: random.Random = occurrence.rng
        # Observations of `happening`, for `measure`.
        self.notes: dict[str, float] = {}
        self.start_unix_nano: int | None = None
        self.end_unix_nano: int | None = None
        self._ramp_s = ramp_s
        self._now_s = now_s
        self._started_s = now_s()

    def begin(self) -> None:
        """The fault begins now, and not when `happening` has been entered."""
        self.start_unix_nano = self.target.now_ns()

    def end(self) -> None:
        """The fault ends now, and not when `happening` is left."""
        self.end_unix_nano = self.target.now_ns()

    def level(self) -> float:
        """From 0 to 1: how far the fault has grown."""
        return min(1.0, (self._now_s() - self._started_s) / self._ramp_s) if self._ramp_s else 1.0

    def chance(self, share: float) -> bool:
        """True for so large a share of the calls, at the present level."""
        return self.rng.random() < share * self.level()

    def ticks(self, symbol: str, price: float) -> float:
        """`price` in ticks of the pair, not rounded."""
        return price / float(PAIRS[symbol].tick)

    def around(self, value: float, spread: float = 0.2) -> float:
        """`value` at the present level, give or take `spread` of it, as nothing real is exact."""
        return value * self.level() * self.rng.uniform(1 - spread, 1 + spread)


@dataclass(frozen=True)
class LastingFault(Generic[P]):
    """One kind is one subclass: what happens between begin and end, and how its effect is measured."""

    params: P
    for_s: float

    kind: ClassVar[str]
    params_model: ClassVar[type[LastingParams]]
    # The service at fault; None for a control, where nothing is.
    root_service: ClassVar[str | None]
    # What an observer should find: "latency", "error", "count", "message_wait", "memory", "price", "spread",
    # "staleness".
    symptom: ClassVar[str]

    @property
    def root_operation(self) -> str | None:
        """The span name at fault; None when there is not one."""
        return None

    def symptoms(self) -> list[dict[str, str]]:
        """`{kind, service, operation}` of what an observer should find."""
        if self.root_service is None:
            return []
        found = {"kind": self.symptom, "service": self.root_service}
        return [{**found, "operation": self.root_operation} if self.root_operation else found]

    def happening(self, scene: Scene) -> AbstractAsyncContextManager[None]:
        """Begin on entry, end on exit, leaving nothing behind."""
        raise NotImplementedError

    def measure(self, scene: Scene, window: Window) -> Impact:
        raise NotImplementedError

    async def run(self, target: Target, occurrence: Occurrence, stop: asyncio.Event) -> Label:
        loop = asyncio.get_running_loop()
        scene = Scene(target, occurrence, self.params.ramp_s, loop.time)
        async with self.happening(scene):
            begun_unix_nano = target.now_ns()
            place = len(target.windows)
            target.windows.append(Window(begun_unix_nano, NOT_OVER_UNIX_NANO))
            await wait_for_event(stop, self.for_s)
            ended_unix_nano = target.now_ns()
        start_unix_nano = scene.start_unix_nano or begun_unix_nano
        end_unix_nano = scene.end_unix_nano or ended_unix_nano
        await target.load.settle(SETTLE_TIMEOUT_S)
        others = tuple(window for number, window in enumerate(target.windows) if number != place)
        # What queued up behind the fault is over now too.
        target.windows[place] = Window(start_unix_nano, target.now_ns())
        impact = self.measure(scene, Window(start_unix_nano, end_unix_nano, others))
        return Label(
            fault_id=occurrence.fault_id,
            kind=self.kind,
            root_service=self.root_service,
            root_operation=self.root_operation,
            params={**self.params.model_dump(mode="json"), "for_s": self.for_s},
            seed=occurrence.seed,
            start_unix_nano=start_unix_nano,
            end_unix_nano=end_unix_nano,
            trace_ids=impact.trace_ids,
            expected_symptoms=self.symptoms(),
            impact_verified=impact.verified,
            impact=impact.figures,
        )


@contextmanager
def attribute(owner: object, name: str, value: object) -> Iterator[None]:
    """`owner.name` is `value` inside the block, and what it was before behind it."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def entry(things: list[T], thing: T) -> Iterator[None]:
    """`thing` is one of `things` inside the block."""
    things.append(thing)
    try:
        yield
    finally:
        things.remove(thing)


@contextmanager
def item(things: dict[str, T], key: str, thing: T) -> Iterator[None]:
    """`things[key]` is `thing` inside the block, and what it was before behind it."""
    before = things.get(key)
    things[key] = thing
    try:
        yield
    finally:
        if before is None:
            del things[key]
        else:
            things[key] = before
