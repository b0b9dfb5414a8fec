"""Changes that are no faults: whoever raises an alarm at one of these is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from pydantic import Field

from exchange_ref.faults.impact import USUAL_FOR_NS, Impact, Window
from exchange_ref.faults.lasting import LastingFault, LastingParams, Scene
from exchange_ref.telemetry import SERVICE_VERSION, SERVICES


class Noop(LastingFault[LastingParams]):
    """Nothing at all."""

    kind = "noop"
    params_model: ClassVar[type[LastingParams]] = LastingParams
    root_service = None
    symptom = ""

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        return Impact(verified=True)


class LoadSurgeParams(LastingParams):
    factor: float = Field(2, gt=1, le=20)


class LoadSurge(LastingFault[LoadSurgeParams]):
    """More orders than usual, and well within what the exchange can do."""

    kind = "load_surge"
    params_model: ClassVar[type[LastingParams]] = LoadSurgeParams
    root_service = None
    symptom = ""

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        load = scene.target.load
        usual_per_s = load.rate_per_s
        load.rate_per_s = usual_per_s * self.params.factor
        scene.notes["expected_ratio"] = self.params.factor
        try:
            yield
        finally:
            load.rate_per_s = usual_per_s

    def measure(self, scene: Scene, window: Window) -> Impact:
        return _rate_changed(scene, window)


class TimeOfDayShiftParams(LastingParams):
    """Night: a `rate_factor` of the orders, smaller ones, and more of the pair that is traded elsewhere."""

    rate_factor: float = Field(0.5, gt=0, lt=1)
    size_factor: float = Field(0.6, gt=0, le=1)


class TimeOfDayShift(LastingFault[TimeOfDayShiftParams]):
    """Other people are awake: fewer orders, of other sizes, of other pairs."""

    kind = "time_of_day_shift"
    params_model: ClassVar[type[LastingParams]] = TimeOfDayShiftParams
    root_service = None
    symptom = ""

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        load, traders = scene.target.load, scene.target.load.traders
        rate_per_s, size_factor, shares = load.rate_per_s, traders.size_factor, traders.shares
        load.rate_per_s = rate_per_s * self.params.rate_factor
        traders.size_factor = size_factor * self.params.size_factor
        traders.shares = {"BTC/USD": 0.3, "ETH/USD": 0.3, "SOL/USD": 0.4}
        scene.notes["expected_ratio"] = self.params.rate_factor
        try:
            yield
        finally:
            load.rate_per_s, traders.size_factor, traders.shares = rate_per_s, size_factor, shares

    def measure(self, scene: Scene, window: Window) -> Impact:
        return _rate_changed(scene, window)


class ColdStart(LastingFault[LastingParams]):
    """Connections and their caches are gone, as after a restart; the next requests open new ones."""

    kind = "cold_start"
    params_model: ClassVar[type[LastingParams]] = LastingParams
    root_service = None
    symptom = ""

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        exchange = scene.exchange
        exchange.database.pool.forget()
        await exchange.front_client.close()
        await exchange.upstream.close()
        yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        return Impact(verified=True)


class DeployShiftParams(LastingParams):
    version: str = Field("0.2.0", min_length=1, max_length=40)


class DeployShift(LastingFault[DeployShiftParams]):
    """A new version of every service that does the same as the old one; at the end it is rolled back."""

    kind = "deploy_shift"
    params_model: ClassVar[type[LastingParams]] = DeployShiftParams
    root_service = None
    symptom = ""

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        self._deploy(scene, self.params.version)
        try:
            yield
        finally:
            self._deploy(scene, SERVICE_VERSION)

    def measure(self, scene: Scene, window: Window) -> Impact:
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
