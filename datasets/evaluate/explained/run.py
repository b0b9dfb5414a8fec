"""Explanations of a folder's cases, by the code of the live path, judged against the labels.

Each case is explained as an incident with the causes that localisation ranked; each control by some of its
traces. The deterministic text is judged beside scripted models (`scripted`) and, where one is configured, the
real model.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from collector.store.store import Store
from datasets.evaluate.explained.scores import Explained, figures, share
from datasets.evaluate.explained.scripted import SCRIPTS
from datasets.evaluate.explained.store import CaseStore, insert_usual
from datasets.evaluate.incidents import CaseLabel, IncidentFolder
from detectors.localise.evidence.errors import UNANSWERED
from llm.analysis.evidence import gather
from llm.analysis.subject import load_case
from llm.checks.grounding import check_summary, ground
from llm.deterministic import explain
from llm.explanation import Draft, Evidence, Explanation, Propagation, Subject
from llm.narration.context import estimate_tokens, render_messages
from llm.service import Explainer
from llm.settings import Settings

MAX_CONTROL_TRACES = 3  # explained of each control
MAX_CAUSES = 5

Step = Callable[[str, int, int], None]


def explain_folder(
    folder: IncidentFolder,
    rankings: Mapping[str, Sequence[Mapping[str, Any]]],
    labels: Sequence[CaseLabel],
    step: Step = lambda *_: None,
    settings: Settings | None = None,
) -> dict[str, Any]:
    """The figures of `spyhop eval --explain`.

    Args:
        rankings: the ranked causes of each case, best first, as live detection keeps them.
    """
    settings = settings or Settings()
    without_model = settings.model_copy(update={"llm_base_url": None, "llm_model": None})
    with tempfile.TemporaryDirectory(prefix="spyhop-explain-") as place:
        store = Store.open(Path(place))
        try:
            insert_usual(store, folder.baseline_spans())
            cases = CaseStore(store, folder.all_spans())
            explainers = {"deterministic": Explainer(store, without_model)}
            if settings.model_configured:
                explainers["model"] = Explainer(store, settings)
            found: dict[str, list[Explained]] = {name: [] for name in explainers}
            scripted: dict[str, Counter[str]] = {name: Counter() for name in SCRIPTS}
            for number, label in enumerate(labels):
                step("explain", number, len(labels))
                traces = pc.unique(folder.case_spans(label.case_id)["trace_id"]).to_pylist()
                cases.add_case(label.case_id, traces, list(rankings[label.case_id])[:MAX_CAUSES])
                subject = Subject(kind="incident", id=label.case_id)
                evidence, draft = _draft(store, subject)
                for name, explainer in explainers.items():
                    began = time.perf_counter()
                    told = explainer.analyse(subject, refresh=True)
                    took_ms = (time.perf_counter() - began) * 1000
                    found[name].append(_judge(store, label, told, evidence, draft, took_ms))
                _play(evidence, draft, scripted)
            abstained = _controls(folder, store, cases, explainers["deterministic"])
            step("explain", len(labels), len(labels))
        finally:
            store.close()
    return {
        **{name: figures(explained) for name, explained in found.items()},
        "controls": {"n": len(abstained), "abstained": share(abstained)},
        "scripted_models": {name: dict(sorted(counts.items())) for name, counts in scripted.items()},
    }


def _draft(store: Store, subject: Subject) -> tuple[Evidence, Draft]:
    evidence = gather(load_case(store, subject))
    return evidence, explain(evidence)


def _judge(  # noqa: PLR0917  # all that one row of the report holds
    store: Store, label: CaseLabel, told: Explanation, evidence: Evidence, draft: Draft, took_ms: float
) -> Explained:
    causes = told.root_causes
    services = [cause.service for cause in causes]
    places = [(cause.service, cause.operation) for cause in causes]
    roots = [(service, label.root_operation) for service in label.root_services]
    cited = re.findall(r"E\d+", " ".join(re.findall(r"\[([E\d, ]+)\]", told.summary)))
    known = {fact.evidence_id: fact for fact in told.evidence}
    checks = check_summary(told.summary, evidence, draft, takes_own_words=True)
    first = known.get(causes[0].evidence[0]) if causes else None
    symptom = known.get(evidence.symptom)
    failed = symptom is not None and symptom.unit != "ns"
    opening = known.get(cited[0]) if cited else None
    of_failure = opening is not None and opening.kind in ("error", UNANSWERED)
    return Explained(
        case_id=label.case_id,
        service_hit_1=bool(services) and services[0] in label.root_services,
        service_hit_3=bool(set(services[:3]) & set(label.root_services)),
        operation_hit_1=bool(set(places[:1]) & set(roots)) if label.root_operation else None,
        operation_hit_3=bool(set(places[:3]) & set(roots)) if label.root_operation else None,
        span_hit_1=first.span_id == label.root_span_id if label.root_span_id and first else None,
        path_grounded=told.propagation is not None and _is_grounded(store, told.propagation),
        path_reaches_symptom=told.propagation is not None and told.propagation.reaches_symptom,
        citations=len(cited),
        citations_valid=sum(evidence_id in known for evidence_id in cited),
        sentences=sum(bool(check.cited) for check in checks),
        sentences_supported=sum(bool(check.cited) and check.verdict == "kept" for check in checks),
        # A failure is explained as a failure, slowness as slowness.
        symptom_kind_right=opening is not None and of_failure == (failed and bool(causes)),
        abstained=not causes,
        confidence=told.confidence,
        latency_ms=took_ms,
        tokens=estimate_tokens(render_messages(_context(store, told.explanation_id))),
    )


def _context(store: Store, explanation_id: str) -> dict[str, Any]:
    sql = "SELECT context::VARCHAR AS context FROM explanations WHERE explanation_id = ?"
    context: dict[str, Any] = json.loads(store.read(sql, [explanation_id])["context"][0].as_py())
    return context


def _is_grounded(store: Store, way: Propagation) -> bool:
    """Whether the way reaches the symptom and each step is a parent and its child in stored spans."""
    if not way.reaches_symptom:
        return False
    rows = store.read("SELECT span_id, parent_span_id FROM spans WHERE trace_id = ?", [way.trace_id])
    above = dict(zip(rows["span_id"].to_pylist(), rows["parent_span_id"].to_pylist(), strict=True))
    return all(
        above.get(edge.source.span_id) == edge.target.span_id
        or above.get(edge.target.span_id) == edge.source.span_id
        for edge in way.edges
    )


def _play(evidence: Evidence, draft: Draft, scripted: Mapping[str, Counter[str]]) -> None:
    """The results of the scripted models' sentences; `lies_shown` and `causes_changed` should stay 0."""
    for name, script in SCRIPTS.items():
        if not evidence.facts:
            continue
        played = script(evidence, draft)
        result = ground(played.answer, evidence, draft)
        counts = scripted[name]
        counts["cases"] += 1
        counts["fell_back"] += result.draft is None
        counts["kept"] += sum(check.verdict == "kept" for check in result.checks)
        counts["refused"] += sum(check.verdict != "kept" for check in result.checks)
        shown = result.draft or draft
        counts["lies_shown"] += sum(lie in shown.summary for lie in played.lies)
        counts["causes_changed"] += shown.root_causes[:1] != draft.root_causes[:1]


def _controls(folder: IncidentFolder, store: Store, cases: CaseStore, explainer: Explainer) -> list[bool]:
    """Whether traces of controls, in which nothing is wrong, are left without a cause."""
    spans = folder.test_spans()
    roots = spans.filter(pc.is_null(spans["parent_span_id"]))
    abstained: list[bool] = []
    for control in folder.controls():
        within = roots.filter(control.covers(roots["start_unix_nano"], _runs(roots)))
        for trace_id in pc.unique(within["trace_id"]).to_pylist()[:MAX_CONTROL_TRACES]:
            cases.add_traces([trace_id])
            told = explainer.analyse(Subject(kind="trace", id=trace_id))
            abstained.append(not told.root_causes)
    return abstained


def _runs(spans: pa.Table) -> pa.ChunkedArray:
    if "run" in spans.column_names:
        return spans["run"]
    return pa.chunked_array([pa.array([""] * spans.num_rows)])
