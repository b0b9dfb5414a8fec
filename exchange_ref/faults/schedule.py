"""Fault schedules: YAML, checked before anything starts, every mistake named by line and field.

seed: 7
faults:
  - {kind: db_slow, at_s: 18, for_s: 8, params: {delay_ms: 150}}
  - {kind: whale_order, at_s: 32, params: {multiple: 400}}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from exchange_ref.errors import InvalidSchedule
from exchange_ref.faults.fault import Fault
from exchange_ref.faults.registry import LASTING, MOMENTARY, KnownKind

DEFAULT_DURATION_S = 8.0
Where = tuple[str | int, ...]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: KnownKind
    at_s: float = Field(ge=0, allow_inf_nan=False)
    for_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    params: dict[str, Any] = {}


class _Schedule(BaseModel):
    model_config = ConfigDict(extra="forbid")

    seed: int = 0
    faults: list[_Entry]


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault and when it begins, seconds after the load."""

    kind: str
    at_s: float
    fault: Fault


@dataclass(frozen=True, slots=True)
class Schedule:
    seed: int
    faults: tuple[Planned, ...]


def read_schedule(path: Path) -> Schedule:
    """
    Raises:
        InvalidSchedule: the file cannot be read, is not YAML, or asks for something that is not there.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSchedule(f"cannot read the fault schedule {path}: {error}") from None
    return parse_schedule(text, str(path))


def parse_schedule(text: str, name: str) -> Schedule:
    """The schedule in `text`; `name` is used in errors."""
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise InvalidSchedule(f"{name}: {line}not YAML: {getattr(error, 'problem', None) or error}") from None
    try:
        schedule = _Schedule.model_validate(value)
    except ValidationError as error:
        raise _invalid(name, root, (), error) from None
    planned = [_plan(name, root, index, entry) for index, entry in enumerate(schedule.faults)]
    _refuse_overlap(name, root, schedule.faults)
    return Schedule(schedule.seed, tuple(planned))


def _plan(name: str, root: yaml.Node | None, index: int, entry: _Entry) -> Planned:
    if entry.kind in MOMENTARY and entry.for_s is not None:
        where = ("faults", index, "for_s")
        raise _error(name, root, where, f"a {entry.kind} is over at once; leave for_s out")
    try:
        return Planned(entry.kind, entry.at_s, build_fault(entry.kind, entry.for_s, entry.params))
    except ValidationError as error:
        raise _invalid(name, root, ("faults", index, "params"), error) from None


def build_fault(kind: str, for_s: float | None, params: dict[str, Any]) -> Fault:
    """A fault of a known kind.

    Raises:
        ValidationError: a parameter that the kind does not have, or out of its bounds.
    """
    if kind in MOMENTARY:
        momentary: Any = MOMENTARY[kind]
        fault: Fault = momentary(momentary.params_model.model_validate(params))
        return fault
    lasting = LASTING[kind]
    return lasting(lasting.params_model.model_validate(params), for_s or DEFAULT_DURATION_S)


def _refuse_overlap(name: str, root: yaml.Node | None, entries: Sequence[_Entry]) -> None:
    """Two slow databases at once would be one slower database with two half-true labels."""
    ends_at_s: dict[str, float] = {}
    lasting = [(entry.at_s, index, entry) for index, entry in enumerate(entries) if entry.kind in LASTING]
    for at_s, index, entry in sorted(lasting, key=lambda item: item[0]):
        end_s = ends_at_s.get(entry.kind, 0.0)
        if at_s < end_s:
            where = ("faults", index, "at_s")
            raise _error(
                name, root, where, f"starts before the {entry.kind} that ends at {end_s:g} s is over"
            )
        ends_at_s[entry.kind] = at_s + (entry.for_s or DEFAULT_DURATION_S)


def _invalid(name: str, root: yaml.Node | None, prefix: Where, error: ValidationError) -> InvalidSchedule:
    first = error.errors()[0]
    given = first["input"]
    got = f", not {given!r}" if isinstance(given, str | int | float) else ""
    return _error(name, root, prefix + tuple(first["loc"]), first["msg"] + got)


def _error(name: str, root: yaml.Node | None, where: Where, message: str) -> InvalidSchedule:
    field_name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
    place = f"line {_line(root, where)}: {field_name or 'the whole file'}"
    return InvalidSchedule(f"{name}: {place}: {message[:1].lower()}{message[1:]}")


def _line(node: yaml.Node | None, where: Where) -> int:
    """The line of the deepest node on the way to `where`, counting from 1."""
    line = node.start_mark.line + 1 if node is not None else 1
    for part in where:
        child: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
            if found:
                line, child = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            child = node.value[part]
            line = child.start_mark.line + 1
        if child is None:
            return line
        node = child
    return line
