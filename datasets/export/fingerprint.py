"""What an example is like once numbers and ids are taken away: by it rows are split and duplicates found."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

from datasets.export.labelled import Labelled

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


def fingerprint(example: Labelled) -> str:
    """Of the incident's structure: which operations are candidates, and what kinds of facts stand where."""
    facts = example.context.get("facts", ())
    parts = {f"{f['kind']}|{without_figures(f['service'])}|{without_figures(f['operation'])}" for f in facts}
    candidates = [
        f"{without_figures(c['service'])}|{without_figures(c['operation'])}"
        for c in example.context.get("candidates", ())
    ]
    return hashlib.sha256(repr((candidates, sorted(parts))).encode()).hexdigest()


def components(examples: Iterable[Labelled]) -> Mapping[str, str]:
    """The component of each example by its id: examples of one incident, or of one fingerprint, share it.

    A component is named by its smallest fingerprint, so it keeps its name as others come, unless an example
    joins two of them.
    """
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    keys: dict[str, str] = {}
    for example in examples:
        mark = fingerprint(example)
        keys[example.example_id] = mark
        one, other = root(f"print:{mark}"), root(f"group:{example.group_id}")
        parent[max(one, other)] = min(one, other)
    smallest: dict[str, str] = {}
    for mark in keys.values():
        component = root(f"print:{mark}")
        smallest[component] = min(mark, smallest.get(component, mark))
    return {example_id: smallest[root(f"print:{mark}")] for example_id, mark in keys.items()}
