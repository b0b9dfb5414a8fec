"""Finds the span that failed first: the deepest failed span of a call, followed to the end that knows why.

- A failure that a child has too is only passed on. An exception that a span recorded counts as one.
- By convention the server span of a 4xx has no status ERROR, and its client span has: a failing client span
  whose server span carries the same status code stands for that one (OpenTelemetry, HTTP spans, Status).
- A service that is dead has no spans: calls that fail without an answer may be its own (`unanswered`), and so
  may failures of what always called it (`unheard`).
- A type of exception that an operation never raised is unseen by Good-Turing: the chance of an unseen one is
  (f₁ + 1) / (n + 1), with n usual spans and f₁ types that were seen once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import ndtri

from detectors.localise.attribution.untaken import Untaken, Waiting
from detectors.localise.behaviour import BEYOND_CHANCE_Z, signed_root
from detectors.localise.carried import Carried
from detectors.localise.dead import SPANS_IN_VAIN, Dead
from detectors.localise.traces import Traces
from detectors.localise.tries import between_tries
from detectors.localise.unanswered import unanswered
from detectors.localise.unheard import unheard
from detectors.stats.arrays import BoolArray, IntArray
from detectors.trace.self_time import NO_PARENT

_HTTP_STATUS = ("http.response.status_code", "http.status_code")
_REFUSED = 400
_LEAST_Z = 2.0  # the failure is known already; this decides whose failure it is
_STATUS = (*_HTTP_STATUS, "rpc.grpc.status_code")
_EXCEPTION, _MESSAGE = ("exception.type",), ("exception.message",)


@dataclass(frozen=True, slots=True)
class Failures:
    """Rows into `Traces`.

    rows: of the spans that failed first, each once. exceptions: the type that each raised; "" without.
    messages: by row what the exception said.
    unseen: by (operation, type) the σ of a type that the operation never raised.
    dead: services that no longer answer; the calls to them are not in `rows` where they surely are theirs.
    theirs: the rows of these; waiting: spans that called them again after a pause.
    """

    rows: IntArray
    exceptions: list[str]
    messages: dict[int, str]
    unseen: dict[tuple[int, str], float]
    dead: list[Dead]
    theirs: IntArray
    waiting: list[Waiting]

    @classmethod
    def of(cls, traces: Traces, carried: Carried, away: Untaken) -> Failures:
        raised = carried.texts(_EXCEPTION)
        rows = _deepest(traces, _erroneous(traces, raised))
        dead, theirs = unanswered(traces, carried, rows)
        messages = carried.texts(_MESSAGE)
        lost, also_theirs = unheard(traces, rows, _said(traces, rows, raised, messages))
        gone, in_vain = _waited_in_vain(traces, rows, away)
        waiting = between_tries(traces, dead, theirs)
        theirs = np.unique([*theirs, *also_theirs, *in_vain]).astype(np.int64)
        rows = np.setdiff1d(rows, theirs)
        rows = np.unique(_answered(traces, carried, rows))
        exceptions = [raised.get(row, "") for row in rows.tolist()]
        unseen = _unseen(traces, rows, exceptions)
        return cls(rows, exceptions, messages, unseen, [*dead, *lost, *gone], theirs, waiting)


def _said(
    traces: Traces, rows: IntArray, raised: Mapping[int, str], messages: Mapping[int, str]
) -> dict[int, str]:
    """By row, what a failed span says of itself: type and message of its exception, its status."""
    statuses = traces.table["status_message"].take(pa.array(rows)).to_pylist()
    parts = zip(rows.tolist(), statuses, strict=True)
    said = {row: " ".join(filter(None, (raised.get(row), messages.get(row), text))) for row, text in parts}
    return {row: text for row, text in said.items() if text}


def failing_spans(traces: Traces, carried: Carried) -> BoolArray:
    """Marks the spans that failed or that answered with an HTTP status of 400 and above."""
    failing = _erroneous(traces, carried.texts(_EXCEPTION))
    codes = carried.texts(_HTTP_STATUS)
    failing[[row for row, code in codes.items() if code.isdecimal() and int(code) >= _REFUSED]] = True
    return failing


def _erroneous(traces: Traces, raised: Iterable[int]) -> BoolArray:
    failing: BoolArray = pc.equal(traces.table["status_code"], "ERROR").to_numpy(zero_copy_only=False).copy()
    failing[list(raised)] = True
    return failing


def _deepest(traces: Traces, failing: BoolArray) -> IntArray:
    rows = np.flatnonzero(failing)
    passes_on = np.zeros(len(failing), dtype=np.bool_)
    above = traces.parent[rows]
    passes_on[above[above != NO_PARENT]] = True
    return rows[~passes_on[rows]]


def _waited_in_vain(traces: Traces, rows: IntArray, away: Untaken) -> tuple[list[Dead], list[int]]:
    """Services for whose return failed spans waited, and these spans."""
    found: list[Dead] = []
    theirs: list[int] = []
    for waiting in away.waiting:
        lost = np.intersect1d(waiting.rows, rows)
        if not len(lost):
            continue
        theirs += lost.tolist()
        same = traces.operation == traces.operation[lost[0]]
        failed = np.zeros(len(same), dtype=np.bool_)
        failed[rows] = True
        now, usual = same & traces.incident, same & ~traces.incident
        counts = (len(lost), now.sum(), (failed & usual).sum(), usual.sum())
        z = min(float(signed_root(*(np.array([n]) for n in counts))[0]), BEYOND_CHANCE_Z)
        if z >= _LEAST_Z:
            caller = traces.keys[int(traces.operation[lost[0]])]
            where = f"while {caller.operation} in {caller.service_name} waits for it"
            operation = int(traces.operation[waiting.taken])
            share = len(lost) / int(now.sum())
            found.append(Dead(operation, lost, where, share, z, unit=SPANS_IN_VAIN))
    return found, theirs


def _answered(traces: Traces, carried: Carried, rows: IntArray) -> IntArray:
    """Each row, or the server span below it that answered with the same status code."""
    codes = carried.texts(_STATUS)
    answers: dict[int, int] = {}
    below = np.flatnonzero(np.isin(traces.parent, rows))
    for child in below.tolist():
        above = int(traces.parent[child])
        same = codes.get(child) is not None and codes.get(child) == codes.get(above)
        if same and traces.service[child] != traces.service[above]:
            answers[above] = child
    return np.array([answers.get(row, row) for row in rows.tolist()], dtype=np.int64)


def _unseen(traces: Traces, rows: IntArray, exceptions: list[str]) -> dict[tuple[int, str], float]:
    usual: dict[int, Counter[str]] = defaultdict(Counter)
    present: set[tuple[int, str]] = set()
    for row, kind in zip(rows.tolist(), exceptions, strict=True):
        operation = int(traces.operation[row])
        if kind and traces.incident[row]:
            present.add((operation, kind))
        elif kind:
            usual[operation][kind] += 1
    counts = np.bincount(traces.operation[~traces.incident], minlength=len(traces.keys))
    found = {}
    for operation, kind in present:
        seen = usual[operation]
        if kind not in seen and counts[operation]:
            once = sum(count == 1 for count in seen.values())
            chance = (once + 1) / (int(counts[operation]) + 1)
            found[operation, kind] = max(float(-ndtri(min(chance, 0.5))), 0.0)
    return found
