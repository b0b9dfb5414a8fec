"""The registry of export formats: one file a family, one line here a format."""

from __future__ import annotations

from collector.errors import InvalidInput
from datasets.export.formats import alpaca, openai, raw, sharegpt, trl
from datasets.export.row import Format

FORMATS: dict[str, Format] = {
    format_.name: format_
    for format_ in (
        openai.SFT, openai.DPO, openai.RFT, trl.SFT, trl.DPO, trl.KTO,
        sharegpt.FORMAT, alpaca.FORMAT, raw.FORMAT,
    )
}  # fmt: skip
ALL = "all"


def formats_named(names: str) -> list[Format]:
    """The formats of a list such as `trl-sft` or `trl-sft,trl-dpo`, or all of them.

    Raises:
        InvalidInput: one does not exist; names those that do.
    """
    wanted = list(FORMATS) if names.strip() == ALL else [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in FORMATS:
            raise InvalidInput(
                f"there is no export format {name!r}", hint=f"use one of: {', '.join(FORMATS)}, {ALL}"
            )
    return [FORMATS[name] for name in dict.fromkeys(wanted)]
