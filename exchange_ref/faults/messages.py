"""Faults of messages between services: late, lost or delivered twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from exchange_ref.broker.message import ORDERS_QUEUE, REPLIES_QUEUE
from exchange_ref.faults.impact import (
    Impact,
    Window,
    compare,
    counts,
    durations_ms,
    failures,
    gaps_ms,
    trace_ids,
)
from exchange_ref.faults.lasting import LastingFault, LastingParams, Scene, attribute, item
from exchange_ref.telemetry.tracing import EXCHANGE, MATCHER


class BrokerDelayParams(LastingParams):
    delay_ms: float = Field(100, gt=0, le=4_000)


class BrokerDelay(LastingFault[BrokerDelayParams]):
    """The broker takes messages at once and delivers them late: no span is slow, the wait between two is."""

    kind = "broker_delay"
    params_model: ClassVar[type[LastingParams]] = BrokerDelayParams
    root_service = EXCHANGE
    symptom = "message_wait"

    @property
    def root_operation(self) -> str | None:
        return "publish <default>"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        hold = item(
            scene.exchange.link.hold_s, ORDERS_QUEUE, lambda: scene.around(self.params.delay_ms / 1000)
        )
        with hold:
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        witness = scene.exchange.witness
        gaps = gaps_ms(witness.runs(EXCHANGE, "publish <default>"), witness.runs(MATCHER, "order.match"))
        return compare(gaps, window, self.params.delay_ms / 2)


class BrokerOutageParams(LastingParams):
    """`ramp_s` has no meaning here: a broker is there or not."""


class BrokerOutage(LastingFault[BrokerOutageParams]):
    """The broker is stopped in mid-load and started again. Who publishes waits for it and gives up after 8 s;
    replies that were on their way come late or not at all."""

    kind = "broker_outage"
    params_model: ClassVar[type[LastingParams]] = BrokerOutageParams
    root_service = EXCHANGE
    symptom = "latency"

    @property
    def root_operation(self) -> str | None:
        return "publish <default>"

    def symptoms(self) -> list[dict[str, str]]:
        operations = ("publish <default>", "payment_response process")
        kinds = ("latency", "error")
        return [
            {"kind": kind, "service": EXCHANGE, "operation": operation}
            for kind, operation in zip(kinds, operations, strict=True)
        ]

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        server = scene.exchange.broker_server
        scene.begin()
        await server.stop()
        try:
            yield
        finally:
            await server.start()
            scene.end()

    def measure(self, scene: Scene, window: Window) -> Impact:
        witness = scene.exchange.witness
        down_ms = (window.end_unix_nano - window.start_unix_nano) / 1e6
        impact = compare(durations_ms(witness, EXCHANGE, "publish <default>"), window, down_ms / 10)
        lost = [run for run in witness.runs(EXCHANGE, "payment_response process") if run.failed]
        unanswered = [run for run in lost if run.start_unix_nano in window]
        met = dict.fromkeys([*impact.trace_ids, *trace_ids(run.trace_id for run in unanswered)])
        return replace(impact, trace_ids=list(met), figures={**impact.figures, "unanswered": len(unanswered)})


class DuplicateDeliveryParams(LastingParams):
    share: float = Field(0.5, gt=0, le=1)


class DuplicateDelivery(LastingFault[DuplicateDeliveryParams]):
    """Orders arrive twice at the matcher, which executes them once."""

    kind = "duplicate_delivery"
    params_model: ClassVar[type[LastingParams]] = DuplicateDeliveryParams
    root_service = MATCHER
    symptom = "count"

    @property
    def root_operation(self) -> str | None:
        return "order.match"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        twice = item(
            scene.exchange.link.repeat,
            ORDERS_QUEUE,
            lambda: scene.chance(self.params.share),
        )
        with twice:
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        return compare(counts(scene.exchange.witness.runs(MATCHER, "order.match")), window, 1)


class ReplyLossParams(LastingParams):
    share: float = Field(0.3, gt=0, le=1)
    timeout_ms: float = Field(1_500, gt=0, le=8_000)


class ReplyLoss(LastingFault[ReplyLossParams]):
    """Replies of the matcher never arrive: the order is executed, and its sender waits until the time-out."""

    kind = "reply_loss"
    params_model: ClassVar[type[LastingParams]] = ReplyLossParams
    root_service = EXCHANGE
    symptom = "error"

    @property
    def root_operation(self) -> str | None:
        return "payment_response process"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        impatient = attribute(scene.exchange.matcher_client, "reply_timeout_s", self.params.timeout_ms / 1000)
        lost = item(
            scene.exchange.link.lose,
            REPLIES_QUEUE,
            lambda: scene.chance(self.params.share),
        )
        with impatient, lost:
            yield

    def measure(self, scene: Scene, window: Window) -> Impact:
        runs = scene.exchange.witness.runs(EXCHANGE, "payment_response process")
        return compare(failures(runs), window, 1)
