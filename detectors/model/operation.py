"""The operation, which detectors watch: a service, a span name and a span kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Operation(NamedTuple):
    """The fields are columns of the detectors' tables.

    operation: the span's name; span_kind: OpenTelemetry's, e.g. CLIENT.
    """

    service_name: str
    operation: str
    span_kind: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Operation:
        """That of a row with these columns."""
        return cls(row["service_name"], row["operation"], row["span_kind"])
