"""Versions of services as deploys. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True)
class Deploy:
    """A service answered with another version from `at_ms` (since 1970) on; `before` is the one before."""

    service: str
    version: str
    before: str
    at_ms: int


def deploys(versions: Sequence[Mapping[str, Any]]) -> list[Deploy]:
    """The versions that began after another one of their service had been seen; newest first.

    Args:
        versions: service_name, version, first_ms.
    """
    by_service: dict[str, list[Mapping[str, Any]]] = {}
    for row in versions:
        by_service.setdefault(row["service_name"], []).append(row)
    found = [
        Deploy(service, str(after["version"]), str(before["version"]), int(after["first_ms"]))
        for service, rows in by_service.items()
        for before, after in pairwise(sorted(rows, key=lambda row: row["first_ms"]))
    ]
    return sorted(found, key=lambda deploy: -deploy.at_ms)
