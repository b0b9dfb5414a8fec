"""A fact → the places, words and figures of a sentence that cites it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from detectors.localise.evidence.errors import UNANSWERED
from llm.analysis.units import quantity
from llm.checks.clocks import Clock, stated_clocks
from llm.checks.parts import PART_OF, PartOf, part_of
from llm.checks.roles import RoleNumber, find_roles
from llm.checks.vocabulary import Family
from llm.explanation import Draft, Evidence, Fact

_QUOTED = re.compile(r'"([^"]*)"')
_SQL_VERB = re.compile(r"(?:SELECT|INSERT|UPDATE|DELETE|UPSERT|MERGE|COMMIT|BEGIN)\b")
_DEVIATES = 1.5  # observed over expected, or the inverse; from here on "unusual" is allowed
_WHOLE_INCIDENT = frozenset({"extent"})
_TYPE = re.compile(r"[A-Za-z_][\w.:$]{2,79}")
_VERSION = re.compile(r"[A-Za-z_][\w.:$-]{2,79} = [\w.+-]{1,80}")
# Words for failures and their rate; "more" and "over" would need a number of their own.
_MORE_FAILURES = frozenset({
    "elevated", "increased", "increase", "higher", "high", "rose", "risen", "rise", "jumped", "climbed",
    "surged",
})  # fmt: skip
_SELF_TRADES = re.compile(r"\d[\d,]* trades of one account with itself(?: on ([\w/-]{3,30}))?(?: in \d+ s)?")
_ATTRIBUTE = re.compile(r'\w+ = "\w+"')
_SELF_TIME_KINDS = frozenset({"self_time", "path_share"})


@dataclass(frozen=True)
class Claim:
    """`names` are the service's and the operation's; `far` are those at the other end of a message or a call.

    A claim without names is about the whole incident or trace: no place may be named with it.
    """

    evidence_id: str
    service: str
    operation: str
    families: frozenset[Family]
    numbers: tuple[RoleNumber, ...]
    phrases: frozenset[str]
    names_a_place: bool = True
    far: tuple[str, str] | None = None
    is_relation: bool = False
    ratio: float | None = None
    share: float | None = None
    part_of: PartOf | None = None
    tokens: frozenset[str] = frozenset()  # exception types and similar identifiers that a sentence may quote
    clocks: frozenset[Clock] = frozenset()
    words: frozenset[str] = frozenset()  # further words of its own
    confidence: float = 0.0  # that the claim's place is the cause

    @property
    def fraction(self) -> float | None:
        return self.part_of.fraction if self.part_of else None

    @property
    def place(self) -> tuple[str, str]:
        return self.service, self.operation


def claims_of(evidence: Evidence, draft: Draft) -> dict[str, Claim]:
    """One claim for each fact, by its id."""
    first = draft.root_causes[0] if draft.root_causes else None
    found: dict[str, Claim] = {}
    for fact in evidence.facts:
        words = _families(fact)
        if fact.evidence_id == evidence.symptom:
            words |= {"symptom"}
        for cause in draft.root_causes:
            if (cause.service, cause.operation) == (fact.service, fact.operation):
                words |= {"cause"} if cause is first else {"candidate"}
        kinds = {
            c.kind for c in evidence.causes if (c.service, c.operation) == (fact.service, fact.operation)
        }
        if "database" in kinds or _SQL_VERB.match(fact.operation):
            words |= {"database"}
        is_first = first is not None and (first.service, first.operation) == (fact.service, fact.operation)
        confidence = first.confidence if first is not None and is_first else 0.0
        found[fact.evidence_id] = replace(_claim(fact, frozenset(words)), confidence=confidence)
    return found


def unquoted(fact: Fact) -> str:
    """The statement without the sender's words and without the names of its places."""
    text = _QUOTED.sub(" ", fact.statement)
    names = [fact.operation, fact.service, *(fact.peer or ())]
    for name in sorted(filter(None, names), key=len, reverse=True):
        text = text.replace(name, " ").replace(name.replace('"', "'"), " ")
    return text


def quoted_types(fact: Fact) -> frozenset[str]:
    """Exception types and similar identifiers among the sender's words, which a sentence may quote."""
    form = _VERSION if fact.kind == "deploy" else _TYPE
    found = {q for q in _QUOTED.findall(fact.statement) if form.fullmatch(q)}
    if fact.kind == "deploy":
        found |= {f"version {q.rpartition(' ')[2]}" for q in found if "version" in q.partition(" ")[0]}
    if fact.kind == "market":
        found |= {pair for pair in _SELF_TRADES.findall(fact.statement) if pair}
    return frozenset(found)


def _claim(fact: Fact, words: frozenset[Family]) -> Claim:
    # The share of calls that got no answer is the called service's; the fact's place is one caller.
    own = "" if fact.kind == UNANSWERED else unquoted(fact)
    whole = part_of(own)
    numbers = list(find_roles(PART_OF.sub(" ", own))) + list(_structured(fact)) + _trade_numbers(fact)
    ratio = fact.observed / fact.expected if fact.observed is not None and fact.expected else None
    return Claim(
        evidence_id=fact.evidence_id,
        service=fact.service,
        operation=fact.operation,
        families=words,
        numbers=tuple(numbers),
        phrases=frozenset(re.findall(r"\bSEV\d", own)),
        part_of=whole,
        words=frozenset({"deepest"} if fact.kind == "error" else ())
        | frozenset({"high"} if whole and whole.fraction > 0.5 else ())
        | frozenset({"version", "incident", "traces"} if fact.kind == "deploy" else ())
        | frozenset({"metric", "reached", "stands", "reads"} if fact.kind == "metric" else ())
        | frozenset({"repeatedly"} if re.search(r"\bin \d[\d,]* calls\b", own) else ())
        | _trade_words(fact)
        | frozenset(_MORE_FAILURES if "error" in words and ratio is not None and ratio > 1 else ())
        | frozenset({"hours"} if "all hours" in own else ())
        | frozenset(
            {"BUY": ("buy", "bought", "buying"), "SELL": ("sell", "sold", "selling")}.get(
                "BUY" if "BUY" in own.split() else "SELL" if "SELL" in own.split() else "", ()
            )
        ),
        names_a_place=fact.kind not in _WHOLE_INCIDENT,
        far=fact.peer,
        is_relation=fact.kind in ("edge_time", "message_wait"),
        ratio=ratio,
        share=fact.share,
        tokens=quoted_types(fact),
        clocks=stated_clocks(own),
    )


def _trade_words(fact: Fact) -> frozenset[str]:
    """Words of an order's attributes, and "self-trade": they stand in quotes but come from code."""
    if fact.kind == "order":
        return frozenset(re.findall(r"[a-z]+", " ".join(_ATTRIBUTE.findall(fact.statement)).lower()))
    if fact.kind == "market" and _SELF_TRADES.search(fact.statement):
        return frozenset({"account", "one", "itself", "trade", "trades", "traded", "self-trades", "times"})
    return frozenset()


def _trade_numbers(fact: Fact) -> list[RoleNumber]:
    """The count of self-trades and their window; no word licenses the window as a time of its own."""
    found = _SELF_TRADES.search(fact.statement) if fact.kind == "market" else None
    return list(find_roles(found[0])) if found else []


def _structured(fact: Fact) -> list[RoleNumber]:
    """The fact's own figures, and the difference and ratio that follow from them."""
    texts: list[tuple[str, str]] = []
    # The statement of an error does not give the duration of the failed call.
    if fact.kind in ("error", UNANSWERED):
        return []
    if fact.observed is not None:
        texts.append((quantity(fact.observed, fact.unit), "observed"))
    if fact.expected is not None:
        texts.append((quantity(fact.expected, fact.unit), "expected"))
    if fact.observed is not None and fact.expected is not None:
        texts.append((quantity(abs(fact.observed - fact.expected), fact.unit), "excess"))
        if fact.expected > 0 and fact.observed > 0:
            ratio = max(fact.observed / fact.expected, fact.expected / fact.observed)
            texts += [(f"{ratio:.0f}×", "ratio"), (f"{ratio:.1f}×", "ratio")]
    if fact.share is not None:
        texts.append((f"{fact.share * 100:.0f}%", "share"))
    if fact.sigma is not None:
        texts.append((f"{fact.sigma:.3g}σ", "sigma"))
    if fact.sample_count is not None:
        texts.append((f"{fact.sample_count:,}", "samples"))
    return [number.with_role(role) for text, role in texts for number in find_roles(text)]


def _families(fact: Fact) -> set[Family]:
    words: set[Family] = {"neutral"}
    is_time = fact.unit == "ns" and fact.kind != "error"
    if is_time:
        words |= {"time"}
    if fact.observed is not None and fact.expected is not None:
        words |= {"usual"}
        if fact.observed != fact.expected:
            words |= {"much", "little", "more" if fact.observed > fact.expected else "less"}
        if is_time and fact.observed != fact.expected:
            words.add("slower" if fact.observed > fact.expected else "faster")
        low, high = sorted((fact.observed, fact.expected))
        if high >= _DEVIATES * max(low, 1e-12):
            words.add("unusual")
    if fact.share is not None:
        words |= {"share", "most" if fact.share > 0.5 else "minor"}
    if fact.kind in _SELF_TIME_KINDS:
        words |= {"self_time"}
    own = unquoted(fact)
    part = part_of(own)
    if fact.kind == "deploy":
        words |= {"usual"}
    if part and part.fraction > 0.5:
        words |= {"most"}
    if fact.kind in ("error", "unanswered") or re.search(r"\bfailed\b", own):
        words |= {"error", "much"}
        words -= {"more", "slower", "less", "faster"}
    by_kind: dict[str, set[Family]] = {
        "anomaly": {"unusual", "time", "extent"} if is_time else {"unusual", "extent"},
        "amount": {"amount", "unusual"}, "amount_value": {"amount"}, "order": {"amount"},
        "message_wait": {"message"}, "edge_time": {"outside"}, "extent": {"extent"},
        "window": {"extent", "unusual"}, "critical_path": {"path"}, "path_share": {"path"},
    }  # fmt: skip
    return words | by_kind.get(fact.kind, set())
