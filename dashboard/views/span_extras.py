"""What the drawer of a waterfall shows besides the trace's own answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.errors import SpyhopError
from dashboard import data, genai
from dashboard.components.waterfall.span_details import Extras
from dashboard.data.telemetry import genai_calls, span_origins
from dashboard.views import frame

_NOTHING = Extras()


def read_extras(trace: Mapping[str, Any], before: Extras = _NOTHING) -> Extras:
    """Links, logs, calls of models, resource and scope; what was found before, where they cannot be read."""
    url, trace_id = frame.api_url(), str(trace["trace_id"])
    try:
        return Extras(
            data.span_links(url, trace_id),
            data.trace_logs(url, trace_id),
            genai_calls(url, trace_id) if genai.speaks(trace) else (),
            span_origins(url, trace_id),
        )
    except SpyhopError:
        return before  # a region of the page says it
