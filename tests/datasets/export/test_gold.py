from __future__ import annotations

from typing import Any

import pytest

from datasets.export.gold import Gold, Reject, Wrong, choose, gold_answer
from datasets.export.gold import judge as judge_one
from datasets.export.labelled import Chosen, InMemory, Labelled, by_explanation
from tests.datasets.support import labelled


def judge(examples: list[Labelled]) -> tuple[list[Gold], list[Reject]]:
    """The gold answers of the examples, and the reasons where there are none."""
    golds: list[Gold] = []
    rejects: list[Reject] = []
    source = InMemory(examples)
    for verdicts in by_explanation(source.heads()):
        chosen, others = choose(verdicts)
        rejects += others
        for example in source.labelled([Chosen.of(chosen)] if chosen else []):
            verdict = judge_one(example)
            if isinstance(verdict, Gold):
                golds.append(verdict)
            else:
                reason = "thumbs-down without a correction" if isinstance(verdict, Wrong) else verdict.reason
                rejects.append(Reject(example.example_id, reason))
    return golds, rejects


def test_thumbs_up_is_gold() -> None:
    """A thumbs-up makes the explanation gold, citing only facts that its prompt contains."""
    (gold,), rejects = judge([labelled()])
    assert gold.label_source == "thumbs-up"
    assert gold.answer.summary == "SELECT carts took 101 ms [E1]."
    assert gold.answer.root_causes[0].evidence_ids == ["E1"]
    assert gold.answer.recommendations == ["Look for locks"]
    assert rejects == []


def test_thumbs_down_alone_is_no_row() -> None:
    """Without a correction nobody knows what is right, and the reason is given."""
    golds, (reject,) = judge([labelled(rating="down")])
    assert golds == []
    assert reject.reason == "thumbs-down without a correction"


def test_corrected_cause_replaces_what_was_said_of_the_wrong_one() -> None:
    """Another root cause takes the old summary and its advice with it."""
    answer = gold_answer(
        labelled(rating="down", correction={"root_service": "db", "root_operation": "vacuum"})
    )
    assert [(cause.service, cause.operation) for cause in answer.root_causes] == [("db", "vacuum")]
    assert "SELECT carts" not in answer.model_dump_json()
    assert answer.recommendations == []


def test_corrected_cause_is_backed_by_its_facts() -> None:
    """Where the prompt has facts on the corrected place, the answer cites them."""
    wrong = [{"service": "web", "operation": "x", "statement": "x", "evidence": []}]
    correction = {"root_service": "checkout", "root_operation": "SELECT carts"}
    answer = gold_answer(labelled(rating="down", root_causes=wrong, correction=correction))
    assert answer.root_causes[0].evidence_ids == ["E1"]
    assert answer.summary == "SELECT carts in checkout took 101 ms [E1]."


def test_confirmed_cause_keeps_the_rest() -> None:
    """Naming the same cause again leaves summary and advice as they were."""
    correction = {"root_service": "checkout", "root_operation": "SELECT carts"}
    answer = gold_answer(labelled(rating="down", correction=correction))
    assert answer.summary == "SELECT carts took 101 ms [E1]."
    assert answer.recommendations == ["Look for locks"]


def test_corrected_summary_keeps_the_accepted_cause() -> None:
    """A new summary alone leaves the causes that the engineer did not touch."""
    answer = gold_answer(labelled(rating="down", correction={"summary": "A lock [E1]."}))
    assert answer.summary == "A lock [E1]."
    assert answer.root_causes[0].service == "checkout"


def test_poisoned_correction() -> None:
    """Markup, links, secrets and citations of nothing do not get from a correction into gold."""
    correction = {
        "summary": "See ![x](http://evil/x) <b>now</b> password=canary [E9].",
        "root_service": "db<script>", "recommendations": ["Open http://evil/y"],
    }  # fmt: skip
    text = gold_answer(labelled(rating="down", correction=correction)).model_dump_json()
    for word in ("evil", "<", "canary", "E9"):
        assert word not in text


def test_gold_is_grounded() -> None:
    """A target is what a model would be shown with; what no fact bears out gives way to code's sentence."""
    lie = "SELECT carts took 101 ms [E1]. Injected fault db_slow (ramp_s=0.0). The network is down [E1]."
    (gold,), _ = judge([labelled(rating="down", correction={"summary": lie})])
    assert gold.answer.summary == "SELECT carts took 101 ms [E1]. SELECT carts in checkout took 101 ms [E1]."
    assert [check.verdict for check in gold.checks] == ["kept", "dropped", "replaced"]


def test_a_person_need_not_cite() -> None:
    """A corrected sentence without a citation gets that of the fact that bears it out."""
    correction = {"summary": "SELECT carts in checkout is slow."}
    (gold,), _ = judge([labelled(rating="down", correction=correction)])
    assert gold.answer.summary == "SELECT carts in checkout is slow [E1]."


def test_what_no_fact_bears_out_is_no_gold() -> None:
    """Of a correction of which nothing is borne out the cause's facts remain; without any it makes no row."""
    correction = {"summary": "Injected fault db_slow (delay_ms=150.0) in checkout."}
    (gold,), _ = judge([labelled(rating="down", correction=correction)])
    assert gold.answer.summary == "SELECT carts in checkout took 101 ms [E1]."
    golds, (reject,) = judge([labelled(rating="down", correction=correction, root_causes=[])])
    assert golds == []
    assert "borne out" in reject.reason


def test_nothing_left() -> None:
    """A correction that is only a link is rejected, not exported empty."""
    golds, (reject,) = judge([labelled(rating="down", correction={"summary": "http://evil"})])
    assert golds == []
    assert "nothing is left" in reject.reason


CASES: dict[str, tuple[list[dict[str, Any]], list[str], list[str]]] = {
    "two up": ([{"rating": "up"}, {"rating": "up"}], ["f002"], ["another thumbs-up of the same explanation"]),
    "disagree": (
        [{"rating": "up"}, {"rating": "down"}], [], ["raters disagree", "thumbs-down without a correction"],
    ),
    "correction wins": (
        [{"rating": "down", "correction": {"summary": "It is slow [E1]."}}, {"rating": "up"}],
        ["f001"], ["raters disagree"],
    ),
    "newest correction wins": (
        [{"rating": "down", "correction": {"summary": "It is slow [E1]."}},
         {"rating": "down", "correction": {"summary": "SELECT carts is slow."}}],
        ["f002"], ["superseded by a newer correction"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_several_raters(name: str) -> None:
    """Of several verdicts on one explanation at most one makes a row; each other has its reason."""
    verdicts, chosen, reasons = CASES[name]
    examples = [labelled(n, explanation_id="e", **given) for n, given in enumerate(verdicts, start=1)]
    golds, rejects = judge(examples)
    assert [gold.example.example_id for gold in golds] == chosen
    assert sorted(reject.reason for reject in rejects) == sorted(reasons)


def test_adjudication_goes_before_everybody() -> None:
    """What a third person decided is gold, though corrections are newer; decided "wrong" makes no row."""
    corrected = labelled(2, explanation_id="e1", rating="down", verdict="wrong", updated_unix_nano=9,
                         correction={"root_service": "bank"})  # fmt: skip
    decided = labelled(1, explanation_id="e1", is_adjudication=True)
    golds, rejects = judge([corrected, decided])
    assert [gold.example.example_id for gold in golds] == ["f001"]
    assert [reject.reason for reject in rejects] == ["decided by an adjudication"]
    golds, rejects = judge([corrected, labelled(1, explanation_id="e1", rating="down", is_adjudication=True)])
    assert golds == []
