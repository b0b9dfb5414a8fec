"""Changes that are no faults: an alarm at one of these is a false alarm."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import ClassVar, TypeVar

from pydantic import Field

from exchange_ref.faults.clean import disturbances
from exchange_ref.faults.impact import USUAL_FOR_NS, Impact, Window
from exchange_ref.faults.lasting import LastingFault, LastingParams, Scene, item
from exchange_ref.telemetry.tracing import SERVICE_VERSION, SERVICES

C = TypeVar("C", bound=LastingParams)


class Control(LastingFault[C]):
    """Verified when the change is really there; `clean` in its impact says that nothing else changed."""

    root_service = None
    symptom = ""

    def measure(self, scene: Scene, window: Window) -> Impact:
        change = self.changed(scene, window)
        disturbed = disturbances(scene.exchange.witness, window)
        return replace(change, figures={**change.figures, "clean": not disturbed, "disturbed": disturbed})

    def changed(self, scene: Scene, window: Window) -> Impact:
        """Whether the change was there; what cannot be measured was."""
        return Impact(verified=True)


class Noop(Control[LastingParams]):
    """Nothing at all."""

    kind = "noop"
    params_model: ClassVar[type[LastingParams]] = LastingParams

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        yield


class LoadSurgeParams(LastingParams):
    factor: float = Field(2, gt=1, le=20)


class LoadSurge(Control[LoadSurgeParams]):
    """More orders than usual, and well within what the exchange can do."""

    kind = "load_surge"
    params_model: ClassVar[type[LastingParams]] = LoadSurgeParams

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        scene.notes["expected_ratio"] = self.params.factor
        with item(scene.target.load.factors, self.kind, self.params.factor):
            yield

    def changed(self, scene: Scene, window: Window) -> Impact:
        return _rate_changed(scene, window)


class TimeOfDayShiftParams(LastingParams):
    """Night: a `rate_factor` of the orders, smaller ones, and more of the pair that is traded elsewhere."""

    rate_factor: float = Field(0.5, gt=0, lt=1)
    size_factor: float = Field(0.6, gt=0, le=1)


class TimeOfDayShift(Control[TimeOfDayShiftParams]):
    """Traders of another time zone: fewer orders, of other sizes, of other pairs."""

    kind = "time_of_day_shift"
    params_model: ClassVar[type[LastingParams]] = TimeOfDayShiftParams

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        load, traders = scene.target.load, scene.target.load.traders
        shares = traders.shares
        traders.size_factor *= self.params.size_factor
        traders.shares = {"BTC/USD": 0.3, "ETH/USD": 0.3, "SOL/USD": 0.4}
        scene.notes["expected_ratio"] = self.params.rate_factor
        try:
            with item(load.factors, self.kind, self.params.rate_factor):
                yield
        finally:
            traders.size_factor /= self.params.size_factor
            traders.shares = shares

    def changed(self, scene: Scene, window: Window) -> Impact:
        return _rate_changed(scene, window)


class ColdStart(Control[LastingParams]):
    """Connections and their caches are gone, as after a restart; the next requests open new ones."""

    kind = "cold_start"
    params_model: ClassVar[type[LastingParams]] = LastingParams

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        exchange = scene.exchange
        exchange.database.pool.forget()
        await exchange.front_client.close()
        await exchange.upstream.close()
        yield


class DeployShiftParams(LastingParams):
    version: str = Field("0.2.0", min_length=1, max_length=40)


class DeployShift(Control[DeployShiftParams]):
    """A new version of every service that does the same as the old one; at the end it is rolled back."""

    kind = "deploy_shift"
    params_model: ClassVar[type[LastingParams]] = DeployShiftParams

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        self._deploy(scene, self.params.version)
        try:
            yield
        finally:
            self._deploy(scene, SERVICE_VERSION)

    def changed(self, scene: Scene, window: Window) -> Impact:
        return Impact(verified=True, figures={"version": self.params.version})

    def _deploy(self, scene: Scene, version: str) -> None:
        for service in SERVICES:
            scene.exchange.telemetry.deploy(service, version)


def _rate_changed(scene: Scene, window: Window) -> Impact:
    """Whether orders really came at another rate."""
    starts = [outcome.start_unix_nano for _, outcome in scene.target.load.answered]
    earliest = max(min(starts, default=0), window.start_unix_nano - USUAL_FOR_NS)
    before = sum(earliest <= start < window.start_unix_nano for start in starts)
    during = sum(window.start_unix_nano <= start <= window.end_unix_nano for start in starts)
    before_s = (window.start_unix_nano - earliest) / 1e9
    during_s = (window.end_unix_nano - window.start_unix_nano) / 1e9
    if not before or not during_s:
        return Impact(verified=False)
    ratio = (during / during_s) / (before / before_s)
    expected = scene.notes["expected_ratio"]
    verified = ratio > (1 + expected) / 2 if expected > 1 else ratio < (1 + expected) / 2
    return Impact(verified, [], {"rate_ratio": round(ratio, 3), "expected_ratio": expected})
