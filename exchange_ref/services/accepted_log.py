"""The log of accepted orders, one JSON line each: a count of traces that does not depend on spans."""

from __future__ import annotations

import json
import time
from pathlib import Path


class AcceptedLog:
    """Lines `{<id_field>, trace_id, unix_nano}`.

    Args:
        id_field: `order_id` or `transfer_id`, as in the body of the answer.
    """

    def __init__(self, path: Path, id_field: str) -> None:
        self.id_field = id_field
        self._file = path.open("a", buffering=1, encoding="utf-8")

    def write(self, reply: bytes, trace_id: str) -> None:
        """Note the accepted thing that `reply`, the body of a 201, is about."""
        line = {
            self.id_field: json.loads(reply)[self.id_field],
            "trace_id": trace_id,
            "unix_nano": time.time_ns(),
        }
        self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        self._file.close()
