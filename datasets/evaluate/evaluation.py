"""Scores of detection and localisation on labelled incidents.

Learns from the `baseline` rows and ranks every case with the code and the default settings of the live path.
Only then it reads the true causes. No setting is chosen by the data set.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from datasets.evaluate.alert_scores import alert_figures
from datasets.evaluate.detection_scores import average_precision, detected_share, score_flags
from datasets.evaluate.explained.run import explain_folder
from datasets.evaluate.fault_scores import Flags, affected_traces, by_fault_kind, case_outcome
from datasets.evaluate.groups import Groups
from datasets.evaluate.incidents import IncidentFolder
from datasets.evaluate.live_causes import as_live, moved_metrics
from datasets.evaluate.localisation_scores import CaseScore, score_ranking, scored
from datasets.evaluate.quiet import false_alarms
from datasets.evaluate.replay import Replayed, replay
from datasets.evaluate.shapes import outcome_of, shape_figures, told
from datasets.evaluate.windows import Window, at_cases
from detectors.baseline.learn import learn_amounts, learn_traces
from detectors.baseline.models import Baselines
from detectors.baseline.settled import SettledTraces
from detectors.localise import SOURCES, USUAL_TRACES_MAX, Usual, localise
from detectors.scoring.stretches import join_stretches
from detectors.scoring.trace_score import TRACE_SIGMA, score_traces
from detectors.settings import Settings

_ALL_CAUSES = 1_000_000  # scores use every rank, people five
_USUAL_KEPT = 16  # cases of one kind of traffic are compared with the same traces; about 5 MB each

Step = Callable[[str, int, int], None]  # (name of the step, amount done, amount in all)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The results that `spyhop eval` prints.

    detection: by trace, each flagged by its own score; None without labels of traces.
    alerts: alerts that live detection would have raised (`alert_scores`).
    faults: results of detection and localisation by kind of fault (`fault_scores`).
    cases: the same for each case.
    false_alarms: alarms at times without a fault (`quiet`).
    ablations: results without one source each, on the same cases.
    explanations: what explanations of the cases say (`explained.run`).
    shapes: what was told of cases in which no service is at fault (`shapes`); None without any.
    """

    detection: dict[str, float] | None
    alerts: dict[str, Any] | None
    localisation: dict[str, Any]
    seconds: float
    faults: dict[str, dict[str, Any]] | None = None
    cases: list[dict[str, Any]] | None = None
    false_alarms: dict[str, Any] | None = None
    ablations: dict[str, dict[str, Any]] | None = None
    explanations: dict[str, Any] | None = None
    shapes: dict[str, dict[str, float]] | None = None

    def as_dict(self) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "detection": self.detection,
            "alerts": self.alerts,
            "localisation": self.localisation,
            "seconds": round(self.seconds, 3),
        }
        further = ("shapes", "faults", "cases", "false_alarms", "ablations", "explanations")
        return shown | {name: value for name in further if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class _Case:
    case_id: str
    spans: pa.Table
    logs: pa.Table
    attributes: pa.Table
    usual: Usual
    moved: pa.Table


def evaluate(
    folder: IncidentFolder,
    *,
    ablate: bool = False,
    explain: bool = False,
    step: Step = lambda *_: None,
) -> Evaluation:
    """
    Args:
        explain: also explain each case, and judge the explanations.
        step: told what is under way.

    Raises:
        InvalidInput: the labels do not fit the spans.
    """
    began = time.perf_counter()
    settings = Settings()  # as live: defaults and the environment
    baselines = Baselines(settings)
    learned = folder.baseline_spans()
    learn_traces(SettledTraces.of(learned), baselines)
    baselines.add(learn_amounts(folder.baseline_amounts(), pa.chunked_array([], pa.string())))
    step("learn", 1, 1)
    # Before the replay of detection, which goes on learning how long messages wait.
    scores = _scores(folder, baselines)
    step("score", 1, 1)
    replayed = replay(folder.all_spans(), baselines, settings, step, folder.all_signals())
    scores = _with_stretches(scores, folder.test_spans(), replayed)
    reference = Reference(folder, learned, baselines)
    variants: dict[str, Collection[str]] = {"": SOURCES}
    if ablate:
        variants |= {name: [s for s in SOURCES if s != name] for name in SOURCES}
    rankings: dict[str, dict[str, list[dict[str, Any]]]] = {name: {} for name in variants}
    shapes: dict[str, dict[str, str]] = {name: {} for name in variants}
    case_ids = folder.case_ids()
    for number, case_id in enumerate(case_ids):
        step("localise", number, len(case_ids))
        case = _read_case(folder, case_id, reference, replayed)
        traces = pc.unique(case.spans["trace_id"]).to_pylist()
        for name, sources in variants.items():
            ranking = _rank(case, sources)
            rankings[name][case_id] = as_live(replayed.raised, traces, ranking)
            shapes[name][case_id] = told(replayed.raised, traces, ranking)
    step("localise", len(case_ids), len(case_ids))
    # All cases are ranked: now read the true causes.
    labels = folder.labels()
    ranked = {
        name: [score_ranking(label, found[label.case_id], shapes[name][label.case_id]) for label in labels]
        for name, found in rankings.items()
    }
    located = {name: scored(found) for name, found in ranked.items()}
    result = Evaluation(None, None, located.pop(""), 0.0, ablations=located if ablate else None)
    if explain:
        result = replace(result, explanations=explain_folder(folder, rankings[""], labels, step))
    result = _with_detection(result, folder, ranked[""], scores=scores, replayed=replayed)
    of_shapes = [
        outcome_of(
            label.shape, shapes[""][label.case_id], replayed.anomalies, folder.case_spans(label.case_id)
        )
        for label in labels
        if label.shape is not None
    ]
    result = replace(result, shapes=shape_figures(of_shapes) if of_shapes else None)
    return replace(result, seconds=time.perf_counter() - began)


def _scores(folder: IncidentFolder, baselines: Baselines) -> pa.Table:
    """The trace view of the test rows: `trace_score.SCORE_SCHEMA`."""
    settled = SettledTraces.of(folder.test_spans())
    return score_traces(settled, baselines, amounts=folder.test_amounts())


def _with_stretches(scores: pa.Table, spans: pa.Table, replayed: Replayed) -> pa.Table:
    """The scores as live learning writes them: it knows when operations did not fare as usual."""
    for run, stretches in replayed.stretches.items():
        if any(stretches):
            # Another recording has times of its own.
            settled = SettledTraces.of(spans.filter(pc.equal(spans["run"], run)))
            scores = join_stretches(scores, settled, stretches)
    return scores


def _with_detection(
    result: Evaluation,
    folder: IncidentFolder,
    ranked: list[CaseScore],
    *,
    scores: pa.Table,
    replayed: Replayed,
) -> Evaluation:
    """Traces by their own score, alerts by hours and cases, and what fired in each case."""
    labels = folder.labels()
    anomalous = folder.trace_labels() if folder.has_trace_labels else {}
    sigma = dict(zip(scores["trace_id"].to_pylist(), scores["anomaly_sigma"].to_pylist(), strict=True))
    flagged = {trace_id for trace_id, value in sigma.items() if value >= TRACE_SIGMA}
    spans = [folder.case_spans(label.case_id) for label in labels]
    cases = [rows["trace_id"].unique().to_pylist() for rows in spans]
    windows = [
        Window.of(rows, affected_traces(traces, anomalous)) for rows, traces in zip(spans, cases, strict=True)
    ]
    replayed = replace(replayed, anomalies=at_cases(replayed.anomalies, filter(None, windows)))
    flags = Flags(replayed.anomalies)
    outcomes = [
        case_outcome(label.case_id, traces, anomalous, score, flags=flags, flagged=flagged)
        for label, traces, score in zip(labels, cases, ranked, strict=True)
    ]
    detection = None
    if anomalous:
        detection = {
            **score_flags(anomalous, flagged),
            "average_precision": average_precision(anomalous, sigma),
            "cases_detected": detected_share(cases, anomalous, flagged),
        }
    return replace(
        result,
        detection=detection,
        alerts=alert_figures(replayed, outcomes, folder.seconds_outside_cases(), anomalous, cases),
        faults=by_fault_kind(outcomes),
        cases=[outcome.as_dict() for outcome in outcomes],
        false_alarms=false_alarms(replayed.anomalies, replayed.incidents, anomalous, folder.controls()),
    )


class Reference:
    """The baseline rows, of which each case is compared with those traces that begin as its own do,
    of its own recording where that has any."""

    def __init__(self, folder: IncidentFolder, spans: pa.Table, baselines: Baselines) -> None:
        self._folder, self._baselines = folder, baselines
        self._spans = Groups(spans, "trace_id")
        self._logs = Groups(folder.baseline_logs(), "trace_id")
        self._known: dict[tuple[str, ...], Usual] = {}
        roots = _roots(spans)
        # Any fixed order will do that does not go by time: a baseline of several days is seen whole.
        mixed = [_mixed(trace_id) for trace_id in roots["trace_id"].to_pylist()]
        order = sorted(range(len(mixed)), key=mixed.__getitem__)
        self._roots = roots.take(pa.array(order, pa.int64()))

    def usual(self, case: pa.Table) -> Usual:
        """Normal behaviour for a case: times from all baseline rows, behaviour from some traces."""
        roots = self._roots
        # Another recording is another system: other ports, other counters.
        for column, wanted in (("run", case["run"]), ("root", _roots(case)["root"])):
            alike = roots.filter(pc.is_in(roots[column], value_set=pc.unique(wanted)))
            roots = alike if alike.num_rows else roots
        chosen = pc.unique(roots["trace_id"])[:USUAL_TRACES_MAX]
        traces = tuple(chosen.to_pylist())
        if traces not in self._known:
            if len(self._known) >= _USUAL_KEPT:
                del self._known[next(iter(self._known))]
            spans = self._spans.of(traces)
            self._known[traces] = Usual(
                self._baselines.self_times,
                self._baselines.edge,
                spans,
                self._logs.of(traces),
                self._folder.attributes(spans),
            )
        return self._known[traces]


def _mixed(trace_id: str) -> bytes:
    """An order that is unrelated to the traces, and the same in every process."""
    return hashlib.blake2b(trace_id.encode(), digest_size=8).digest()


def _roots(spans: pa.Table) -> pa.Table:
    rows = spans.filter(pc.is_null(spans["parent_span_id"]))
    root = pc.binary_join_element_wise(rows["service_name"], rows["operation"], "\x1f")
    return pa.table({"trace_id": rows["trace_id"], "root": root, "run": rows["run"]})


def _read_case(folder: IncidentFolder, case_id: str, reference: Reference, replayed: Replayed) -> _Case:
    spans = folder.case_spans(case_id)
    usual = reference.usual(spans)
    moved = moved_metrics(replayed.anomalies, spans)
    return _Case(case_id, spans, folder.case_logs(case_id), folder.attributes(spans), usual, moved)


def _rank(case: _Case, sources: Collection[str]) -> list[dict[str, Any]]:
    return localise(
        case.spans,
        case.usual,
        case.logs,
        case.attributes,
        moved=case.moved,
        sources=sources,
        causes_max=_ALL_CAUSES,
    )


def as_table(result: Evaluation) -> list[tuple[str, Mapping[str, Any]]]:
    """Rows for people: all cases, each kind of fault, and what is left without each source."""
    whole = result.localisation
    rows: list[tuple[str, Mapping[str, Any]]] = [("all cases", whole)]
    rows += [(kind, scores) for kind, scores in whole["by_fault_kind"].items()]
    rows += [(f"without {name}", scores) for name, scores in (result.ablations or {}).items()]
    return rows
