"""What to say of a word that no search knows: what TraceQL has and we do not, or what may have been meant."""

from __future__ import annotations

from collections.abc import Collection

# Of Tempo's documentation.
_NOT_TAKEN = frozenset(
    {"nestedSetLeft", "nestedSetRight", "event:timeSinceStart", "compare", "topk", "bottomk", "versionHash"}
)
_OPERATORS = {
    "and": "write &&",
    "or": "write ||",
    "not": "write !",
    "in": 'write e.g. =~ "GET|POST"',
    "like": 'write e.g. =~ ".*part.*"',
    "union": "write ||",
}


def of_field(word: str, known: Collection[str]) -> tuple[str, str]:
    """The problem and the hint for `word` in the place of a field or a value, of which `known` are."""
    meant = next((name for name in known if name.lower() == word.lower()), "")
    if meant:
        return f"{word!r} is no field", f"write {meant}"
    told = of_word(word)
    if told[0]:
        return told
    if ":" in word:
        colons = ", ".join(sorted(name for name in known if ":" in name))
        return f"{word!r} is no field", f"with a colon there are {colons}"
    return f"{word!r} is no field", f"an attribute has a dot before its name, e.g. .{word} or span.{word}"


def of_word(word: str) -> tuple[str, str]:
    """The same in any place; empty where nothing special is known."""
    if word in _NOT_TAKEN:
        return f"{word!r} of TraceQL is not taken here", "docs/search.md lists what is"
    if hint := _OPERATORS.get(word.lower()):
        return f"{word!r} is no operator", hint
    return "", ""
