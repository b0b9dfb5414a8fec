"""An incident of which all operations are the victims: what they share is its cause. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboard import format as fmt

# Kinds of evidence, as the HTTP API has them.
_SLOWER, _SATURATED = "everything_slower", "host_saturated"


def shared_cause(incident: Mapping[str, Any]) -> str:
    """What slows all operations at once; empty where one place stands out.

    >>> item = {"kind": "everything_slower", "text": "8 of 9 operations take 2.9 times their usual own time"}
    >>> shared_cause({"root_causes": [{"service": "shop", "evidence": [item]}]})
    'no single place: 8 of 9 operations take 2.9 times their usual own time'
    """
    causes = incident.get("root_causes") or []
    evidence = (causes[0].get("evidence") if causes else None) or []
    said = {item.get("kind"): item.get("text") for item in evidence}
    if _SLOWER not in said:
        return ""
    if _SATURATED in said:
        return f"the host: {fmt.plain(said[_SATURATED] or '', 160)}"
    return f"no single place: {fmt.plain(said[_SLOWER] or '', 160)}"
