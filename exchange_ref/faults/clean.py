"""Checks that a control was quiet: speed, failures and spans a trace of every operation, before and during.

A machine that somebody else uses stalls now and then, and one stall slows whatever is under way. So a slow
operation counts only when it is slow over the whole time, not in a moment of it.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from exchange_ref.faults.impact import Sample, Window, counts, failures
from exchange_ref.telemetry.span_witness import Run, SpanWitness

# The time of a control is cut into this many parts; an operation is slow when it is slow in most of them.
PARTS = 5
# A median that is so many times as long as before, and so much longer, is another speed. In ten controls
# beside other work on the machine, medians of single operations grew to 1.3 times, after a cold start to 1.9
# times, and in a surge of 2.7 times the orders to 2.5 times and by 1.9 ms.
SLOWER_TIMES = 3.0
SLOWER_MS = 5.0
# Failures beyond this share of an operation's spans were not there by chance.
FAILED_SHARE = 0.05
MIN_SAMPLES = 8


def disturbances(witness: SpanWitness, window: Window) -> list[str]:
    """What changed, as `symptom service operation`; empty for a quiet time."""
    found = []
    for (service, operation), runs in sorted(witness.all_runs().items()):
        place = f"{service} {operation}"
        durations = [
            Sample(run.trace_id, run.start_unix_nano, (run.end_unix_nano - run.start_unix_nano) / 1e6)
            for run in runs
        ]
        if _slower(durations, window):
            found.append(f"latency {place}")
        if _grew(failures(runs), window, FAILED_SHARE):
            found.append(f"error {place}")
        if _grew(_repeats(runs), window, FAILED_SHARE):
            found.append(f"count {place}")
    return found


def _slower(samples: Sequence[Sample], window: Window) -> bool:
    before = [sample.value for sample in samples if window.is_usual(sample.at_unix_nano)]
    during = [sample for sample in samples if sample.at_unix_nano in window]
    if len(before) < MIN_SAMPLES or len(during) < MIN_SAMPLES:
        return False
    usual_ms = statistics.median(before)
    limit_ms = max(SLOWER_TIMES * usual_ms, usual_ms + SLOWER_MS)
    part_ns = (window.end_unix_nano - window.start_unix_nano) / PARTS
    parts: dict[int, list[float]] = {}
    for sample in during:
        parts.setdefault(int((sample.at_unix_nano - window.start_unix_nano) / part_ns), []).append(
            sample.value
        )
    slow = sum(statistics.median(values) > limit_ms for values in parts.values())
    return slow > len(parts) / 2


def _grew(samples: Sequence[Sample], window: Window, share: float) -> bool:
    """Whether more samples are above zero than before, by `share` of them and at least three."""
    before = [sample.value > 0 for sample in samples if window.is_usual(sample.at_unix_nano)]
    during = [sample.value > 0 for sample in samples if sample.at_unix_nano in window]
    if len(during) < MIN_SAMPLES:
        return False
    usual = sum(before) / len(before) if before else 0.0
    return sum(during) >= 3 and sum(during) / len(during) > usual + share


def _repeats(runs: Sequence[Run]) -> list[Sample]:
    """The number of surplus spans of an operation in each trace."""
    return [sample._replace(value=sample.value - 1) for sample in counts(runs)]
