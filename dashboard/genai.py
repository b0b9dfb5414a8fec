"""Calls of language models for the drawer: model, tokens, cost, prompt and completion. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dashboard import format as fmt

TEXT_CHARS_MAX = 8_000
MESSAGES_MAX = 40
_MARKS = ("gen_ai.", "llm.", "openinference.", "traceloop.")


def speaks(trace: Mapping[str, Any]) -> bool:
    """Whether a span of the trace may be a call of a language model."""
    return any(name.startswith(_MARKS) for span in trace["spans"] for name in span.get("attributes") or {})


def shown(calls: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """By span id: `facts` as (name, value), `prompt` and `completion` as (role, text)."""
    return {
        str(call["span_id"]): {
            "facts": _facts(call),
            "prompt": messages(call.get("prompt")),
            "completion": messages(call.get("completion")),
        }
        for call in calls
    }


def _facts(call: Mapping[str, Any]) -> list[list[str]]:
    named = [
        ("Model", call.get("model")),
        ("Provider", call.get("provider")),
        ("Operation", call.get("operation")),
        ("Tokens in", None if call.get("input_tokens") is None else fmt.count(call["input_tokens"])),
        ("Tokens out", None if call.get("output_tokens") is None else fmt.count(call["output_tokens"])),
        ("Cost", None if call.get("cost") is None else f"${fmt.significant(call['cost'], 3)}"),
        ("Conversation", call.get("conversation_id")),
    ]
    return [[name, fmt.plain(value, 120)] for name, value in named if value not in (None, "")]


def messages(text: str | None) -> list[list[str]]:
    """(role, text) of each message; a text that is no list of messages is one of nobody.

    >>> messages('[{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]')
    [['user', 'Hi']]
    >>> messages("Hi"), messages(None)
    ([['', 'Hi']], [])
    """
    if not text:
        return []
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if isinstance(told, dict):
        told = [told]
    if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
        return [["", fmt.block(text, TEXT_CHARS_MAX)]]
    kept = [
        [fmt.plain(each.get("role") or "", 40), fmt.block(_content(each), TEXT_CHARS_MAX)]
        for each in told[:MESSAGES_MAX]
    ]
    return [*kept, ["", f"… {len(told) - MESSAGES_MAX} more"]] if len(told) > MESSAGES_MAX else kept


def _content(message: Mapping[str, Any]) -> str:
    """The text of a message, in the form of any of the conventions; what is no text as JSON."""
    content = message.get("parts", message.get("content", message.get("message.content")))
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_part(part) for part in content)
    return json.dumps(message if content is None else content, ensure_ascii=False)


def _part(part: object) -> str:
    if isinstance(part, dict):
        for name in ("content", "text"):
            if isinstance(part.get(name), str):
                return str(part[name])
    return part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)
