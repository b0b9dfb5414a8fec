"""An export format: a name, the structure of its rows, and a function from a judged example to rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import msgspec

from datasets.export.gold import NO_CORRECTION
from datasets.export.labelled import Labelled
from datasets.export.lesson import Lesson
from llm.narration.answer import Answer
from llm.narration.context import render_messages

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Record(msgspec.Struct, forbid_unknown_fields=True):
    """Base of rows. Unknown fields are refused when a file is read again: no metadata slips into rows."""


class Message(Record):
    role: Literal["system", "user", "assistant"]
    content: str


class Judged:
    """An example with its prompt, shared by all formats of one export."""

    def __init__(self, example: Labelled, lesson: Lesson) -> None:
        self.example = example
        self.lesson = lesson
        self.chosen = lesson.chosen  # empty if the right answer is not known
        self.original = lesson.original  # the rejected side of a preference

    @cached_property
    def prompt(self) -> list[Message]:
        """The live prompt: a model tuned on it can be put at SPYHOP_LLM_MODEL. Rendered for rows only."""
        messages = render_messages(self.example.context, self.example.prompt_version)
        return [Message(role=m["role"], content=m["content"]) for m in messages]  # type: ignore[arg-type]

    @property
    def system(self) -> str:
        return self.prompt[0].content

    @property
    def user(self) -> str:
        return self.prompt[1].content


@dataclass(frozen=True)
class Format:
    """`refusal` is the reason why an example makes no row, else empty; `build` gives its rows.

    `check` raises ValueError for a row that has the right fields and is invalid all the same. `extra_files`
    are files that a trainer needs beside the rows, by name, from the splits that have rows.
    """

    name: str
    schema_version: str
    row_type: type[Record]
    refusal: Callable[[Judged], str]
    build: Callable[[Judged], Sequence[Record]]
    check: Callable[[Any], None] = lambda _: None
    extra_files: Callable[[Sequence[Split]], Mapping[str, str]] = lambda _: {}
    min_rows: int = 1  # fewer are refused by the trainer
    needs_validation: bool = False


@dataclass(frozen=True)
class Row:
    """A line of an export: JSON without a line break."""

    judged: Judged
    split: Split
    text: bytes
    token_estimate: int


def needs_gold(judged: Judged) -> str:
    """The reason why an example has no answer to follow; empty when it has one."""
    return "" if judged.chosen else NO_CORRECTION


def require_answer(text: str) -> None:
    """Raises ValueError when `text` is no answer in the form that a model is asked for."""
    Answer.model_validate_json(text)


def require_roles(messages: Sequence[Message], *roles: str) -> None:
    """Raises ValueError unless the messages have these roles, in order, and each says something."""
    if tuple(message.role for message in messages) != roles:
        raise ValueError(f"messages must be {', '.join(roles)}")
    if not all(message.content for message in messages):
        raise ValueError("a message is empty")
