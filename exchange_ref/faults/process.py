"""A process dies in mid-load and is started again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import ClassVar

from exchange_ref.faults.impact import Impact, Window, compare, passages_ms
from exchange_ref.faults.lasting import LastingFault, LastingParams, Scene
from exchange_ref.telemetry.tracing import EXCHANGE, MATCHER


class ProcessKillParams(LastingParams):
    """`for_s` is how long the process is dead; reading its journal comes on top. `ramp_s` has no meaning."""


class ProcessKill(LastingFault[ProcessKillParams]):
    """kx-matcher is killed (SIGKILL) while it has an order, and started again. Commands wait in the queue;
    the new process rebuilds books and balances from the journal and gets the order once more.

    For this, the matcher moves out of the exchange's process before, and back behind it.
    """

    kind = "process_kill"
    params_model: ClassVar[type[LastingParams]] = ProcessKillParams
    root_service = MATCHER
    symptom = "message_wait"

    @property
    def root_operation(self) -> str | None:
        return "order.match"

    @asynccontextmanager
    async def happening(self, scene: Scene) -> AsyncIterator[None]:
        exchange = scene.exchange
        supervisor = exchange.matcher_supervisor()
        scene.notes["moving_unix_nano"] = float(scene.target.now_ns())
        await supervisor.prepare()
        try:
            await exchange.matcher.hand_over(supervisor.go, supervisor.handle)
            scene.notes["pid_before"] = float(supervisor.pid or 0)
            scene.begin()
            await supervisor.kill()
            try:
                yield
            finally:
                await supervisor.restart()
                scene.end()
                scene.notes["pid_after"] = float(supervisor.pid or 0)
        finally:
            await exchange.matcher.take_back(supervisor.end)

    def measure(self, scene: Scene, window: Window) -> Impact:
        witness = scene.exchange.witness
        dead_ms = (window.end_unix_nano - window.start_unix_nano) / 1e6
        published, matched = witness.runs(EXCHANGE, "publish <default>"), witness.runs(MATCHER, "order.match")
        # Orders that waited while the matcher moved are not usual, and not of the kill either.
        moving = Window(int(scene.notes["moving_unix_nano"]), window.start_unix_nano)
        alive = replace(window, others=(*window.others, moving))
        impact = compare(passages_ms(published, matched), alive, dead_ms / 10)
        replaced = scene.notes["pid_before"] != scene.notes["pid_after"]
        figures = {**impact.figures, "dead_ms": round(dead_ms, 1)}
        return Impact(impact.verified and replaced, impact.trace_ids, figures)
