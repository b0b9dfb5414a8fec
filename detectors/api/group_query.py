"""The filters of `GET /api/monitor/anomaly-groups`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from detectors.api.answers import detector_named, one_of, parse_severities, parse_since
from detectors.incidents.groups import GroupFilters
from detectors.incidents.rows import ORDERS, STATES

_OFFSET_MAX = 1_000_000
_TEXT_CHARS_MAX = 200


class GroupQuery(BaseModel):
    """A misspelt filter is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid")

    severity: list[str] | None = None
    service: str | None = None
    detector: str | None = None
    state: list[str] | None = None
    since: str | None = None
    text: str | None = Field(None, max_length=_TEXT_CHARS_MAX)
    incident_id: str | None = None
    alone: bool = False
    limit: int = Field(50, ge=1, le=500)
    offset: int = Field(0, ge=0, le=_OFFSET_MAX)
    order: str = "severity"

    def filters(self, now_unix_nano: int) -> GroupFilters:
        """Raises InvalidInput for a value that is not known."""
        one_of("order", self.order, ORDERS)
        states = [state for text in self.state or () for state in text.split(",") if state]
        for state in states:
            one_of("state", state, STATES)
        return GroupFilters(
            severities=parse_severities(self.severity),
            service=self.service,
            detector=detector_named(self.detector),
            states=states or None,
            since=parse_since(self.since, now_unix_nano),
            text=self.text or None,
            incident_id=self.incident_id,
            alone=self.alone,
            by=self.order,
            limit=self.limit,
            offset=self.offset,
        )
