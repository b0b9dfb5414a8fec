"""Lies and honest paraphrases of a model, sentence by sentence, over four subjects (`narration/world.py`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm.checks.grounding import ground
from llm.explanation import SentenceCheck
from llm.narration.answer import Answer
from tests.llm.narration.world import WORLDS

_FOLDER = Path(__file__).parent / "narration"
LIE_KINDS = {
    "false place", "false direction", "negation", "remedy", "blame", "invented relation", "wrong role",
    "clause", "exaggeration", "minimisation", "hedged", "passive", "language", "markup", "unicode",
    "second attack", "wrong magnitude", "wrong count", "wrong share", "wrong time order", "mixed facts",
    "hedged blame", "comparison", "quantifier", "conditional", "words", "does not entail", "quantity",
    "conjunction", "wrong verb", "degree", "fresh third", "unit", "caller", "order",
    "percent base", "comparative", "adverb cause", "hedge", "figure of speech", "half true", "question",
    "list", "table", "heading",
}  # fmt: skip


def _rows(name: str) -> list[list[str]]:
    lines = (_FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [
        [part.strip() for part in line.split(" | ")] for line in lines if line and not line.startswith("#")
    ]


PARTS = ("dev", "held_out", "fresh", "outsider", "third", "fourth", "fifth")
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
