"""What incidents have in common once numbers and ids are taken away: their structure, and their words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache

# With its unit: "0.9 s" and "900 ms" are the same words about another size.
_FIGURE = re.compile(r"\d[\d,.:]*(?:\s?(?:ns|µs|μs|ms|s|min|h|%|×|σ)(?![A-Za-z]))?")
_ID = re.compile(r"\b[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b")
_SPACE = re.compile(r"\s+")


def without_figures(text: str) -> str:
    """
    >>> without_figures("GET /a/17 took 152 ms in trace 4bf92f3577b34da6, usually 0.9 s")
    'get /a/# took # in trace #, usually #'
    """
    return _SPACE.sub(" ", _FIGURE.sub("#", _ID.sub("#", text.lower()))).strip()


_name = lru_cache(maxsize=16_384)(without_figures)  # services and operations are few


def structure(facts: Iterable[tuple[str, str, str]], candidates: Iterable[tuple[str, str]]) -> bytes:
    """16 bytes of an incident's structure: which operations are candidates, what kinds of facts stand where.

    Args:
        facts: (kind, service, operation) of each.
        candidates: (service, operation) of each, best first.
    """
    parts = {f"{kind}|{_name(service)}|{_name(operation)}" for kind, service, operation in facts}
    ranked = [f"{_name(service)}|{_name(operation)}" for service, operation in candidates]
    return hashlib.blake2b(repr((ranked, sorted(parts))).encode(), digest_size=16).digest()
