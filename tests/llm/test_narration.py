"""Lies and honest paraphrases of a model, sentence by sentence, over ten subjects (`narration/world.py`)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llm.checks.grounding import check_summary, ground
from llm.explanation import SentenceCheck
from llm.narration.answer import Answer
from llm.redaction.redact import quoted_text
from tests.llm.narration.world import WORLDS, fact
from tests.llm.narration.world import world as narrated

_FOLDER = Path(__file__).parent / "narration"
LIE_KINDS = {
    "false place", "false direction", "negation", "remedy", "blame", "invented relation", "wrong role",
    "clause", "exaggeration", "minimisation", "hedged", "passive", "language", "markup", "unicode",
    "second attack", "wrong magnitude", "wrong count", "wrong share", "wrong time order", "mixed facts",
    "hedged blame", "comparison", "quantifier", "conditional", "words", "does not entail", "quantity",
    "conjunction", "wrong verb", "degree", "fresh third", "unit", "caller", "order",
    "percent base", "comparative", "adverb cause", "hedge", "figure of speech", "half true", "question",
    "list", "table", "heading", "derived figure", "time", "synonym", "joined", "fresh sixth",
}  # fmt: skip


def _rows(name: str) -> list[list[str]]:
    lines = (_FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [
        [part.strip() for part in line.split(" | ")] for line in lines if line and not line.startswith("#")
    ]


PARTS = ("dev", "held_out", "fresh", "outsider", "third", "fourth", "fifth", "sixth")
LIES = [row for part in (*PARTS, "second") for row in _rows(f"lies_{part}")]
HONEST = [row for part in PARTS for row in _rows(f"honest_{part}")]


def check(world: str, sentence: str) -> SentenceCheck:
    evidence, draft = WORLDS[world]
    answer = Answer(summary=sentence, root_causes=[], recommendations=[])
    return ground(answer, evidence, draft).checks[0]


def test_the_sets_are_large() -> None:
    """Lies of all kinds and as many paraphrases, most of them written after the rules."""
    assert {kind for _, kind, _ in LIES} == LIE_KINDS
    assert min(len(LIES), len(HONEST)) >= 120


@pytest.mark.parametrize("kind", sorted(LIE_KINDS))
def test_no_lie_passes(kind: str) -> None:
    """No lie is shown, in any of its words: it gives way to code's own sentence."""
    passed = [row for row in LIES if row[1] == kind and check(row[0], row[2]).verdict == "kept"]
    assert passed == []


def test_honest_paraphrases_pass() -> None:
    """At least nine of ten honest paraphrases stay as the model wrote them."""
    refused = {
        row[1]: rule for row in HONEST if (made := check(*row)).verdict != "kept" and (rule := made.rule)
    }
    print(f"{len(HONEST) - len(refused)} of {len(HONEST)} honest sentences pass")
    assert len(refused) <= len(HONEST) * 0.1, refused


FORMS = (
    '"{lie}" {said} [{cited}].', '"{lie}. {said}" [{cited}].', '{said}, "{lie}" [{cited}].',
    "“{lie}” {said} [{cited}].", "'{lie}' {said} [{cited}].", "‘{lie}’ {said} [{cited}].",
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_quotation_marks_hide_no_lie(form: str) -> None:
    """A lie in quotation marks beside code's own sentence is not shown: only what facts say is quoted."""
    shown = []
    for world, _, sentence in LIES[::12]:
        evidence, draft = WORLDS[world]
        first = evidence.facts[0]
        lie = re.sub(r"\s*\[[^\]]*\]", "", sentence).rstrip(". ")
        text = form.format(lie=lie, said=first.statement, cited=first.evidence_id)
        answer = Answer(summary=text, root_causes=[], recommendations=[])
        lines = " ".join(made.shown for made in ground(answer, evidence, draft).checks)
        shown += [text] if lie in lines else []
    assert shown == []


@pytest.mark.parametrize(
    "message", ["Servlet.service for . . . dispatcherServlet. Again!", "GET http://cart:8080/x <refused>"]
)
def test_a_quotation_stays_whole(message: str) -> None:
    """Code's own sentence about a message with full stops or an address is one sentence, and stays."""
    said = f"GET /cart in cart failed: {quoted_text(message)}"
    evidence, draft = narrated([fact(1, "cart", "GET /cart", "error", said)], [])
    checks = check_summary(f"{said} [E1].", evidence, draft, takes_own_words=True)
    assert [made.verdict for made in checks] == ["kept"]
