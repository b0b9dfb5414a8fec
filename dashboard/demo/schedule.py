"""The demo's schedule of faults: quiet first, so that a baseline exists, then one fault at a time."""

from __future__ import annotations

from pathlib import Path

import yaml

from collector.errors import InvalidInput

SHORTEST_RUN_S = 35.0
# At 50 orders/s some hundred samples of every operation: enough for a baseline that is ready.
LEARN_S = 14.0
SLOW_FOR_S = 6.0
SLOW_DELAY_MS = 150
# An incident closes its window before the next fault begins, and traces in flight have ended.
QUIET_S = 6.0
# A fault needs this long before the end to be seen, grouped and explained.
LAST_CALL_S = 9.0
WHALE_MULTIPLE = 400
# Without an end the faults come round again and again, for as long as anybody watches.
ENDLESS_S = 12 * 3600.0
REST_S = 30.0


def plan(run_s: float | None, seed: int) -> dict[str, object]:
    """The exchange's fault schedule for a run of `run_s` seconds (None: until stopped).

    Raises:
        InvalidInput: the run is too short to learn a baseline and to inject both faults.
    """
    if run_s is not None and run_s < SHORTEST_RUN_S:
        raise InvalidInput(
            f"a demo of {run_s:g} s is too short to learn what is normal",
            hint=f"give --for at least {SHORTEST_RUN_S:.0f}s",
        )
    end_s = ENDLESS_S if run_s is None else run_s
    faults: list[dict[str, object]] = []
    at_s = LEARN_S
    while at_s + SLOW_FOR_S + LAST_CALL_S <= end_s:
        faults.append(
            {"kind": "db_slow", "at_s": at_s, "for_s": SLOW_FOR_S, "params": {"delay_ms": SLOW_DELAY_MS}}
        )
        at_s += SLOW_FOR_S + QUIET_S
        if at_s + LAST_CALL_S > end_s:
            break
        faults.append({"kind": "whale_order", "at_s": at_s, "params": {"multiple": WHALE_MULTIPLE}})
        at_s += QUIET_S + REST_S
    return {"seed": seed, "faults": faults}


def write(path: Path, schedule: dict[str, object]) -> None:
    path.write_text(yaml.safe_dump(schedule, sort_keys=False), encoding="utf-8")
