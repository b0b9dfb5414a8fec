"""A model's answer → the part that the facts support. The model selects and orders; code asserts.

A sentence of the summary stays when its cited facts entail it (`llm/checks/entailment.py`). Otherwise code's
own sentence about the first cited fact replaces it; a sentence that cites no known fact is dropped. The
causes, their order, confidence and statements come from code, and the first cause cannot be left out. Only
offered recommendations are shown, in code's words.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

from llm.checks.claims import claims_of
from llm.checks.entailment import Entailment, Verdict
from llm.deterministic import OPENINGS, said
from llm.explanation import Draft, Evidence, RootCause, SentenceCheck
from llm.narration.answer import Answer, AnsweredCause
from llm.redaction.redact import is_clean, redact_again, redact_name, strip_invisible

MIN_SENTENCE_WORDS = 3  # a shorter sentence was mostly markup
MAX_SENTENCE_CHARS = 600
MAX_SENTENCES = 12  # the prompt asks for four; nobody reads more
_QUOTED = re.compile(
    r"""\"([^\"]*)\"|[“„]([^“”„]*)[“”]|«([^»]*)»|[‘‚]([^‘’‚]*)[‘’](?!\w)|(?<!\w)'([^']{2,})'(?!\w)"""
)
_QUOTE_MARKS = re.compile("[\"“”„«»‘’‚']")
_STOPS = str.maketrans(".!?", "\ue000\ue001\ue002")  # private characters, which no other text has
_STOPS_AGAIN = str.maketrans("\ue000\ue001\ue002", ".!?")
_CITATION = re.compile(r"\[\s*(E\d+(?:\s*[,;]\s*E\d+)*)\s*\]")
_SENTENCE = re.compile(r".+?(?:[.!?](?:\s*\[[E\d,; ]+\][.!?]?)*(?=\s|$)|$)", re.DOTALL)
_MARKUP = re.compile(
    r"!?\[[^\]]*\]\([^)]*\)"  # Markdown links and images
    r"|!?\[[^\]]*\]\[[^\]]*\]|^\s*\[[^\]]+\]:.*$"  # reference links and their targets
    r"|<[^>]*>"  # HTML, autolinks
    r"|(?:[a-z][a-z0-9+.-]*://|www\.|data:|javascript:|mailto:)\S*",
    re.IGNORECASE | re.MULTILINE,
)
_NO_WORD = re.compile(r"[^\w%σ×]+")
_ID = re.compile(r"E\d+")
_SPACED = re.compile(r"\s+([,;:.])")
OWN_WORDS = "code's own words"
# Text with none of these characters, and no address, has nothing to remove: most sentences.
_PLAIN = re.compile(r"(?:[ !\"$-%'()+,./0-9;=?@A-Z\\^_a-z{}µμ×σ–—’…‹›-]|:(?!//))*+")
_ADDRESS = re.compile(r"www\.|data:|javascript:|mailto:", re.IGNORECASE)
_NOISE = re.compile(r"[`*#|~]+|^\s*>+", re.MULTILINE)
_ABBREVIATIONS = {"e.g.": "for example", "i.e.": "that is", "vs.": "versus", "approx.": "about"}


@dataclass(frozen=True)
class Grounded:
    """`draft` is None when no sentence of the answer is supported. `checks` has each sentence's result."""

    draft: Draft | None
    checks: tuple[SentenceCheck, ...]
    dropped: tuple[str, ...]


def ground(answer: Answer, evidence: Evidence, draft: Draft) -> Grounded:
    """Check `answer` against `evidence`; `draft` is the deterministic explanation that it narrates."""
    checks = check_summary(answer.summary, evidence, draft)
    dropped = [f"{check.verdict}: {check.rule}" for check in checks if check.verdict != "kept"]
    if not any(check.verdict == "kept" for check in checks):
        return Grounded(None, checks, tuple(dict.fromkeys([*dropped, "nothing was borne out by the facts"])))
    causes, strangers = _causes(answer.root_causes, draft)
    if strangers:
        dropped.append("root causes that are not among the candidates")
    offered = {_plain(line): line for line in draft.recommendations}
    chosen = [offered[_plain(text)] for text in answer.recommendations if _plain(text) in offered]
    if len(chosen) < len(answer.recommendations):
        dropped.append("recommendations that were not offered")
    return Grounded(
        Draft(
            summary=_with_first_cause(checks, draft),
            root_causes=causes,
            recommendations=tuple(dict.fromkeys(chosen)) or draft.recommendations,
            confidence=draft.confidence,
        ),
        checks,
        tuple(dict.fromkeys(dropped)),
    )


def plain_text(text: str) -> str:
    """Text without markup, links, images, HTML and invisible characters, on one line."""
    if _PLAIN.fullmatch(text) and not _ADDRESS.search(text):
        return " ".join(text.split())
    text = html.unescape(html.unescape(strip_invisible(text)))
    while (cleaned := _MARKUP.sub(" ", text)) != text:  # the rest may form new markup
        text = cleaned
    return " ".join(_NOISE.sub(" ", strip_invisible(text)).replace("<", " ").replace(">", " ").split())


def check_summary(
    summary: str, evidence: Evidence, draft: Draft, *, takes_own_words: bool = False
) -> tuple[SentenceCheck, ...]:
    """The result of each sentence of `summary`, in order.

    Args:
        takes_own_words: for text that a person confirmed or wrote. Then code's own sentences stay, word for
            word, and a sentence without a citation gets the citation of a fact that supports it.
    """
    checker = SentenceChecker(evidence, draft, takes_own_words=takes_own_words)
    found = sentences(summary, quotations(evidence))
    return tuple(checker.take(sentence) for sentence in found[:MAX_SENTENCES])


class SentenceChecker:
    """Checks the sentences of one text one by one."""

    def __init__(self, evidence: Evidence, draft: Draft, *, takes_own_words: bool = False) -> None:
        self._evidence = evidence
        self._draft = draft
        self._takes_own_words = takes_own_words
        self._entailment = _Lazy(evidence, draft)
        self._place: tuple[str, str] | None = None
        self._shown: set[str] = set()

    @cached_property
    def _quotable(self) -> str:
        """Made for the first sentence that is not code's own: a fifth of an export's time otherwise."""
        return _quotable(self._evidence, self._draft)

    def take(self, sentence: str) -> SentenceCheck:
        """The result of the next sentence."""
        cited = list(dict.fromkeys(_ID.findall(" ".join(_CITATION.findall(sentence)))))
        if all(self._evidence.fact(i) for i in cited) and (own := self._word_for_word(sentence, cited)):
            return own
        text = plain_text(_CITATION.sub(" ", sentence)).rstrip(".! ")
        text = redact_again(_SPACED.sub(r"\1", text), MAX_SENTENCE_CHARS + 1)
        if self._takes_own_words and not cited:  # a person does not need to know the numbers of facts
            ids = (fact.evidence_id for fact in self._evidence.facts)
            cited = [i for i in ids if self._entailment.check(text, [i], self._place).holds][:1]
        known = [i for i in cited if self._evidence.fact(i)]
        rule = _form_rule(text, cited, known)
        if not rule and _QUOTE_MARKS.search(text) and _quotes_others(text, self._quotable):
            rule = "quotes what no fact says"
        repeated = "" if rule else _repeated(text, known, self._evidence, self._draft)
        if repeated:
            return self._own(text, known, repeated)
        if not rule:
            without_quote = _without_quote(text, known, self._evidence)
            verdict = self._entailment.check(without_quote, known, self._place)
            rule = verdict.rule
            if verdict.holds:
                self._place = verdict.place
                line = f"{self._entailment.shown(text)} [{', '.join(known)}]."
                return _row(text, cited, "kept", rule, line)
        return self._replaced(text, cited, known, rule)

    def _word_for_word(self, sentence: str, cited: list[str]) -> SentenceCheck | None:
        """The result of a sentence that is code's own: addresses in what it quotes are no markup."""
        written = _SPACED.sub(r"\1", " ".join(_CITATION.sub(" ", sentence).split())).rstrip(".! ")
        if len(written) > MAX_SENTENCE_CHARS or not is_clean(written, MAX_SENTENCE_CHARS + 1):
            return None
        for evidence_id in cited:
            for statement in _own_statements(evidence_id, self._evidence, self._draft):
                if written in (f"{opening}{statement}".rstrip(".! ") for opening in OPENINGS):
                    return self._own(written, cited, evidence_id)
        return None

    def _own(self, text: str, cited: list[str], evidence_id: str) -> SentenceCheck:
        """Code's own sentence: a person's stays as it is; a model's gets code's punctuation and citation."""
        if self._takes_own_words:
            return _row(text, cited, "kept", OWN_WORDS, f"{text} [{', '.join(cited)}].")
        fact = self._evidence.fact(evidence_id)
        assert fact is not None
        self._place = (fact.service, fact.operation)
        return _row(text, cited, "kept", OWN_WORDS, said(fact))

    def _replaced(self, text: str, cited: list[str], known: list[str], rule: str) -> SentenceCheck:
        """Code's sentence about the first cited fact, once."""
        fact = self._evidence.fact(known[0]) if known else None
        line = said(fact) if fact else ""
        if fact is None or line in self._shown:
            return _row(text, cited, "dropped", rule, "")
        self._shown.add(line)
        self._place = (fact.service, fact.operation)
        return _row(text, cited, "replaced", rule, line)


class _Lazy:
    """Entailment that is prepared at the first use: code's own sentences do not need it."""

    def __init__(self, evidence: Evidence, draft: Draft) -> None:
        self._of = evidence, draft

    @cached_property
    def _entailment(self) -> Entailment:
        return Entailment(claims_of(*self._of))

    def check(self, text: str, cited: Sequence[str], previous: tuple[str, str] | None) -> Verdict:
        return self._entailment.check(text, cited, previous)

    def shown(self, text: str) -> str:
        return self._entailment.shown(text)


def _repeated(text: str, known: list[str], evidence: Evidence, draft: Draft) -> str:
    """The id of the cited fact, or of one of a cause's, whose statement `text` repeats word for word."""
    statements = [
        (evidence_id, statement)
        for evidence_id in known
        for statement in _own_statements(evidence_id, evidence, draft)
    ]
    for evidence_id, statement in statements:  # nearly always with the same punctuation
        if text.endswith(statement) and text.removesuffix(statement) in OPENINGS:
            return evidence_id
    said_words = _without_opening(text)
    return next((i for i, statement in statements if _plain(statement) in said_words), "")


def _own_statements(evidence_id: str, evidence: Evidence, draft: Draft) -> list[str]:
    """Code's statements that may cite the fact: the fact's own, and those of the causes that rest on it."""
    fact = evidence.fact(evidence_id)
    causes = [cause.statement for cause in draft.root_causes if evidence_id in cause.evidence]
    return [fact.statement, *causes] if fact else causes


def _without_quote(text: str, known: list[str], evidence: Evidence) -> str:
    """`text` without the message that its one fact quotes, word for word, after a colon or a bracket.

    The message is the sender's and stays in quotation marks; the rest is the sentence's own statement.
    """
    fact = evidence.fact(known[0]) if len(known) == 1 else None
    if fact is None or fact.kind != "error":
        return text
    for quoted in re.findall(r'"([^"]{4,})"', fact.statement):
        message = rf'(?:\s*[:,]|\s+with the message|\s*\()\s*["“]{re.escape(quoted)}["”]\)?$'
        text = re.sub(message, "", text)
    return text


def _without_opening(text: str) -> list[str]:
    """The words of a sentence: all of them, and without each opening that code gives its sentences."""
    said = _plain(text)
    return [said, *(said.removeprefix(opening) for opening in _openings() if said.startswith(opening))]


@cache
def _openings() -> tuple[str, ...]:
    return tuple(_plain(opening) + " " for opening in OPENINGS if opening)


def _form_rule(text: str, cited: list[str], known: list[str]) -> str:
    """The rule of form that a sentence breaks, before its meaning is checked; empty if none."""
    if not cited:
        return "cites no fact"
    if len(known) < len(cited):
        return "cites a fact that does not exist"
    if len(text.split()) < MIN_SENTENCE_WORDS or len(text) > MAX_SENTENCE_CHARS:
        return "too short or too long"
    return ""


def _row(
    text: str, cited: list[str], verdict: Literal["kept", "replaced", "dropped"], rule: str, shown: str
) -> SentenceCheck:
    return SentenceCheck(
        written=text[:MAX_SENTENCE_CHARS], cited=tuple(cited[:20]), verdict=verdict, rule=rule, shown=shown
    )


def _with_first_cause(checks: Iterable[SentenceCheck], draft: Draft) -> str:
    """The shown sentences; if none names the first cause, code's sentence about it comes first."""
    lines = [check.shown for check in checks if check.shown]
    first = draft.root_causes[0] if draft.root_causes else None
    cited = set(_ID.findall(" ".join(group for line in lines for group in _CITATION.findall(line))))
    if first is not None and not cited & set(first.evidence):
        lines.insert(0, f"{first.statement} [{first.evidence[0]}].")
    return " ".join(lines)


def _causes(answered: Iterable[AnsweredCause], draft: Draft) -> tuple[tuple[RootCause, ...], bool]:
    """The draft's causes that the answer names, in the draft's order and words; whether it named others."""
    named = {(redact_name(cause.service), redact_name(cause.operation)) for cause in answered}
    kept: list[RootCause] = []
    for candidate in draft.root_causes:
        place = redact_name(candidate.service), redact_name(candidate.operation)
        if place in named or not kept:  # the first cause always stays
            kept.append(candidate.model_copy(update={"rank": len(kept) + 1}))
        named.discard(place)
    return tuple(kept), bool(named)


def quotations(evidence: Evidence) -> tuple[str, ...]:
    """What code's own statements quote, with the quotation marks."""
    return tuple({match[0] for fact in evidence.facts for match in _QUOTED.finditer(fact.statement)})


def sentences(text: str, quoted: Collection[str] = ()) -> list[str]:
    """The sentences, each with its citations.

    Args:
        quoted: quotations that are taken whole: what telemetry says has full stops of its own.

    >>> sentences('A logged "no route. to host" [E1]. B failed [E2].', ['"no route. to host"'])
    ['A logged "no route. to host" [E1].', 'B failed [E2].']
    """
    text = strip_invisible(text)
    for abbreviation, words in _ABBREVIATIONS.items():
        text = text.replace(abbreviation, words)
    for quotation in quoted:
        text = text.replace(quotation, quotation.translate(_STOPS))
    return [match.strip().translate(_STOPS_AGAIN) for match in _SENTENCE.findall(text) if match.strip()]


def _quotable(evidence: Evidence, draft: Draft) -> str:
    """The words that a sentence may put in quotation marks."""
    texts = [text for fact in evidence.facts for text in (fact.statement, fact.service, fact.operation)]
    texts += [cause.statement for cause in draft.root_causes] + [str(v) for v in evidence.attributes.values()]
    return f" {' | '.join(map(_plain, texts))} "


def _quotes_others(text: str, quotable: str) -> bool:
    """Whether it quotes words that no fact has, or has a quotation without an end."""
    quoted = (next((part for part in match.groups() if part), "") for match in _QUOTED.finditer(text))
    return text.count('"') % 2 == 1 or any(f" {_plain(words)} " not in quotable for words in quoted if words)


def _plain(text: str) -> str:
    """Words only: a recommendation is recognised even if the model changed its punctuation."""
    return " ".join(_NO_WORD.sub(" ", redact_again(text)).lower().split())
