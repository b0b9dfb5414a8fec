from __future__ import annotations

import re

import pytest

from llm.analysis.facts import cause_kind
from llm.analysis.traced import TracedSpan
from llm.deterministic import _when, explain, recommendations
from llm.explanation import Cause, Evidence, Fact, Subject

TRACE = "1" * 32
FACT = Fact(
    evidence_id="E1", trace_id=TRACE, span_id="2" * 16, service="kx-exchange", operation="SELECT wallets",
    kind="self_time", statement="SELECT wallets in kx-exchange took 152 ms", observed=152e6, unit="ns",
)  # fmt: skip


def evidence(kind: str | None = "database", confidence: float = 0.8, **given: object) -> Evidence:
    cause = {
        "service": "kx-exchange", "operation": "SELECT wallets", "kind": kind, "statement": FACT.statement,
        "score": 0.9, "confidence": confidence, "evidence": ("E1",),
    }  # fmt: skip
    values: dict[str, object] = {
        "subject": Subject(kind="trace", id=TRACE), "group_id": TRACE, "subject_size": 1, "trace_id": TRACE,
        "headline": "", "facts": (FACT,), "causes": (Cause.model_validate(cause),) if kind else (),
        "window": ("2026-11-03 12:00:00 UTC", "2026-11-03 12:00:40 UTC"),
    }  # fmt: skip
    return Evidence.model_validate(values | given)


def test_every_sentence_cites() -> None:
    """Each sentence of a summary that names a cause ends with the facts it rests on."""
    draft = explain(evidence())
    for sentence in re.split(r"(?<=\.)\s+(?=[A-Z])", draft.summary):
        assert re.search(r"\[E\d+(, E\d+)*\]\.$", sentence), sentence
    assert draft.root_causes[0].evidence == ("E1",)
    assert draft.confidence == 0.8


@pytest.mark.parametrize("given", [{"kind": None}, {"confidence": 0.2}], ids=["no cause", "weak cause"])
def test_abstains(given: dict[str, object]) -> None:
    """Where nothing stands out, it says so, names no cause and claims no confidence."""
    draft = explain(evidence(**given))  # type: ignore[arg-type]  # two shapes of one table
    assert "No cause stands out" in draft.summary
    assert draft.root_causes == ()
    assert draft.confidence == 0.0
    assert draft.recommendations


def test_a_hardly_likely_second_cause_is_not_named() -> None:
    """At 1% a second place sends somebody to the wrong team; at 30% it is named next."""
    first = evidence().causes[0]
    second = first.model_copy(update={"service": "api-gateway", "confidence": 0.01})
    likelier = second.model_copy(update={"confidence": 0.3})

    assert [cause.service for cause in explain(evidence(causes=(first, second))).root_causes] == [
        "kx-exchange"
    ]
    named = explain(evidence(causes=(first, likelier)))
    assert [cause.service for cause in named.root_causes] == ["kx-exchange", "api-gateway"]
    assert "Next: " in named.summary


def test_nothing_stored() -> None:
    """Without a single fact the text says that nothing has landed."""
    draft = explain(evidence(None, facts=(), trace_id=None))
    assert "Nothing is stored" in draft.summary


@pytest.mark.parametrize(
    ("kind", "word"),
    [("database", "lock waits"), ("remote_call", "network"), ("message_wait", "queue"),
     ("own_code", "garbage collection"), ("error", "logs"), ("amount", "account"),
     ("resource", "heap profiles")],
)  # fmt: skip
def test_recommendations_fit_the_kind(kind: str, word: str) -> None:
    """Each kind of cause has steps of its own."""
    lines = recommendations(evidence(kind), evidence(kind).causes[0])
    assert any(word in line for line in lines)


def test_attributes_sharpen_the_steps() -> None:
    """Known attributes of the span are named: the database system, the collection."""
    known = {"db.system.name": "postgresql", "db.collection.name": "wallets"}
    assert "postgresql" in recommendations(evidence(attributes=known), evidence().causes[0])[0]


def test_templates_do_not_run_data() -> None:
    """Template syntax in a name is text."""
    cause = evidence().causes[0].model_copy(update={"operation": "{{ 7*7 }}"})
    lines = "".join(recommendations(evidence(), cause))
    assert "{{ 7*7 }}" in lines
    assert "49" not in lines


def test_a_stretch_within_a_day_names_the_day_once() -> None:
    """Advice gives the day of a window once, and both days where it runs over midnight."""
    within = ("2026-11-03 12:00:00 UTC", "2026-11-03 12:00:40 UTC")
    over = ("2026-11-03 23:59:00 UTC", "2026-11-04 00:01:00 UTC")
    assert _when(within) == "between 12:00:00 and 12:00:40 UTC on 2026-11-03"
    assert _when(over) == "between 2026-11-03 23:59:00 UTC and 2026-11-04 00:01:00 UTC"
    assert _when((within[0], within[0])) == "at 2026-11-03 12:00:00 UTC"


def test_an_outgoing_request_without_a_kind_is_a_remote_call() -> None:
    """ "HTTP POST" is a call of another service, though its sender left the kind away."""
    span = TracedSpan("t", "s", None, "web", "HTTP POST", "INTERNAL", 0, 10, 10)
    assert cause_kind(span) == "remote_call"
    assert cause_kind(span._replace(operation="render page")) == "own_code"
