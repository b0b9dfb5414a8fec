"""Faults that people with accounts meet: payments, tokens, limits and streams."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from pydantic import Field

from exchange_ref.accounts.tokens import KEY_BYTES, AccessTokens
from exchange_ref.faults.impact import (
    MIN_AFFECTED,
    Impact,
    Window,
    compare,
    durations_ms,
    failures,
    trace_ids,
)
from exchange_ref.faults.lasting import LastingFault, LastingParams, Scene, attribute
from exchange_ref.faults.tasks import cancelled_at_end
from exchange_ref.telemetry.tracing import EXCHANGE, GATEWAY, WALLET

PREDICT = "POST /api/v1/predict"
# Half of what the smallest forest takes to fit, and how busy its processor is at least.
MIN_FIT_MS = 60.0
MIN_CORES = 0.1
PAYMENTS = ("POST /charges", "POST /payouts")


class _Payment(LastingFault[LastingParams]):
    """A fault of the provider, whose inside nobody sees: of our own spans, the calls to it are at fault."""

    root_service = EXCHANGE

    def symptoms(self) -> list[dict[str, str]]:
        return [{"kind": self.symptom, "service": EXCHANGE, "operation": name} for name in PAYMENTS]


class PaymentDelayParams(LastingParams):
    delay_ms: float = Field(400, gt=0, le=2_500)


class PaymentDelay(_Payment):
    """The payment provider takes its time."""

    kind = "payment_delay"
    params: PaymentDelayParams
    params_model: ClassVar[type[LastingParams]] = PaymentDelayParams
    symptom = "latency"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        delay_s = self.params.delay_ms / 1000
        with attribute(scene.exchange.payments, "delay_s", lambda: scene.around(delay_s)):
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        samples = [
            sample for name in PAYMENTS for sample in durations_ms(scene.exchange.witness, EXCHANGE, name)
        ]
        return compare(samples, window, self.params.delay_ms / 2)


class PaymentFailureParams(LastingParams):
    share: float = Field(0.7, gt=0, le=1)


class PaymentFailure(_Payment):
    """The payment provider answers 503; the payment is left pending."""

    kind = "payment_failure"
    params: PaymentFailureParams
    params_model: ClassVar[type[LastingParams]] = PaymentFailureParams
    symptom = "error"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        with attribute(scene.exchange.payments, "failing", lambda: scene.chance(self.params.share)):
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        runs = [run for name in PAYMENTS for run in scene.exchange.witness.runs(EXCHANGE, name)]
        return compare(failures(runs), window, 1)


class AuthFailures(LastingFault[LastingParams]):
    """The gateway checks tokens with another key than the one they are signed with, as after a rotation that
    reached one side only: everybody who is logged in gets a 401. `ramp_s` has no meaning here."""

    kind = "auth_failures"
    params_model: ClassVar[type[LastingParams]] = LastingParams
    root_service = GATEWAY
    symptom = "error"

    @property
    def root_operation(self) -> str | None:
        return "kong"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        other_key = AccessTokens(secrets.token_bytes(KEY_BYTES), scene.target.now_ns)
        with attribute(scene.exchange.gateway.doorman, "tokens", other_key):
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        return compare(failures(scene.exchange.witness.runs(WALLET, "GET")), window, 1)


class RateLimitStormParams(LastingParams):
    per_s: float = Field(60, ge=20, le=1_000)


class RateLimitStorm(LastingFault[RateLimitStormParams]):
    """Somebody's script pays in small sums in a loop, faster than a user may: 429 upon 429."""

    kind = "rate_limit_storm"
    params_model: ClassVar[type[LastingParams]] = RateLimitStormParams
    root_service = WALLET
    symptom = "error"

    @property
    def root_operation(self) -> str | None:
        return "POST"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        customers = scene.target.load.customers

        async def loop() -> None:
            while customers is not None:
                customers.pay_soon(customers.people[0], 1)
                await asyncio.sleep(1 / self.params.per_s)

        async with cancelled_at_end(loop()):
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        return compare(failures(scene.exchange.witness.runs(WALLET, "POST")), window, 1)


class PredictorCpuParams(LastingParams):
    trees: int = Field(200, ge=50, le=1_000)


class PredictorCpu(LastingFault[PredictorCpuParams]):
    """Price models are larger than they have to be, and are fitted anew for each question instead of once a
    minute: the predictor computes all the time, and who asks waits for it. `ramp_s` has no meaning here."""

    kind = "predictor_cpu"
    params_model: ClassVar[type[LastingParams]] = PredictorCpuParams
    root_service = EXCHANGE
    symptom = "latency"

    @property
    def root_operation(self) -> str | None:
        return "predict.fit"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        predictor = scene.exchange.predictor
        before_s = predictor.cpu_s
        with attribute(predictor, "trees", self.params.trees), attribute(predictor, "keeps_models", False):
            yield
        scene.notes["cpu_s"] = predictor.cpu_s - before_s

    def measure(self, scene: Scene, window: Window) -> Impact:
        cores = scene.notes["cpu_s"] / self.for_s
        asked = compare(durations_ms(scene.exchange.witness, EXCHANGE, PREDICT), window, MIN_FIT_MS)
        figures: dict[str, object] = {**asked.figures, "cores": round(cores, 3)}
        return Impact(asked.verified and cores >= MIN_CORES, asked.trace_ids, figures)


class StreamGapParams(LastingParams):
    share: float = Field(0.3, gt=0, le=1)


class StreamGap(LastingFault[StreamGapParams]):
    """Messages of the depth streams get lost on their way out: readers see the gap and begin anew."""

    kind = "stream_gap"
    params_model: ClassVar[type[LastingParams]] = StreamGapParams
    root_service = GATEWAY
    symptom = "count"

    @property
    def root_operation(self) -> str | None:
        return "GET /ws"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        with attribute(scene.exchange.streams, "losing", lambda: scene.chance(self.params.share)):
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        customers = scene.target.load.customers
        gaps = [at for customer in customers.people for at in customer.gaps] if customers is not None else []
        during, before = sum(at in window for at in gaps), sum(map(window.is_usual, gaps))
        opened = [
            run.trace_id
            for run in scene.exchange.witness.runs(GATEWAY, "GET /ws")
            if run.start_unix_nano in window
        ]
        figures: dict[str, object] = {"gaps_before": before, "gaps_during": during, "opened": len(opened)}
        return Impact(during >= MIN_AFFECTED and during > 3 * before, trace_ids(opened), figures)


class FanOutStallParams(LastingParams):
    hold_ms: float = Field(600, gt=200, le=10_000)


class FanOutStall(LastingFault[FanOutStallParams]):
    """What sends the streams waits for something each time: everybody's book is old, and no span is slow."""

    kind = "fan_out_stall"
    params_model: ClassVar[type[LastingParams]] = FanOutStallParams
    root_service = GATEWAY
    symptom = "staleness"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        async def hold() -> None:
            await asyncio.sleep(scene.around(self.params.hold_ms / 1000))

        with attribute(scene.exchange.streams, "holding", hold):
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        customers = scene.target.load.customers
        waits = [
            (later, (later - earlier) / 1e6)
            for customer in (customers.people if customers is not None else [])
            for earlier, later in itertools.pairwise(customer.messages)
        ]
        before = [wait_ms for at, wait_ms in waits if window.is_usual(at)]
        during = [wait_ms for at, wait_ms in waits if at in window]
        if not before or not during:
            return Impact(False, [], {"messages_before": len(before), "messages_during": len(during)})
        figures: dict[str, object] = {
            "median_before": round(statistics.median(before), 3),
            "median_during": round(statistics.median(during), 3),
        }
        longer = statistics.median(during) - statistics.median(before) >= self.params.hold_ms / 3
        return Impact(longer, [], figures)
