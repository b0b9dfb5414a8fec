"""What an example is like once numbers and ids are taken away: by it rows are split and duplicates found."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
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


def content_hash(texts: Iterable[str]) -> bytes:
    """16 bytes of texts without their figures and ids: rows that share them teach the same."""
    return hashlib.blake2b(without_figures("\n".join(texts)).encode(), digest_size=16).digest()


def components(examples: Iterable[tuple[bytes, str]]) -> Mapping[bytes, bytes]:
    """The component of each fingerprint: of (fingerprint, group), those that share either are in one.

    A component is named by its smallest fingerprint, so it keeps its name as others come, unless an example
    joins two of them.
    """
    parent: dict[bytes | str, bytes | str] = {}

    def root(key: bytes | str) -> bytes | str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    marks: set[bytes] = set()
    for mark, group in examples:
        marks.add(mark)
        parent[root(group)] = root(mark)
    smallest: dict[bytes | str, bytes] = {}
    for mark in marks:
        component = root(mark)
        smallest[component] = min(mark, smallest.get(component, mark))
    return {mark: smallest[root(mark)] for mark in marks}
