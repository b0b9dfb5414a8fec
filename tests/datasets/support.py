"""Labelled explanations made by hand, for pure functions."""

from __future__ import annotations

from typing import Any

from datasets.export.labelled import Labelled


def named(number: int) -> str:
    """A service's name without digits, another one for each number below 676."""
    return f"shop-{chr(97 + number // 26 % 26)}{chr(97 + number % 26)}"


def labelled(number: int = 1, **given: Any) -> Labelled:
    """A thumbs-up on `SELECT carts` in checkout; `given` replaces fields."""
    service = given.pop("service", "checkout")
    fact = {
        "id": "E1", "service": service, "operation": "SELECT carts", "kind": "self_time",
        "statement": f"SELECT carts in {service} took {100 + number} ms",
    }  # fmt: skip
    measured = {
        "evidence_id": "E1", "trace_id": "1" * 32, "span_id": "1" * 16, "observed": (100 + number) * 1e6,
        "expected": 1e6, "unit": "ns",
        **{name: fact[name] for name in ("service", "operation", "kind", "statement")},
    }  # fmt: skip
    values: dict[str, Any] = {
        "example_id": f"f{number:03d}", "rating": "up", "verdict": "right",
        "is_adjudication": False, "rater": "ann", "error_tags": [], "correction": {},
        "updated_unix_nano": number,
        "explanation_id": f"e{number:03d}", "subject_kind": "incident", "subject_id": f"in{number}",
        "group_id": f"in{number}", "source": "deterministic", "model": None, "prompt_version": "v1",
        "summary": f"SELECT carts took {100 + number} ms [E1].",
        "root_causes": [{"rank": 1, "service": service, "operation": "SELECT carts",
                         "statement": fact["statement"], "confidence": 0.8, "evidence": ["E1", "E7"]}],
        "evidence": [measured], "recommendations": ["Look for locks"], "context": {"facts": [fact]},
    }  # fmt: skip
    return Labelled(**(values | given))
