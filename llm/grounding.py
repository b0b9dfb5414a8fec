"""A model's answer → what of it is borne out by the facts. The model selects and narrates; code decides.

Kept is a sentence that cites facts which exist, whose numbers stand in those facts, and which carries
nothing over from the free text of telemetry; a root cause that is among the candidates; a recommendation
that was offered. The candidates' order and confidence stay those of code, and the first one cannot be
talked away.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from llm.answer import Answer, AnsweredCause
from llm.explanation import Draft, Evidence, Fact, RootCause
from llm.figures import unsupported
from llm.redact import redact_name, redact_text, strip_invisible
from llm.units import quantity

MIN_SENTENCE_WORDS = 3  # what is left of a sentence that was all markup says nothing
MAX_SENTENCE_CHARS = 600
_CITATION = re.compile(r"\[\s*(E\d+(?:\s*[,;]\s*E\d+)*)\s*\]")
_SENTENCE = re.compile(r".+?(?:[.!?](?:\s*\[[E\d,; ]+\][.!?]?)*(?=\s|$)|$)", re.DOTALL)
_MARKUP = re.compile(
    r"!?\[[^\]]*\]\([^)]*\)"  # Markdown links and images
    r"|!?\[[^\]]*\]\[[^\]]*\]|^\s*\[[^\]]+\]:.*$"  # reference links and their targets
    r"|<[^>]*>"  # HTML, autolinks
    r"|(?:[a-z][a-z0-9+.-]*://|www\.|data:|javascript:|mailto:)\S*",
    re.IGNORECASE | re.MULTILINE,
)
_NOISE = re.compile(r"[`*#|~]+|^\s*>+", re.MULTILINE)
_IDENTIFIER = re.compile(r"[A-Za-z0-9]+(?:[-_./@:][A-Za-z0-9]+)+")
_ABBREVIATIONS = {"e.g.": "for example", "i.e.": "that is", "vs.": "against", "approx.": "about"}
_COMPOUND = re.compile(r"[a-z]+(?:[-/][a-z]+)+")
_BLAME = re.compile(
    r"\b(?:cause[sd]?|causing|culprit|blame[sd]?|fault|faulty|responsible|due to|because"
    r"|origin\w*|restart\w*)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r'"([^"]*)"')
_NAME_WORDS = 5
_TAINT_WORDS = 4  # so many words in a row from telemetry's free text are not the model's own


@dataclass(frozen=True)
class Grounded:
    """`draft` is None when nothing of the answer was borne out. `dropped` says what was left out and why."""

    draft: Draft | None
    dropped: tuple[str, ...]


def ground(answer: Answer, evidence: Evidence, draft: Draft) -> Grounded:
    """Check `answer` against `evidence`; `draft` is the deterministic explanation that it narrates."""
    checker = _Checker(evidence)
    summary = [s for s in map(checker.summary_sentence, _sentences(answer.summary)) if s]
    if not summary:
        checker.dropped.append("no sentence of the summary was borne out by the facts")
        return Grounded(None, tuple(dict.fromkeys(checker.dropped)))
    causes = checker.causes(answer.root_causes, draft)
    offered = {_plain(line): line for line in draft.recommendations}
    chosen = [offered[_plain(text)] for text in answer.recommendations if _plain(text) in offered]
    if len(chosen) < len(answer.recommendations):
        checker.dropped.append("recommendations that were not offered")
    return Grounded(
        Draft(
            summary=" ".join(summary),
            root_causes=causes,
            recommendations=tuple(dict.fromkeys(chosen)) or draft.recommendations,
            confidence=draft.confidence,
        ),
        tuple(dict.fromkeys(checker.dropped)),
    )


def plain_text(text: str) -> str:
    """Text without markup, links, images, HTML and invisible characters, on one line."""
    text = html.unescape(html.unescape(strip_invisible(text)))
    while (cleaned := _MARKUP.sub(" ", text)) != text:  # what remains may form markup anew
        text = cleaned
    return " ".join(_NOISE.sub(" ", strip_invisible(text)).replace("<", " ").replace(">", " ").split())


class _Checker:
    def __init__(self, evidence: Evidence) -> None:
        self.dropped: list[str] = []
        self._facts = {fact.evidence_id: fact for fact in evidence.facts}
        self._names = sorted(
            {name for fact in evidence.facts for name in _names(fact.service, fact.operation)},
            key=len,
            reverse=True,
        )
        self._window = evidence.window or ()
        # A name of many words is no name: what it says is as foreign as any message.
        wordy = [name for name in self._names if len(name.split()) > _NAME_WORDS]
        quotes = [quote for fact in evidence.facts for quote in _QUOTED.findall(fact.statement)] + wordy
        named = set(self._names) - set(wordy)
        own = {token.lower() for name in named for token in (name, *_IDENTIFIER.findall(name))}
        self._tainted = {token.lower() for quote in quotes for token in _IDENTIFIER.findall(quote)} - own
        unquoted = " ".join(_QUOTED.sub(" ", fact.statement) for fact in evidence.facts)
        spoken = " ".join((unquoted, *map(str, evidence.attributes.values())))
        self._known = own | {token.lower() for token in _IDENTIFIER.findall(spoken)} - self._tainted
        self._runs = {run for quote in quotes for run in _runs(quote)}

    def summary_sentence(self, sentence: str) -> str | None:
        cited = [i for group in _CITATION.findall(sentence) for i in re.findall(r"E\d+", group)]
        text = plain_text(_CITATION.sub(" ", sentence)).rstrip(".!? ")
        text = redact_text(re.sub(r"\s+([,;:.])", r"\1", text), MAX_SENTENCE_CHARS + 1)
        known = self._check(text, cited, "summary")
        return f"{text} [{', '.join(known)}]." if known else None

    def causes(self, answered: Iterable[AnsweredCause], draft: Draft) -> tuple[RootCause, ...]:
        """The draft's causes that the answer names, in the draft's order and with its confidence."""
        by_place: dict[tuple[str, str], AnsweredCause] = {}
        for cause in answered:
            by_place.setdefault((redact_name(cause.service), redact_name(cause.operation)), cause)
        kept: list[RootCause] = []
        for candidate in draft.root_causes:
            named = by_place.pop((redact_name(candidate.service), redact_name(candidate.operation)), None)
            if named is None and kept:
                continue  # the model left it out; the first candidate stays in any case
            kept.append(self._narrated(candidate, named, rank=len(kept) + 1))
        if by_place:
            self.dropped.append("root causes that are not among the candidates")
        return tuple(kept)

    def _narrated(self, candidate: RootCause, named: AnsweredCause | None, rank: int) -> RootCause:
        update: dict[str, object] = {"rank": rank}
        if named is not None:
            text = redact_text(plain_text(_CITATION.sub(" ", named.statement)), MAX_SENTENCE_CHARS + 1)
            text = text.rstrip(".!? ")
            known = self._check(
                text, [i for i in named.evidence_ids if i in candidate.evidence], "root cause"
            )
            if known:
                update["statement"] = text
        return candidate.model_copy(update=update)

    def _check(self, text: str, cited: list[str], part: str) -> list[str]:
        """The existing ids among `cited`, or none when the sentence cannot stand."""
        known = list(dict.fromkeys(i for i in cited if i in self._facts))
        if not known or len(known) < len(set(cited)):
            self.dropped.append(f"{part} sentences that cite no fact that exists")
            return []
        if len(text.split()) < MIN_SENTENCE_WORDS or len(text) > MAX_SENTENCE_CHARS:
            self.dropped.append(f"{part} sentences that are too short or too long")
            return []
        if self._carries_telemetry(text):
            self.dropped.append(f"{part} sentences that repeat free text of the telemetry")
            return []
        supports = [self._without_names(line) for i in known for line in _figures(self._facts[i])]
        if self._names_a_stranger(text):
            self.dropped.append(f"{part} sentences that speak of what no fact knows")
            return []
        if unsupported(self._without_names(text), supports):
            self.dropped.append(f"{part} sentences with numbers that their facts do not contain")
            return []
        return known

    def _carries_telemetry(self, text: str) -> bool:
        tokens = {token.lower() for token in _IDENTIFIER.findall(self._without_names(text))}
        return bool(tokens & self._tainted) or any(run in self._runs for run in _runs(text))

    def _names_a_stranger(self, text: str) -> bool:
        """Whether it speaks of something that no fact knows: an identifier, or a compound word with blame.

        English has compounds of its own ("long-running"), so those alone are no offence.
        """
        tokens = {token.lower() for token in _IDENTIFIER.findall(self._without_names(text))} - self._known
        strange = [token for token in tokens if any(char.isalpha() for char in token)]
        if any(not _COMPOUND.fullmatch(token) for token in strange):
            return True
        return bool(strange) and bool(_BLAME.search(text))

    def _without_names(self, text: str) -> str:
        for name in (*self._names, *self._window, *(clock[-12:-4] for clock in self._window)):
            text = text.replace(name, " ")
        return re.sub(r"\bSEV\d\b|\bp\d+(?:\.\d+)?\b", " ", text)


def _names(*names: str) -> Mapping[str, None]:
    return dict.fromkeys(
        form for name in names for form in (name, redact_name(name), name.replace('"', "'")) if form
    )


def _runs(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[^\W_]+", text.lower())
    return {tuple(words[i : i + _TAINT_WORDS]) for i in range(len(words) - _TAINT_WORDS + 1)}


def _figures(fact: Fact) -> list[str]:
    """The statement without the sender's words; and what follows from its numbers: difference and ratio."""
    lines = [_QUOTED.sub(" ", fact.statement)]
    if fact.observed is not None and fact.expected is not None:
        lines.append(quantity(fact.observed - fact.expected, fact.unit))
        if fact.expected > 0:
            lines.append(f"{fact.observed / fact.expected:.0f}× {fact.observed / fact.expected:.1f}×")
    return lines


def _sentences(text: str) -> list[str]:
    text = strip_invisible(text)
    for abbreviation, words in _ABBREVIATIONS.items():
        text = text.replace(abbreviation, words)
    return [match.strip() for match in _SENTENCE.findall(text) if match.strip()]


def _plain(text: str) -> str:
    """Words only: a recommendation is recognised whatever the model did to its punctuation."""
    return " ".join(re.sub(r"[^\w%σ×]+", " ", redact_text(text)).lower().split())
