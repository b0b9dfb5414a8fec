"""Jinja2 for our own templates; telemetry only ever enters as data and is never rendered itself."""

from __future__ import annotations

import json
from functools import cache

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from llm.redaction.redact import quoted_name


class _KnownOrFalse(StrictUndefined):
    """A missing attribute is false in `{% if %}` and `or`, and an error anywhere else."""

    __slots__ = ()

    def __bool__(self) -> bool:  # type: ignore[override]  # StrictUndefined's raises; that is the point
        return False


@cache
def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(
        loader=PackageLoader("llm", "."),
        undefined=_KnownOrFalse,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # plain text for a model and a terminal; the dashboard escapes what it shows
        keep_trailing_newline=False,
    )
    environment.filters["data"] = data_block
    environment.filters["name"] = lambda value: quoted_name(str(value))
    environment.filters["code"] = _code
    return environment


def render(name: str, **values: object) -> str:
    """The text of `llm/<name>.j2` with `values`.

    Raises:
        jinja2.TemplateError: a template of ours is broken or wants a value that is not given.
    """
    return _environment().get_template(f"{name}.j2").render(**values)


def _code(value: object) -> str:
    """An identifier in backticks; what reads as words is quoted, since it is the sender's."""
    shown = quoted_name(str(value))
    return shown if shown.startswith('"') else f"`{shown}`"


def data_block(value: object) -> str:
    """JSON that cannot close a tag or a fence: `<`, `>`, `&` and backticks are written as escapes."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(", ", ": "))
    for char in "<>&`":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text
