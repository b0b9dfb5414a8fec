"""Ranks root causes of an incident, each with the spans and figures that support it.

Evidence comes from sources that know nothing of each other, one a file in `evidence`, and is weighed in
`rank`: `self_time` and `edge_time` (how much slower than usual, on the log scale), `time_share` (who holds
the time that was lost), `errors`, `structure`, `repeats` and `logs` (what an operation usually does and now
does not, or the reverse), `values` and `differences` (what spans carry, and which attributes set the bad
traces apart).
"""

from __future__ import annotations

from detectors.localise.evidence.amount import localise_amount
from detectors.localise.rank import SOURCES, Analysis, analyse, localise
from detectors.localise.traces import USUAL_TRACES_MAX, Traces, Usual

__all__ = [
    "SOURCES",
    "USUAL_TRACES_MAX",
    "Analysis",
    "Traces",
    "Usual",
    "analyse",
    "localise",
    "localise_amount",
]
