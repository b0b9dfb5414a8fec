"""What a format is: a name, a schema for its rows, and a function from a gold answer to a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from datasets.export.gold import Gold

Split = Literal["train", "validation"]
SPLITS: tuple[Split, ...] = ("train", "validation")


@dataclass(frozen=True)
class Format:
    """`row_model` forbids unknown fields, so that no metadata slips into rows."""

    name: str
    schema_version: str
    row_model: type[BaseModel]
    build: Callable[[Gold], BaseModel]


@dataclass(frozen=True)
class Row:
    """A line of an export. `text` is JSON without a line break; `content_hash` ignores ids and figures."""

    gold: Gold
    split: Split
    text: str
    content_hash: str
    token_estimate: int
