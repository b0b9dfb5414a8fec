"""Times the pauses between tries: who calls a dead service again waits for it, although no call lasts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detectors.localise.attribution.untaken import Waiting
from detectors.localise.dead import CALLS_FAILED, Dead
from detectors.localise.traces import Traces
from detectors.stats.arrays import IntArray
from detectors.trace.self_time import NO_PARENT


def between_tries(traces: Traces, dead: Sequence[Dead], theirs: IntArray) -> list[Waiting]:
    """The spans that called a dead service again, and how long they paused before.

    Args:
        theirs: rows of the calls that surely failed because their service is dead.
    """
    start, duration = (traces.table[name].to_numpy() for name in ("start_unix_nano", "duration_ns"))
    found: list[Waiting] = []
    for service in dead:
        failed = np.intersect1d(service.rows, theirs)
        failed = failed[traces.parent[failed] != NO_PARENT]
        if service.unit != CALLS_FAILED or not len(failed):
            continue
        # Every try under the calling spans, the last too, which may get through.
        tries = np.flatnonzero(
            np.isin(traces.parent, traces.parent[failed])
            & np.isin(traces.operation, traces.operation[failed])
        )
        tries = tries[np.lexsort((start[tries], traces.operation[tries], traces.parent[tries]))]
        before, after = tries[:-1], tries[1:]
        again = (traces.parent[before] == traces.parent[after]) & np.isin(before, failed)
        again &= traces.operation[before] == traces.operation[after]
        paused = np.where(again, np.maximum(start[after] - start[before] - duration[before], 0), 0)
        waited = np.bincount(traces.parent[before], paused, minlength=len(start)).astype(np.int64)
        waited = np.minimum(waited, traces.self_time_ns)
        rows = np.flatnonzero(waited)
        taken = int(np.flatnonzero(traces.operation == service.operation)[0])
        for operation in np.unique(traces.operation[rows]).tolist():
            same = rows[traces.operation[rows] == operation]
            found.append(Waiting(same, waited[same], int(traces.service[taken]), taken))
    return found
