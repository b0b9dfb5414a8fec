"""The roles of detectors: what their anomalies mean for incidents. The view `detector_roles` defines them.

Python reads it from its file, so that what SQL joins and what the tracker asks cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache

import duckdb

from collector.store.sqlfile import load_sql

# (detector, rule) of anomalies that are evidence only, though their detector has others that count.
_HINTS = frozenset({("latency", "faster"), ("metric", "")})


class Role(StrEnum):
    """What an anomaly of a detector means."""

    CALL = "call"  # it accuses an operation, and becomes an incident only together with others
    EVENT = "event"  # it opens an incident by itself
    HINT = "hint"  # evidence only


def role_of(detector: str, rule: str = "") -> Role:
    """The role of a detector's anomalies of a rule; a hint where nobody knows the detector.

    >>> role_of("latency"), role_of("latency", "faster"), role_of("metric", "growth")
    (<Role.CALL: 'call'>, <Role.HINT: 'hint'>, <Role.EVENT: 'event'>)
    """
    return Role.HINT if (detector, rule) in _HINTS else _roles().get(detector, Role.HINT)


@cache
def detectors_of(role: Role) -> frozenset[str]:
    """The detectors of a role, as the view lists them."""
    return frozenset(name for name, known in _roles().items() if known is role)


@cache
def _roles() -> Mapping[str, Role]:
    with duckdb.connect() as con:
        con.execute(load_sql("collector.store.schema", "43_detector_roles"))
        rows = con.execute('SELECT detector, "role" FROM detector_roles').fetchall()
    return {name: Role(role) for name, role in rows}
