"""TRL's conversational format for supervised fine-tuning: one `messages` list a row.

Source: TRL documentation, "Dataset formats and types", conversational language modelling.
The prompt is the live one, so that a model tuned on these rows can be put at SPYHOP_LLM_MODEL.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from datasets.export.gold import Gold
from datasets.export.row import Format
from llm.answer import parse_answer
from llm.context import render_messages


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(min_length=1)]


class TrlSftRow(BaseModel):
    model_config = ConfigDict(extra="forbid")

    messages: Annotated[list[Message], Field(min_length=3, max_length=3)]

    @field_validator("messages")
    @classmethod
    def _system_user_answer(cls, messages: list[Message]) -> list[Message]:
        if [message.role for message in messages] != ["system", "user", "assistant"]:
            raise ValueError("messages must be system, user, assistant")
        parse_answer(messages[-1].content)
        return messages


def build(gold: Gold) -> TrlSftRow:
    """The live prompt of the example, answered with gold."""
    messages = [
        Message.model_validate(m) for m in render_messages(gold.example.context, gold.example.prompt_version)
    ]
    return TrlSftRow(messages=[*messages, Message(role="assistant", content=gold.answer.model_dump_json())])


FORMAT = Format(name="trl-sft", schema_version="trl-sft-1", row_model=TrlSftRow, build=build)
