"""Controls: changes that are no faults, such as twice the load, as `labels.jsonl` of a folder lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, ValidationError

from collector.errors import InvalidInput


class Control(BaseModel):
    """One line of `labels.jsonl` without a root service: the time range of a change, in ns.

    run: the recording that it belongs to, where a folder holds several; empty for the only one.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: str
    root_service: str | None
    start_unix_nano: int
    end_unix_nano: int
    fault_id: str = ""
    run: str = ""

    @property
    def name(self) -> str:
        return " ".join(part for part in (self.run, self.fault_id or self.kind) if part)

    def covers(self, unix_nano: pa.ChunkedArray, runs: pa.ChunkedArray) -> Any:
        """Which of these moments of these recordings lie within the control; an Arrow mask."""
        inside = pc.and_(
            pc.greater_equal(unix_nano, self.start_unix_nano), pc.less_equal(unix_nano, self.end_unix_nano)
        )
        return pc.and_(inside, pc.equal(runs, self.run)) if self.run else inside


def read_controls(path: Path) -> list[Control]:
    """The controls that a file lists, in its order; none without the file.

    Raises:
        InvalidInput: a line is no label.
    """
    if not path.is_file():
        return []
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            label = Control.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise InvalidInput(
                f"{path}, line {number}: {place} {first['msg']}".replace("  ", " "),
                hint="each line is a label with kind, root_service (null for a control) and its times",
            ) from error
        if label.root_service is None:
            found.append(label)
    return found
