"""Fingerprints of examples without numbers and ids, by which rows are split and duplicates found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache

from llm.analysis.fingerprint import without_figures


def content_hash(texts: Iterable[str]) -> bytes:
    """16 bytes of texts without their figures and ids: rows that share them teach the same."""
    words = map(_words, texts)
    return hashlib.blake2b(" ".join(filter(None, words)).encode(), digest_size=16).digest()


# The actual answer is mostly the expected one, and neighbours share the facts without figures.
_words = lru_cache(maxsize=256)(without_figures)


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
