"""Labelled explanations made by hand, for pure functions."""

from __future__ import annotations

from typing import Any

from datasets.labelled import Labelled


def labelled(number: int = 1, **given: Any) -> Labelled:
    """A thumbs-up on `SELECT carts` in checkout; `given` replaces fields."""
    fact = {
        "id": "E1", "service": "checkout", "operation": "SELECT carts", "kind": "exclusive_time",
        "statement": f"SELECT carts in checkout took {100 + number} ms",
    }  # fmt: skip
    values: dict[str, Any] = {
        "example_id": f"f{number:03d}", "rating": "up", "correction": {}, "updated_unix_nano": number,
        "explanation_id": f"e{number:03d}", "subject_kind": "incident", "subject_id": f"in{number}",
        "group_id": f"in{number}", "source": "deterministic", "model": None, "prompt_version": "v1",
        "summary": f"SELECT carts took {100 + number} ms [E1].",
        "root_causes": [{"rank": 1, "service": "checkout", "operation": "SELECT carts",
                         "statement": fact["statement"], "confidence": 0.8, "evidence": ["E1", "E7"]}],
        "evidence": [], "recommendations": ["Look for locks"], "context": {"facts": [fact]},
    }  # fmt: skip
    return Labelled(**(values | given))
