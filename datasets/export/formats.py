"""The registry of export formats: one file a format, one line here."""

from __future__ import annotations

from collector.errors import InvalidInput
from datasets.export import trl_sft
from datasets.export.row import Format

FORMATS: dict[str, Format] = {format_.name: format_ for format_ in (trl_sft.FORMAT,)}


def format_named(name: str) -> Format:
    """Raises InvalidInput for a format that does not exist, naming those that do."""
    if name not in FORMATS:
        raise InvalidInput(f"there is no export format {name!r}", hint=f"use one of: {', '.join(FORMATS)}")
    return FORMATS[name]
