"""Whether a sentence says only what the facts it cites say. What it does not understand, it refuses.

A sentence is cut into clauses. Each must be borne out by one cited fact alone: it names no other place, each
of its numbers stands in that fact in the same part (seen, usual, difference, share, count), each of its words
is neutral or licensed by the fact (`vocabulary.py`), and together they keep to `phrasing.py`. What joins two
facts is no more than "and", "while" or a comma: a relation between them would need words of no list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from llm.claims import Claim
from llm.clocks import CLOCK_MARKS, mark_clocks, marked
from llm.parts import PART_OF, PartOf, parts_of, thing
from llm.phrasing import ENTITY_MARK, FAILED, is_own_time, names_relation, phrasing_rule
from llm.redact import quoted_name
from llm.roles import RoleNumber, find_roles, given_by
from llm.vocabulary import COMMANDS, FAMILIES, NUMBER_WORDS, RATIO_WORDS, families, words

_CLAUSES = re.compile(
    r"\s*[;:—–]\s*|,(?!\d)\s*|\s-\s|\b(?:and|while|whereas|but|which|where|although|though)\b", re.IGNORECASE
)
_ENTITY = re.compile("\ue100(\\d+)\ue101")
_TOKEN = re.compile("\ue100\\d+\ue101|[^\\W\\d_]+(?:['’-][^\\W\\d_]+)*|\\d[\\d,.]*|[%×σ=?]|\\S")
_NAMED_KIND = re.compile(
    r"\ue100(\d+)\ue101 (services?|operation|endpoint|call|request|query|statement|span|step)\b",
    re.IGNORECASE,
)
# "A took 176 ms, which B made longer", "…, with 152 ms in B": what ties two places is a fact, or is not said.
_TIED_AFTER = re.compile(f"{ENTITY_MARK}.*(?:\\bwhich\\b|,\\s*with\\b)[^,;]*{ENTITY_MARK}", re.IGNORECASE)
_TIED = re.compile(f"{ENTITY_MARK}.*\\bwhere\\b[^,;]*{ENTITY_MARK}", re.IGNORECASE)  # "A is slow where B is"
_SEVERITY = re.compile(r"\bSEV ?\d+")
_BETWEEN = re.compile(
    rf"\bbetween ((?:{ENTITY_MARK}\d+\ue101|in|of|the|service|\s)+?) and (?=(?:the )?{ENTITY_MARK})",
    re.IGNORECASE,
)
_PUNCTUATION = frozenset("%×σ=.,'\"“”`~≈+!/&")
_PREPOSITIONS = words("in at on of for within inside during from to by with across")
_OPENINGS = words("in at on of for within inside during across with among")  # of a bare place in front
_BARE = words("both the service operation as") | _PREPOSITIONS
_NOUN_AFTER = words("is was of took in spent")  # "Call of …": what begins like a command is a noun
_UNITS = words(
    "ns µs μs us ms s sec second seconds millisecond milliseconds microseconds nanoseconds minutes minute min"
    " h hour hours percent x times n"
)
_NAME_WORDS = 5
# A name that holds one of these would say something in the middle of a sentence.
_SPEAKING = words(
    "no not never none nothing nobody without neither nor cannot is are was were should must can will fix"
    " fixed restart rollback because caused ignore instead fine healthy normal ok and or"
)
_SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
_VERBS = words("is was are were has had") | FAMILIES["time"] - words("time times duration durations latency")
_ORDERS = words("order orders buy sell trade")
_DATABASE = FAMILIES["database"]
_NO_PLACE = "a place that its fact does not name"
_NO_LICENCE = "a word that its fact does not license"
_NO_NUMBER = "a number that its fact does not give"


@dataclass(frozen=True)
class Entity:
    """A name in a sentence: of a service, an operation, or a quoted type of error."""

    name: str
    claims: frozenset[str]  # ids of the facts that it belongs to


@dataclass(frozen=True)
class Verdict:
    """`rule` is "entailed", or the rule that refused the sentence; `place` is that of the last clause."""

    rule: str
    place: tuple[str, str] | None = None

    @property
    def holds(self) -> bool:
        return self.rule == "entailed"


class Entailment:
    """Checks sentences against the claims of one explanation."""

    def __init__(self, claims: Mapping[str, Claim]) -> None:
        self._claims = claims
        owners: dict[str, set[str]] = {}
        for claim in claims.values():
            for name in (claim.service, claim.operation, *(claim.far or ()), *claim.tokens):
                # A name like "publish <default>" loses its tag with a model's markup.
                for form in {name, " ".join(re.sub(r"<[^>]*>", " ", name).split())} - {""}:
                    owners.setdefault(form, set()).add(claim.evidence_id)
        # A name of many words is no name: what it says is as foreign as any message.
        names = [name for name in owners if _is_name(name)]
        self._entities = [
            Entity(name, frozenset(owners[name])) for name in sorted(names, key=len, reverse=True)
        ]
        self._wordy = [name for name in owners if not _is_name(name) and len(name.split()) > 1]

    def check(self, text: str, cited: Sequence[str], previous: tuple[str, str] | None) -> Verdict:
        """`text` without citations, against the facts `cited`; `previous` is where the last one ended."""
        claims = [self._claims[i] for i in cited]
        if any(name.lower() in text.lower() for name in self._wordy):
            return Verdict("a name that is a sentence")
        if "?" in text:
            return Verdict("a question")
        text, clocks = mark_clocks(text)
        text = self._mark_entities(_digits(re.sub(r"[()]", ", ", text.replace(" out of ", " of "))))
        # A stretch between two places has a direction like any other, which is checked as such.
        text = _BETWEEN.sub(r"from \1 to ", text)
        if _TIED.search(text) or _TIED_AFTER.search(text):
            return Verdict("a relation that no fact states")
        place = previous
        told: set[str] = set()  # facts whose quantity the sentence has named in full
        for clause in _clauses(text):
            given = [claim for claim in claims if set(marked(clause, clocks)) <= claim.clocks]
            if not given:
                return Verdict("a time that no fact gives")
            rule, supported = self._clause(clause, given, place, told)
            if rule != "entailed":
                return Verdict(rule)
            place = supported or place
        return Verdict("entailed", place)

    def shown(self, text: str) -> str:
        """`text` with the names that read as words in quotation marks: they are the sender's."""
        marked = self._mark_entities(text)
        return _ENTITY.sub(lambda match: quoted_name(self._entities[int(match.group(1))].name), marked)

    def _mark_entities(self, text: str) -> str:
        for index, entity in enumerate(self._entities):
            pattern = rf"[`\"'“]?(?<![\w/.-]){re.escape(entity.name)}(?![\w/-]|\.\w)(?:['’]s\b|[`\"'”])?"
            text = re.sub(pattern, f"\ue100{index}\ue101", text, flags=re.IGNORECASE)
        return text

    def _clause(
        self, clause: str, claims: Sequence[Claim], place: tuple[str, str] | None, told: set[str]
    ) -> tuple[str, tuple[str, str] | None]:
        """The rule that holds, and the place that the clause speaks of."""
        reasons: list[str] = []
        for claim in claims:
            rule = self._against(clause, claim, claim.evidence_id in told)
            if not rule:
                if ENTITY_MARK in clause or place is None or not claim.names_a_place or claim.place == place:
                    if names_relation(_TOKEN.findall(clause.lower()), claim):
                        told.add(claim.evidence_id)
                    return "entailed", claim.place if claim.names_a_place else None
                rule = "a place that is not the subject's"
            reasons.append(rule)
        return reasons[0], None

    def _against(self, clause: str, claim: Claim, is_told: bool) -> str:  # noqa: PLR0911 - a line a rule
        """The rule by which one fact does not bear out the clause; empty when it does."""
        entities = [self._entities[int(index)] for index in _ENTITY.findall(clause)]
        if any(claim.evidence_id not in entity.claims or not claim.names_a_place for entity in entities):
            return _NO_PLACE
        numbers = _borne_out(_ENTITY.sub(" ", clause), claim)
        if numbers is None:
            return _NO_NUMBER
        said = re.findall(r"[a-z]+", clause.lower())
        # "SELECT carts, a database query in checkout"
        is_apposition = said[:1] in (["a"], ["an"]) and not set(said) & _VERBS
        if entities and not is_apposition and not _names_operation(entities, said, claim):
            return "a generalisation"  # "checkout is slow": one operation of it is
        if _misnamed(clause, self._entities, claim):
            return _NO_PLACE
        names_none = all(entity.name != claim.operation for entity in entities)
        if _DATABASE & set(said) and names_none and not is_apposition:
            return "a generalisation"  # "the database is slow": one statement of it is
        tokens = _TOKEN.findall(clause)
        if claim.far and not self._keeps_direction(tokens, claim):
            return "a direction that its fact does not give"
        plain = [token.lower().removesuffix("'s").removesuffix("’s") for token in tokens]
        if plain and plain[0] in COMMANDS and not set(plain[1:2]) & _NOUN_AFTER:
            return "a command"
        if is_own_time(plain, numbers, claim, is_told=is_told):
            return "a quantity that its fact does not give"
        return _unlicensed(tokens, plain, numbers, claim) or phrasing_rule(plain, numbers, claim)

    def _keeps_direction(self, tokens: list[str], claim: Claim) -> bool:
        """A message goes from its producer: that one stands behind "from", and nothing else does."""
        origin = False  # whether the words are within "from …"
        for index, token in enumerate(tokens):
            match = _ENTITY.match(token)
            if match is None:
                origin = token.lower() == "from" or (
                    origin and token.lower() in ("in", "of", "the", "service")
                )
                continue
            name = self._entities[int(match.group(1))].name
            is_far = name in (claim.far or ())
            if is_far != origin and not (is_far and name in claim.place):
                return False
            origin = origin and tokens[index + 1 : index + 2] in (["in"], ["of"])
        return True


def _names_operation(entities: Sequence[Entity], said: Sequence[str], claim: Claim) -> bool:
    """Whether a clause that names places names the operation that its fact is about, or a type of its error.

    Messages go between services, and orders are placed in them: there a service is enough.
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
    """The numbers of a clause; None when one of them does not stand in the fact in the same part."""
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
    if not said & FAILED and (failing or (of_wholes and said - _BARE)):
        return None  # the part is what failed: "60 calls" were not all there were
    if len(re.findall(r"\d[\d,.]*", text)) != len(numbers):  # "x2", "v3", "10th": none of them is a measure
        return None
    is_given = (number in failing or given_by(number, claim.numbers) for number in numbers)
    return numbers if all(is_given) else None


def _is_part(number: RoleNumber, whole: PartOf) -> bool:
    return number.role == "count" and number.number.value == whole.part and thing(number.noun) == whole.noun


def _unlicensed(tokens: list[str], plain: list[str], numbers: list[RoleNumber], claim: Claim) -> str:
    """The rule by which a word does not stand; empty when all do."""
    units = _unit_indexes(tokens)
    for index, word in enumerate(plain):
        is_word = not _ENTITY.match(word) and not word[0].isdigit() and word not in _PUNCTUATION
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


def _clauses(text: str) -> Iterable[str]:
    """Clauses with something to say. A bare place in front belongs to the clause behind it."""
    pieces, joints = [], []
    at = 0
    for match in _CLAUSES.finditer(text):
        pieces.append(text[at : match.start()])
        joints.append(match.group().strip().lower())
        at = match.end()
    pieces.append(text[at:])
    named = next((index for index, piece in enumerate(pieces) if _ENTITY.search(piece)), 0)
    # What stands before the first name speaks of it: "At 152 ms, SELECT carts …".
    pieces, joints = [", ".join(pieces[: named + 1]), *pieces[named + 1 :]], joints[named:]
    waiting: list[tuple[str, bool]] = []
    last = ""
    for piece, joint in zip(pieces, [*joints, ""], strict=True):
        if not piece.strip(" ,"):
            continue
        if joint and _is_bare(piece):
            first = _TOKEN.findall(piece)[0].lower()
            waiting.append((piece, first in _OPENINGS or joint != "and"))
            continue
        prefix = " ".join(bare for bare, joins in waiting if joins)
        for bare, joins in waiting:
            if not joins:
                yield f"{prefix} {bare} {_ENTITY.sub(' ', piece)}"
        waiting = []
        # "The cause is A and B": what was said of A is said of B.
        inherited = _ENTITY.sub(" ", last) if last and _is_bare(piece) else ""
        last = f"{prefix} {inherited} {piece}" if inherited else f"{prefix} {piece}"
        yield last
    for bare, _ in waiting:
        yield f"{_ENTITY.sub(' ', last)} {bare}"


def _is_bare(piece: str) -> bool:
    tokens = [token.lower() for token in _TOKEN.findall(piece)]
    return bool(_ENTITY.search(piece)) and all(_ENTITY.match(token) or token in _BARE for token in tokens)


def _unit_indexes(tokens: list[str]) -> set[int]:
    """Where a token is the unit of the number in front of it, the n of "n = 812", or a severity."""
    found = {index for index, token in enumerate(tokens) if token in ("SEV",)}
    for index, (token, following) in enumerate(pairwise(tokens)):
        if token[0].isdigit() and (following.lower() in _UNITS or following.isupper()):
            found.add(index + 1)
        elif (token, following) == ("n", "="):
            found.add(index)
    return found


def _digits(text: str) -> str:
    """Numbers in words become digits, so that "two data centres" is a count like any other."""
    text = re.sub(
        r"[A-Za-z]+", lambda match: str(NUMBER_WORDS.get(match.group().lower(), match.group())), text
    )
    return re.sub(
        r"(?<![\d.,])(\d+(?:\.\d+)?) (thousand|million|billion)\b",
        lambda match: f"{float(match.group(1)) * _SCALES[match.group(2)]:.0f}",
        text,
    )
