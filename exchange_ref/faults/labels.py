"""The truth about each fault, one JSON line when it is over."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from exchange_ref.errors import FolderUnusable


@dataclass(frozen=True, slots=True)
class Label:
    """
    Args:
        root_service: None for a control, which is no fault.
        root_operation: the span name at fault; None when it is more than one.
        trace_ids: the orders that met the fault, in the order they did.
        expected_symptoms: `{kind, service, operation}` an observer should find.
        impact: what was measured, and `impact_verified` whether the symptom is really there.
    """

    fault_id: str
    kind: str
    root_service: str | None
    root_operation: str | None
    params: dict[str, object]
    seed: int
    start_unix_nano: int
    end_unix_nano: int
    trace_ids: list[str]
    expected_symptoms: list[dict[str, str]]
    impact_verified: bool
    impact: dict[str, object] = field(default_factory=dict)

    def summary(self) -> dict[str, object]:
        """The label without its traces, and their number instead."""
        fields = asdict(self)
        return {
            **{name: value for name, value in fields.items() if name != "trace_ids"},
            "traces": len(self.trace_ids),
        }


class LabelFile:
    """Appends; each line is on its way to the disk when `write` returns."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise FolderUnusable(
                f"cannot write labels to {path}: {error.strerror}; choose another --labels"
            ) from None
        self.labels: list[Label] = []

    def write(self, label: Label) -> None:
        self.labels.append(label)
        self._file.write(json.dumps(asdict(label)) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
