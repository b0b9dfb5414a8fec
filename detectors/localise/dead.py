"""A service that does not answer: it has no spans, so others say so (`unanswered`, `unheard`)."""

from __future__ import annotations

from dataclasses import dataclass

from detectors.stats.arrays import IntArray

CALLS_FAILED, SPANS_WITHOUT, SPANS_IN_VAIN = "errors/call", "spans without it", "spans in vain"


@dataclass(frozen=True, slots=True)
class Dead:
    """
    operation: index into `Traces.keys` of what usually answered.
    rows: the calls that failed, or the spans that lack it.
    where: its address; of what is missed without calls, inside what it is.
    share: of the calls; z: the certainty that this is new.
    unit: what that share is of: calls that failed, spans that lack it, or spans that gave up waiting for it.
    """

    operation: int
    rows: IntArray
    where: str
    share: float
    z: float
    unit: str = CALLS_FAILED
