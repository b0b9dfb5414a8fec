"""Checks that a sentence says only what its cited facts say. A sentence that is not understood is refused.

A sentence is cut into clauses. One cited fact alone must support each clause: the clause names no other
place, each of its numbers is in that fact in the same role (seen, usual, difference, share, count), each of
its words is neutral or licensed by the fact (`vocabulary.py`), and together they follow the rules of
`phrasing.py`. Two facts may only be joined by "and", "while" or a comma: the lists contain no words for a
relation between facts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm.checks.claims import Claim
from llm.checks.clause_words import ENTITY_MARK, FAILED, PREDICATES
from llm.checks.clauses import APPOSITION, BARE, ENTITY, TOKEN, clauses, in_one_form, unit_indexes
from llm.checks.clocks import CLOCK_MARKS, Clock, mark_clocks, marked
from llm.checks.joints import is_fragment, joint_rule
from llm.checks.parts import PART_OF, PartOf, parts_of, thing
from llm.checks.phrasing import is_self_time, names_relation, phrasing_rule
from llm.checks.roles import RoleNumber, find_roles, given_by
from llm.checks.vocabulary import COMMANDS, FAMILIES, RATIO_WORDS, families, words
from llm.redaction.redact import quoted_name

_NAMED_KIND = re.compile(
    r"\ue100(\d+)\ue101 (services?|operation|endpoint|call|request|query|statement|span|step)\b",
    re.IGNORECASE,
)
# "A took 176 ms, which B made longer", "…, with 152 ms in B": only a fact may connect two places.
_TIED_AFTER = re.compile(f"{ENTITY_MARK}.*(?:\\bwhich\\b|,\\s*with\\b)[^,;]*{ENTITY_MARK}", re.IGNORECASE)
_TIED = re.compile(f"{ENTITY_MARK}.*\\bwhere\\b[^,;]*{ENTITY_MARK}", re.IGNORECASE)  # "A is slow where B is"
# "A instead of B took 176 ms": only a fact may compare two places.
_RIVALS = re.compile(
    r"\b(?:instead of|rather than|than|against|versus|unlike|over|under|above|below|beyond)"
    rf" (?:the )?{ENTITY_MARK}",
    re.IGNORECASE,
)
# Letters and signs of plain English, and the marks that replace names and times. Letters of other alphabets
# can look like one of these, and "¹52" like a number.
_READ = re.compile(
    "[\x20-\x7e\u00a0\u00b5\u00b7\u00d7\u03bc\u03c3\u2010-\u2015\u2018-\u201d\u2026\u2192\u2248\ue100\ue101\ue200-\ue2ff]*"
)
_SEVERITY = re.compile(r"\bSEV ?\d+")
_BETWEEN = re.compile(
    rf"\bbetween ((?:{ENTITY_MARK}\d+\ue101|in|of|the|service|\s)+?) and (?=(?:the )?{ENTITY_MARK})",
    re.IGNORECASE,
)
_PUNCTUATION = frozenset("%×σ=.,'\"“”`~≈+!/&")
_NOUN_AFTER = words("is was of took in spent")  # "Call of …": a noun that looks like a command
_NAME_WORDS = 5
# A name that contains one of these would add a statement in the middle of a sentence.
_SPEAKING = words(
    "no not never none nothing nobody without neither nor cannot is are was were should must can will fix"
    " fixed restart rollback because caused ignore instead fine healthy normal ok and or"
)
_VERBS = words("is was are were has had") | FAMILIES["time"] - words(
    "time times duration durations latency ms only after"
)
_ORDERS = words("order orders buy sell trade")
_DATABASE = FAMILIES["database"]
_BEFORE_NOUNS = words("with of by in at for from")
_BEFORE_COMMANDS = words("with of by in at for from")
_NO_PLACE = "a place that its fact does not name"
_NO_LICENCE = "a word that its fact does not license"
_NO_NUMBER = "a number that its fact does not give"


@dataclass(frozen=True)
class Entity:
    """A name in a sentence: of a service, an operation, or a quoted type of error."""

    name: str
    claims: frozenset[str]  # ids of the facts that name it


@dataclass(frozen=True)
class Verdict:
    """`rule` is "entailed", or the rule that refused the sentence; `place` is the one of the last clause."""

    rule: str
    place: tuple[str, str] | None = None

    @property
    def holds(self) -> bool:
        return self.rule == "entailed"


class Entailment:
    """Checks sentences against the claims of one explanation."""

    def __init__(self, claims: Mapping[str, Claim]) -> None:
        self._claims = claims
        self._places = {name for claim in claims.values() for name in (*claim.place, *(claim.far or ()))}
        owners: dict[str, set[str]] = {}
        for claim in claims.values():
            for name in (claim.service, claim.operation, *(claim.far or ()), *claim.tokens):
                # A name like "publish <default>" loses its tag when a model's markup is removed.
                for form in {name, " ".join(re.sub(r"<[^>]*>", " ", name).split())} - {""}:
                    owners.setdefault(form, set()).add(claim.evidence_id)
        # A name of many words is no name: its content is as foreign as any message.
        names = [name for name in owners if _is_name(name)]
        self._entities = [
            Entity(name, frozenset(owners[name])) for name in sorted(names, key=len, reverse=True)
        ]
        self._wordy = [name for name in owners if not _is_name(name) and len(name.split()) > 1]

    def check(self, text: str, cited: Sequence[str], previous: tuple[str, str] | None) -> Verdict:
        """`text` without citations, against the facts `cited`; `previous` is the last sentence's place."""
        if any(name.lower() in text.lower() for name in self._wordy):
            return Verdict("a name that is a sentence")
        text, clocks = mark_clocks(text)
        text = in_one_form(self._mark_entities(text))
        # A path between two places has a direction, which is checked like any other.
        text = _BETWEEN.sub(r"from \1 to ", text)
        if refusal := self._whole_sentence(text):
            return Verdict(refusal)
        return self._clauses(text, clocks, [self._claims[i] for i in cited], previous)

    def _clauses(
        self, text: str, clocks: list[Clock], claims: Sequence[Claim], place: tuple[str, str] | None
    ) -> Verdict:
        """The first clause that fails decides."""
        told: set[str] = set()  # facts whose quantity the sentence has already named in full
        before = ""
        host = ""  # the last clause with a subject or a verb
        for joint, clause in clauses(text):
            if refusal := self._joined(joint, clause, before):
                return Verdict(refusal)
            given = [claim for claim in claims if set(marked(clause, clocks)) <= claim.clocks]
            if not given:
                return Verdict("a time that no fact gives")
            is_part = is_fragment(clause)
            if before and (is_part or not host):
                given = [claim for claim in given if not self._against(host or before, claim, is_told=True)]
                if not given:
                    return Verdict("parts of one clause from different facts")
            before, host = clause, host if is_part else clause
            rule, supported = self._clause(clause, given, place, told)
            if rule != "entailed":
                return Verdict(rule)
            place = supported or place
        return Verdict("entailed", place)

    def _joined(self, joint: str, clause: str, before: str) -> str:
        """The rule that the clause breaks beside the one before it; a type of error is no place."""
        if joint in APPOSITION and self._hangs_on(clause, before):
            return "a relation that no fact states"
        return joint_rule(joint, ENTITY.sub(self._if_place, clause), ENTITY.sub(self._if_place, before))

    def shown(self, text: str) -> str:
        """`text` with quotation marks around names that read as words: these words are the sender's."""
        marked = self._mark_entities(text)
        return ENTITY.sub(lambda match: quoted_name(self._entities[int(match.group(1))].name), marked)

    def _whole_sentence(self, text: str) -> str:
        """The rule that the sentence as a whole breaks, before its clauses are checked; empty if none."""
        if "?" in text:
            return "a question"
        if not _READ.fullmatch(text):
            return "a character that is not read"
        places = ENTITY.sub(self._if_place, text)  # a type of error connects no places
        is_tied = any(tie.search(places) for tie in (_TIED, _TIED_AFTER, _RIVALS))
        return "a relation that no fact states" if is_tied else ""

    def _if_place(self, match: re.Match[str]) -> str:
        return match.group() if self._entities[int(match.group(1))].name in self._places else " "

    def _mark_entities(self, text: str) -> str:
        for index, entity in enumerate(self._entities):
            pattern = rf"[`\"'“]?(?<![\w/.-]){re.escape(entity.name)}(?![\w/-]|\.\w)(?:['’]s\b|[`\"'”])?"
            text = re.sub(pattern, f"\ue100{index}\ue101", text, flags=re.IGNORECASE)
        return text

    def _clause(
        self, clause: str, claims: Sequence[Claim], place: tuple[str, str] | None, told: set[str]
    ) -> tuple[str, tuple[str, str] | None]:
        """The rule that applies, and the place that the clause is about."""
        reasons: list[str] = []
        for claim in claims:
            rule = self._against(clause, claim, is_told=claim.evidence_id in told)
            if not rule:
                if ENTITY_MARK in clause or place is None or not claim.names_a_place or claim.place == place:
                    if names_relation(TOKEN.findall(clause.lower()), claim):
                        told.add(claim.evidence_id)
                    return "entailed", claim.place if claim.names_a_place else None
                rule = "a place that is not the subject's"
            reasons.append(rule)
        return reasons[0], None

    def _against(self, clause: str, claim: Claim, *, is_told: bool) -> str:  # noqa: PLR0911 - a line a rule
        """The rule by which one fact does not support the clause; empty when it does."""
        entities = [self._entities[int(index)] for index in ENTITY.findall(clause)]
        if any(claim.evidence_id not in entity.claims or not claim.names_a_place for entity in entities):
            return _NO_PLACE
        numbers = _borne_out(ENTITY.sub(" ", clause), claim)
        if numbers is None:
            return _NO_NUMBER
        said = re.findall(r"[a-z]+", clause.lower())
        # "SELECT carts, a database query in checkout"
        is_apposition = said[:1] in (["a"], ["an"]) and not set(said) & _VERBS
        if entities and not is_apposition and not _names_operation(entities, said, claim):
            return "a generalisation"  # "checkout is slow": only one operation of it is
        if _misnamed(clause, self._entities, claim):
            return _NO_PLACE
        names_none = all(entity.name != claim.operation for entity in entities)
        if _DATABASE & set(said) and names_none and not is_apposition:
            return "a generalisation"  # "the database is slow": only one statement of it is
        tokens = TOKEN.findall(clause)
        if claim.far and not self._keeps_direction(tokens, claim):
            return "a direction that its fact does not give"
        plain = [token.lower().removesuffix("'s").removesuffix("’s") for token in tokens]
        lead = [word for word in plain if word not in _PUNCTUATION]
        lead = lead[1:] if set(lead[:1]) & _BEFORE_COMMANDS else lead  # "With call A, …"
        if lead and lead[0] in COMMANDS and not set(lead[1:2]) & _NOUN_AFTER:
            return "a command"
        if is_self_time(plain, numbers, claim, is_told=is_told):
            return "a quantity that its fact does not give"
        return _unlicensed(tokens, plain, numbers, claim) or phrasing_rule(plain, numbers, claim)

    def _hangs_on(self, clause: str, before: str) -> bool:
        """ "A took 176 ms, mostly in B"; "with 152 ms in B, A failed": a part without a verb belongs to the
        clause beside it, which is about A.
        """
        said, earlier = (set(TOKEN.findall(text.lower())) for text in (clause, before))
        places = set(ENTITY.findall(ENTITY.sub(self._if_place, clause)))
        known = set(ENTITY.findall(ENTITY.sub(self._if_place, before)))
        if not places or not known:
            return False
        leads = bool(said & PREDICATES) and not earlier & PREDICATES and not known <= places
        return leads or (bool(earlier & _VERBS) and not said & _VERBS and not places <= known)

    def _keeps_direction(self, tokens: list[str], claim: Claim) -> bool:
        """A message goes from its producer: the producer, and no other place, comes after "from"."""
        origin = False  # whether the words are within "from …"
        for index, token in enumerate(tokens):
            match = ENTITY.match(token)
            if match is None:
                is_senders = token.lower() == "of" and tokens[index - 1 : index] == ["message"]
                origin = (
                    token.lower() == "from"
                    or is_senders
                    or (origin and token.lower() in ("in", "of", "the", "service"))
                )
                continue
            name = self._entities[int(match.group(1))].name
            is_far = name in (claim.far or ())
            if is_far != origin and not (is_far and name in claim.place):
                return False
            origin = origin and tokens[index + 1 : index + 2] in (["in"], ["of"])
        return True


def _names_operation(entities: Sequence[Entity], said: Sequence[str], claim: Claim) -> bool:
    """Whether a clause that names places names the operation of its fact, or a type of its error.

    Messages go between services, and orders are placed in services: for these a service is enough.
    """
    named = {entity.name for entity in entities}
    own = {claim.operation, *(claim.far or ())[1:]}
    if claim.service not in named:
        own |= claim.tokens
    is_message = "message" in claim.families and bool(set(said) & {"message", "messages"})
    if is_message or ("amount" in claim.families and bool(set(said) & _ORDERS)):
        own |= {claim.service, *(claim.far or ())}
    own |= {" ".join(re.sub(r"<[^>]*>", " ", name).split()) for name in own}
    return bool(named & own) or not claim.operation


def _misnamed(clause: str, entities: Sequence[Entity], claim: Claim) -> bool:
    """ "The SELECT carts service", "the checkout endpoint": a service is no operation."""
    services = {claim.service, *(claim.far or ())[:1]}
    operations = {claim.operation, *(claim.far or ())[1:]}
    for index, noun in _NAMED_KIND.findall(clause):
        name = entities[int(index)].name
        if noun.lower().startswith("service") and name in operations - services:
            return True
        if not noun.lower().startswith("service") and name in services - operations:
            return True
    return False


def _borne_out(text: str, claim: Claim) -> list[RoleNumber] | None:
    """The numbers of a clause; None when one of them is not in the fact in the same role."""
    if any(match.replace(" ", "") not in claim.phrases for match in _SEVERITY.findall(text)):
        return None
    text = _SEVERITY.sub(" ", text)
    of_wholes = parts_of(text)
    if not all(claim.part_of and claim.part_of.bears_out(found) for found in of_wholes):
        return None
    text = PART_OF.sub(" ", text)
    numbers = find_roles(text)
    failing = [number for number in numbers if claim.part_of and _is_part(number, claim.part_of)]
    said = set(re.findall(r"[a-z]+", text.lower()))
    if not said & FAILED and (failing or (of_wholes and said - BARE)):
        return None  # only the part failed: "60 calls" were not all calls
    if len(re.findall(r"\d[\d,.]*", text)) != len(numbers):  # "x2", "v3", "10th" are no measures
        return None
    is_given = (number in failing or given_by(number, claim.numbers) for number in numbers)
    return numbers if all(is_given) else None


def _is_part(number: RoleNumber, whole: PartOf) -> bool:
    """ "60 calls" or "98% of calls", where the fact says 60 of 61."""
    if number.role != "count" or (thing(number.noun) != whole.noun and number.noun != "rate"):
        return False
    if number.number.unit == "%":
        return abs(number.number.value - whole.fraction * 100) <= number.number.half_step
    return number.number.value == whole.part and number.noun != "rate"


def _unlicensed(tokens: list[str], plain: list[str], numbers: list[RoleNumber], claim: Claim) -> str:
    """The rule by which a word is not licensed; empty when all are."""
    units = unit_indexes(tokens)
    for index, word in enumerate(plain):
        is_word = not ENTITY.match(word) and not word[0].isdigit() and word not in _PUNCTUATION
        if (
            not is_word
            or CLOCK_MARKS.match(word)
            or index in units
            or word in RATIO_WORDS
            or word in claim.words
        ):
            continue
        licensed = families(word) & claim.families
        is_verb = word == "spans" and "extent" in claim.families
        if word in FAMILIES["count"] and "message" not in licensed and not is_verb:
            counted = any(number.noun == word for number in numbers)
            counted = counted or (claim.part_of is not None and thing(word) == claim.part_of.noun)
            if not counted or (index == 0 and not numbers and claim.fraction is None):
                return "a count that its fact does not give"
        elif not licensed:
            return _NO_LICENCE if families(word) else "a word outside the vocabulary"
    return ""


def _is_name(name: str) -> bool:
    parts = name.lower().split()
    return len(parts) <= _NAME_WORDS and not _SPEAKING & set(parts)
