"""Facts → the prompt's data: redacted, within a budget, in one block."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from llm.explanation import Draft, Evidence, Fact
from llm.redaction.redact import REDACTION_VERSION, redact_name, redact_text
from llm.templates import data_block, render

PROMPT_VERSION = "v2"
CHARS_PER_TOKEN = 4  # an estimate: only the endpoint knows the exact tokeniser
STATEMENT_LIMIT_CHARS = 900  # names are bounded to 120 characters each, quotes to 400


def build_context(evidence: Evidence, draft: Draft, budget_tokens: int) -> dict[str, object]:
    """The redacted data of the prompt, at most `budget_tokens` long.

    Facts that do not fit are left out, the least important first, and the data says how many.
    The candidates' own facts are kept longest.
    """
    cited = {evidence_id for cause in draft.root_causes for evidence_id in cause.evidence}
    facts = sorted(evidence.facts, key=lambda fact: (fact.evidence_id not in cited, _number(fact)))
    path = [redact_name(step) for step in evidence.path]
    kept, shown_path = len(facts), len(path)
    context = _context(evidence, draft, facts, path)
    while len(data_block(context)) > budget_tokens * CHARS_PER_TOKEN and (kept > 1 or shown_path):
        if shown_path:
            shown_path //= 2
        else:
            kept -= 1
        context = _context(evidence, draft, facts[:kept], path[:shown_path])
    return context


def render_messages(
    context: Mapping[str, object], prompt_version: str = PROMPT_VERSION
) -> list[dict[str, str]]:
    """The chat messages for `context`; the same for a live request and for a training row."""
    return [
        {"role": "system", "content": _system(prompt_version)},
        {"role": "user", "content": render(f"prompts/{prompt_version}/user", context=context).strip()},
    ]


@cache
def _system(prompt_version: str) -> str:
    return render(f"prompts/{prompt_version}/system").strip()


def estimate_tokens(messages: list[dict[str, str]]) -> int:
    return sum(len(message["content"]) for message in messages) // CHARS_PER_TOKEN


def _context(evidence: Evidence, draft: Draft, facts: list[Fact], path: list[str]) -> dict[str, object]:
    ids = {fact.evidence_id for fact in facts}
    return {
        "subject": evidence.subject.kind,
        "headline": redact_text(evidence.headline),
        "window": list(evidence.window or ()),
        "facts": [_fact(fact) for fact in sorted(facts, key=_number)],
        "facts_left_out": len(evidence.facts) - len(facts),
        "candidates": [
            {
                "service": redact_name(cause.service),
                "operation": redact_name(cause.operation),
                "statement": redact_text(cause.statement, STATEMENT_LIMIT_CHARS),
                "evidence_ids": [evidence_id for evidence_id in cause.evidence if evidence_id in ids],
            }
            for cause in draft.root_causes
        ],
        "critical_path": path,
        "critical_path_left_out": len(evidence.path) - len(path),
        "recommendations": [redact_text(line) for line in draft.recommendations],
        "attributes": dict(evidence.attributes),
        "redaction": REDACTION_VERSION,
    }


def _fact(fact: Fact) -> dict[str, object]:
    return {
        "id": fact.evidence_id,
        "service": redact_name(fact.service),
        "operation": redact_name(fact.operation),
        "kind": fact.kind,
        "statement": redact_text(fact.statement, STATEMENT_LIMIT_CHARS),
    }


def _number(fact: Fact) -> int:
    return int(fact.evidence_id[1:])
