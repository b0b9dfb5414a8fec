"""Log lines → templates: what stays the same when a message is written again with other values.

Numbers and ids are masked; then lines of one service, level and length are one template while at least 70%
of their words agree, and the words that do not become wildcards. Only the first line and its first 16 words
count, so that a list of any length is one template. Each distinct masked line is compared once.
Source: Drain (He et al., ICWS 2017), with the search tree replaced by groups of service, level and length.

>>> miner = TemplateMiner()
>>> [miner.code("shop", body) for body in ("paid order 17 of bob", "paid order 9 of eve", "no stock left")]
[0, 0, 1]
>>> miner.text(0)
'paid order * of *'
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

_MASKED = re.compile(
    r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"  # UUID
    r"|\b(?=[0-9A-Za-z]*\d)[0-9A-Za-z]{8,}\b"  # id: eight or more letters and digits, a digit among them
    r"|\d+"
)
_WORD = re.compile(r"[^\s\[\](){},;=:|\"'<>/]+")
_LEVEL = re.compile(r"\b(?:(FATAL|CRITICAL|SEVERE|PANIC|EMERG|ALERT|ERROR|ERR)|WARN(?:ING)?)\b", re.ASCII)
_LEVEL_WITHIN = 100  # characters; a level stands at the beginning
_LINE_MAX = 400
_WORDS_MAX = 16
_SIMILAR = 0.7
_KNOWN_MAX = 100_000  # distinct masked lines remembered
_WILDCARD = "*"
_SEVERITY_WARN, _SEVERITY_ERROR = 13, 17  # OpenTelemetry severity numbers


class Level(IntEnum):
    PLAIN = 0
    WARN = 1
    ERROR = 2


@dataclass(slots=True)
class _Template:
    level: Level
    words: list[str]


def level_of(line: str, severity_number: int = 0) -> Level:
    """From the severity where the source gave one, else from the word in capitals near the beginning.

    >>> level_of("12:00 ERROR no route"), level_of("error-free"), level_of("slow", 13)
    (<Level.ERROR: 2>, <Level.PLAIN: 0>, <Level.WARN: 1>)
    """
    if severity_number:
        if severity_number >= _SEVERITY_ERROR:
            return Level.ERROR
        return Level.WARN if severity_number >= _SEVERITY_WARN else Level.PLAIN
    found = _LEVEL.search(line[:_LEVEL_WITHIN])
    if not found:
        return Level.PLAIN
    return Level.ERROR if found.group(1) else Level.WARN


class TemplateMiner:
    """Numbers templates in the order in which they appear. Not thread-safe."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, int, str], int] = {}
        self._groups: dict[tuple[str, Level, int], list[int]] = {}
        self._templates: list[_Template] = []

    def __len__(self) -> int:
        return len(self._templates)

    def code(self, service_name: str, body: str, severity_number: int = 0) -> int:
        """The number of the template that a message belongs to; a new one when none fits."""
        line = body.split("\n", 1)[0][:_LINE_MAX]
        masked = _MASKED.sub(_WILDCARD, line)
        key = (service_name, severity_number, masked)
        known = self._codes.get(key)
        if known is None:
            known = self._match(service_name, level_of(line, severity_number), masked)
            if len(self._codes) < _KNOWN_MAX:
                self._codes[key] = known
        return known

    def restore(self, service_name: str, level: Level, text: str) -> int:
        """The number of a template of a former run, as `text` gave it."""
        words = text.split(" ") if text else []
        self._templates.append(_Template(level, words))
        code = len(self._templates) - 1
        self._groups.setdefault((service_name, level, len(words)), []).append(code)
        return code

    def level(self, code: int) -> Level:
        return self._templates[code].level

    def text(self, code: int) -> str:
        """The template's words, wildcards as `*`."""
        return " ".join(self._templates[code].words)

    def _match(self, service_name: str, level: Level, masked: str) -> int:
        words = _WORD.findall(masked)[:_WORDS_MAX]
        group = self._groups.setdefault((service_name, level, len(words)), [])
        best, most = -1, -1
        for code in group:
            same = sum(a in (b, _WILDCARD) for a, b in zip(self._templates[code].words, words, strict=True))
            if same > most:
                best, most = code, same
        if best >= 0 and most >= _SIMILAR * len(words):
            template = self._templates[best]
            template.words = [a if a == b else _WILDCARD for a, b in zip(template.words, words, strict=True)]
            return best
        self._templates.append(_Template(level, words))
        group.append(len(self._templates) - 1)
        return len(self._templates) - 1
