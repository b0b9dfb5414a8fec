"""The structure that a model is asked for, and the reader of its answers."""

from __future__ import annotations

import json
import re

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_FENCE = re.compile(r"```(?:json)?(.*?)```", re.DOTALL)


class AnsweredCause(BaseModel):
    model_config = ConfigDict(extra="forbid")

    service: str = Field(max_length=300)
    operation: str = Field(max_length=300)
    statement: str = Field(max_length=2000)
    evidence_ids: list[str] = Field(max_length=50)


class Answer(BaseModel):
    """The answer of a model; training rows use it as the assistant's message, too."""

    model_config = ConfigDict(extra="forbid")

    summary: str = Field(max_length=6000)
    root_causes: list[AnsweredCause] = Field(max_length=20)
    recommendations: list[str] = Field(max_length=20)


def strict_schema() -> dict[str, object]:
    """JSON schema in the subset that strict structured output accepts: no length limits, all required."""
    return _without_limits(Answer.model_json_schema())  # type: ignore[return-value]  # a schema is an object


def parse_answer(text: str) -> Answer:
    """Read an answer from a model's text: bare JSON, fenced JSON, JSON in prose, or JSON in a JSON string.

    Raises:
        ValueError: none of these gives an answer; the message says what was wrong with the best of them.
    """
    problem: ValueError | None = None
    for candidate in _candidates(text):
        try:
            loaded = json.loads(candidate)
            if isinstance(loaded, str):
                loaded = json.loads(loaded)
            return Answer.model_validate(loaded)
        except ValidationError as error:
            problem = ValueError("; ".join(f"{_where(e['loc'])}: {e['msg']}" for e in error.errors()[:5]))
        except (ValueError, RecursionError) as error:
            problem = problem or ValueError(f"not JSON ({error})")
    raise problem or ValueError("empty answer")


def _candidates(text: str) -> list[str]:
    found = [text.strip()] if text.strip() else []
    found += [match.strip() for match in _FENCE.findall(text)]
    start, end = text.find("{"), text.rfind("}")
    if 0 <= start < end:
        found.append(text[start : end + 1])
    return found


def _where(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "answer"


def _without_limits(value: object) -> object:
    if isinstance(value, dict):
        return {
            key: _without_limits(item) for key, item in value.items() if key not in ("maxLength", "maxItems")
        }
    if isinstance(value, list):
        return [_without_limits(item) for item in value]
    return value
