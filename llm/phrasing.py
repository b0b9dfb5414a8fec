"""What words that a fact licenses one by one may still not say together: rules over one clause.

Each rule is a name, which the stored report gives, and a function that is true when the clause breaks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llm.claims import Claim
from llm.clocks import CLOCK_MARKS
from llm.roles import RoleNumber
from llm.vocabulary import FAMILIES, ratio_within, words

ENTITY_MARK = "\ue100"  # begins the placeholder of a name
_SIDES = words("over above beyond below under")
_USUAL_SIDE = FAMILIES["usual"] | words("what ordinary median")
_WITH_UP = words("made makes make shows showed show shown showing")
_NEAR_NUMBERS = words("about around roughly nearly almost approximately after some")
_PARTS = words("part share portion contribution contributor fraction")
_FAILURES = words("error errors exception exceptions failure failures failed")
FAILED = _FAILURES | words(
    "fail fails failed failing errored unsuccessful unsuccessfully broke threw thrown raised"
)
_FAILING = words("fail fails failed failing failure failures errored")
# What makes a time that of a message; and the work that is neither a message's way nor one between services.
_OF_A_MESSAGE = words(
    "message messages reach reached reaches reaching arrive arrived arrives arriving wait waits waited"
    " waiting gap deliver delivered delivery transit travelled queue queued receives received receive"
)
_OWN_WORK = words(
    "processing ran runs running execution executing executed work working busy finished finishes finishing"
    " completed completes completing responded responds response answered answers answering answer"
    " consumed consumes consuming clocked"
)
_TAKES = FAMILIES["time"] - words("after only ms")
_NOT_GERUNDS = words("during following including")
_TAKES_GERUND = words("at in by with from on for while")
_LOST = words("lost loses losing cost costs")
_MINOR = words("small smaller minor lesser")
_SHARE_VERBS = words(
    "account accounts accounted accounting contribute contributes contributed contributing explains explained"
    " comes come came stems stemmed represents represented sits lies responsible"
)
_COMPARATIVES = FAMILIES["more"] | FAMILIES["less"] | words("slower faster longer shorter quicker later")
_JOINS = words("than over above beyond exceeds exceeded exceeding against below under")
# Of a cause: words that assert it, and those that grade it. From this confidence on the first stand alone.
CERTAIN = 0.9
_ASSERTING = words(
    "cause culprit origin source reason bottleneck problem issue root driver originate originates originated"
    " originating pinpointed traced responsible"
)
_GRADED = words(
    "likely probable probably likeliest suspect suspected candidate possible possibly appear appears"
    " indicates indicate indicated suggests"
)
_ADVERBS = words("usually normally typically ordinarily regularly")
_TOOK = words(
    "took reached spent lasted ran needed finished completed responded answered held clocked consumed peaked"
    " arrived carried"
)
_FAULTS = words("problem issue culprit bottleneck suspect suspected")
_MAJORITY = FAMILIES["most"] - FAMILIES["cause"]
_CALLED = (["outside", "the", "service", "it"], ["to", "the", "service", "it"])


@dataclass(frozen=True)
class Word:
    """A word of a clause in lower case, with what stands around it."""

    text: str
    index: int
    clause: list[str]
    numbers: list[RoleNumber]
    claim: Claim

    @property
    def behind(self) -> list[str]:
        return self.clause[self.index + 1 : self.index + 3]

    @property
    def before(self) -> list[str]:
        return self.clause[max(0, self.index - 4) : self.index]

    def has(self, *roles: str) -> bool:
        return any(number.role in roles for number in self.numbers)


def phrasing_rule(clause: list[str], numbers: list[RoleNumber], claim: Claim) -> str:
    """The first rule that the clause breaks; empty when there is none."""
    for index, text in enumerate(clause):
        word = Word(text, index, clause, numbers, claim)
        for rule, breaks in _RULES:
            if breaks(word):
                return rule
    return ""


def names_relation(clause: list[str], claim: Claim) -> bool:
    """Whether the clause says what the time of a relation is: that of a message, or of the way of a call."""
    said = set(clause)
    if "message" in claim.families:
        return bool(said & _OF_A_MESSAGE) or "from" in said
    return "called" in said and bool(said & words("outside way"))


def is_own_time(clause: list[str], numbers: list[RoleNumber], claim: Claim, *, is_told: bool) -> bool:
    """Whether the clause gives the time of a relation as the place's own: "took 640 ms", spent outside.

    Args:
        is_told: an earlier clause named the relation, so that "usually 3 ms" may follow without.
    """
    if not claim.is_relation:
        return False
    has_time = any(number.role in ("observed", "expected", "excess", "ratio") for number in numbers)
    if set(clause) & _OWN_WORK:
        return True
    takes = any(number.role == "observed" for number in numbers) and set(clause) & _TAKES
    return has_time and not names_relation(clause, claim) and (not is_told or bool(takes))


def _measures(items: list[str]) -> Iterator[bool]:
    return (item[0].isdigit() for item in items)


def _as_usual(word: Word) -> bool:
    """ "As long as usual", "is normal": the word belongs to no comparison with a usual number."""
    if word.text not in FAMILIES["usual"] or word.has("expected", "excess", "ratio", "sigma"):
        return False
    before = set(word.clause[: word.index])
    return not (before & _COMPARATIVES and before & _JOINS)


def _unmeasured_side(word: Word) -> bool:
    """ "Over its errors": what stands on the other side is a measure, or what is usual."""
    near = [*word.behind, *word.before[-3:]]
    ahead = set(word.clause[word.index + 1 : word.index + 4])
    if word.text in _SIDES and set(word.behind[:1]) & words("at with in for since"):
        return True  # "is over at 176 ms"
    return word.text in _SIDES and not (ahead & _USUAL_SIDE or any(_measures(near)))


def _part_of_usual(word: Word) -> bool:
    """ "152 ms of its usual 900 µs": no part of it."""
    return (
        word.text in FAMILIES["usual"]
        and word.before[-2:] in (["of", "its"], ["of", "the"], ["of", "a"])
        and (word.before[-3:-2] != ["instead"])
    )


def _usually(word: Word) -> bool:
    """ "Usually 151 ms over", "usually slow": what is said to be usual is the usual figure."""
    if word.text not in _ADVERBS:
        return False
    roles = _roles_by_index(word)
    if roles is None:
        return False
    behind = [role for index, role in roles if index > word.index]
    before = [role for index, role in roles if index < word.index]
    nearest = behind[:1] or before[-1:]
    return nearest != ["expected"]


def _took_the_usual(word: Word) -> bool:
    """ "Took its usual 8 ms" says that it was as usual; "usually took 8 ms" and "usually 8 ms" do not."""
    if word.text not in _TOOK or not word.has("expected"):
        return False
    is_compared = word.has("observed", "excess", "ratio", "sigma") or set(word.clause) & _ADVERBS
    return not is_compared


def _roles_by_index(word: Word) -> list[tuple[int, str]] | None:
    """The parts of the clause's figures with where they stand; None where they cannot be told apart."""
    measures = [index for index, item in enumerate(word.clause) if item[0].isdigit()]
    if len(measures) != len(word.numbers):
        return None
    return [(index, number.role) for index, number in zip(measures, word.numbers, strict=True)]


def _end_without_a_time(word: Word) -> bool:
    """An incident's last anomaly has a time; that it is over is another matter."""
    if word.text == "had":
        return bool(set(word.behind[:1]) & (FAILED | words("been taken ended risen slowed")))
    is_end = word.text in ("ended", "ends", "ending") and "error" not in word.claim.families
    return is_end and not any(CLOCK_MARKS.match(item) for item in word.clause)


def _waits_for_a_place(word: Word) -> bool:
    is_waiting = word.text.startswith("wait") and word.behind[:1] == ["for"]
    is_to = word.text == "way" and word.behind[:1] == ["to"]
    return (is_waiting or is_to) and ENTITY_MARK in "".join(word.clause[word.index + 1 : word.index + 4])


def _total_of_all(word: Word) -> bool:
    """A total is of what is counted or measured; an incident has no time of its own."""
    ahead = word.clause[word.index + 1 : word.index + 4]
    return word.text in ("total", "overall") and bool(set(ahead) & words("incident trace slowdown"))


def _bare_service(word: Word) -> bool:
    """ "The service failed": of a service something is said by name, and with its operation."""
    if word.text not in ("service", "services"):
        return False
    near = "".join([*word.before[-2:], *word.behind])
    is_the_called = word.before[-3:] == ["outside", "of", "the"] or word.before[-2:] == ["outside", "the"]
    return not (ENTITY_MARK in near or is_the_called or "called" in word.clause)


def _belittles(word: Word) -> bool:
    """ "Only 152 ms" of what is more than usual."""
    if word.text != "only" or "more" not in word.claim.families or word.behind[:1] == ["after"]:
        return False
    measures = [index for index, item in enumerate(word.clause) if item[0].isdigit()]
    ordinal = sum(index < word.index for index in measures)
    if len(measures) != len(word.numbers) or ordinal >= len(measures):
        return True
    return word.numbers[ordinal].role != "expected"


def _faults_an_amount(word: Word) -> bool:
    """An unusual amount is no fault of anybody's, and goes nowhere that its fact does not name."""
    if "amount" not in word.claim.families:
        return False
    goes = word.text in ("from", "to", "into") and ENTITY_MARK in "".join(word.behind)
    return word.text in _FAULTS or goes


def _unmeasured_up(word: Word) -> bool:
    measured = set(word.behind) & words("from by to") or set(word.before[-1:]) & _WITH_UP
    return word.text in ("up", "down") and not measured


def _compared_with_a_place(word: Word) -> bool:
    return word.text == "than" and any(item.startswith(ENTITY_MARK) for item in word.behind[:1])


def _wrong_degree(word: Word) -> bool:
    ratio = word.claim.ratio
    if word.text == "well" and not set(word.behind[:1]) & _SIDES:
        return True
    if word.text in _MINOR and "minor" in word.claim.families:
        return not set(word.behind[:1]) & _PARTS
    if ratio is None:
        return False
    is_close = 0.5 < ratio < 2
    return (word.text in FAMILIES["much"] and is_close) or (word.text in FAMILIES["little"] and not is_close)


def _unmeasured_after(word: Word) -> bool:
    is_measured = any(_measures(word.behind[:1])) or set(word.behind[:1]) & _NEAR_NUMBERS
    return word.text in ("after", "only") and not is_measured


def _unmeasured_loss(word: Word) -> bool:
    return word.text in _LOST and (not word.numbers or "message" in word.claim.families)


def _quantifier(word: Word) -> bool:
    if word.text == "each":
        return not word.has("price")
    if word.text == "all" and any(_measures(word.behind[:1])):
        return True
    if word.text != "all" or word.behind[:1] in (["hours"], []):
        return False
    return not (set(word.before[-1:]) & words("nearly almost") and (word.claim.fraction or 0) >= 0.9)


def _due_without_share(word: Word) -> bool:
    return word.text == "due" and not word.has("share")


def _ended_without_failure(word: Word) -> bool:
    is_error = "error" in word.claim.families
    behind = set(word.clause[word.index + 1 :])
    return word.text in ("ended", "ends", "ending") and is_error and not behind & _FAILURES


def _failed_to(word: Word) -> bool:
    """ "Failed to fail": what a failure is said of has no other verb behind it."""
    if word.text not in FAILED:
        return False
    behind = [item for item in word.clause[word.index + 1 :] if item not in ("again", "always")]
    if word.text in _FAILING and set(behind) & _FAILING:
        return True
    if behind[:1] == ["to"]:
        return not behind[1:2] or behind[1][0].isalpha()
    behind = behind[1:] if set(behind[:1]) & _TAKES_GERUND else behind
    return bool(behind) and behind[0].endswith("ing") and behind[0] not in _NOT_GERUNDS


def _needs(word: Word) -> bool:
    """What "needs 152 ms" took that long; what "needs more time" is to be given it."""
    is_measured = any(_measures(word.behind[:1])) or set(word.behind[:1]) & _NEAR_NUMBERS
    return word.text == "needs" and (not is_measured or word.has("excess"))


def _time_between(word: Word) -> bool:
    """Only messages and times of day have two ends."""
    if word.text != "between" or "message" in word.claim.families:
        return False
    return not (word.behind and CLOCK_MARKS.match(word.behind[0]))


def _no_majority(word: Word) -> bool:
    return word.text in _MAJORITY and max(word.claim.share or 0, word.claim.fraction or 0) <= 0.5


def _no_share(word: Word) -> bool:
    return word.text in _SHARE_VERBS and (word.claim.share or 0) <= 0.5 and not word.has("share")


def _on_time(word: Word) -> bool:
    is_late = word.claim.families & {"slower", "message"}
    return word.text == "time" and bool(is_late) and "on" in word.before[-2:]


def _called(word: Word) -> bool:
    """Of a way between two services, which is meant: the one that was called, as its caller saw it."""
    if not word.claim.is_relation:
        return False
    if word.text in ("called", "calls"):
        is_the_called_service = word.before[-1:] == ["the"] and word.behind[:1] == ["service"]
        if is_the_called_service and (
            word.before[-2:-1] == ["outside"] or word.before[-3:-1] == ["outside", "of"]
        ):
            return False
        return word.before not in _CALLED
    return word.text == "outside" and "called" not in word.clause


def _overconfident(word: Word) -> bool:
    """ "The culprit" of a cause that is likely: certainty is the evidence's, not the sentence's."""
    if word.text not in _ASSERTING or word.claim.confidence >= CERTAIN:
        return False
    is_share = word.text in FAMILIES["share"] and (word.has("share") or (word.claim.share or 0) > 0.5)
    return not is_share and not set(word.clause) & _GRADED


def _wrong_ratio(word: Word) -> bool:
    return not ratio_within(word.text, word.claim.ratio)


_RULES: tuple[tuple[str, Callable[[Word], bool]], ...] = (
    ("says that it is as usual", _as_usual),
    ("says that it is as usual", _on_time),
    ("a quantity that its fact does not give", _part_of_usual),
    ("a degree that its fact does not bear out", _belittles),
    ("blame that no fact gives", _faults_an_amount),
    ("says that it is as usual", _usually),
    ("says that it is as usual", _took_the_usual),
    ("a time that no fact gives", _end_without_a_time),
    ("a relation that no fact states", _waits_for_a_place),
    ("a generalisation", _bare_service),
    ("a quantity that its fact does not give", _total_of_all),
    ("a direction without a measure", _unmeasured_side),
    ("a direction without a measure", _unmeasured_up),
    ("a relation that no fact states", _compared_with_a_place),
    ("a relation that no fact states", _unmeasured_after),
    ("a relation that no fact states", _due_without_share),
    ("a relation that no fact states", _called),
    ("a relation that no fact states", _failed_to),
    ("a relation that no fact states", _time_between),
    ("a wish", _needs),
    ("a degree that its fact does not bear out", _wrong_degree),
    ("a loss that its fact does not give", _unmeasured_loss),
    ("a quantity that its fact does not give", _quantifier),
    ("a word that its fact does not license", _ended_without_failure),
    ("a share that its fact does not give", _no_majority),
    ("a share that its fact does not give", _no_share),
    ("a number that its fact does not give", _wrong_ratio),
    ("more certain than its evidence", _overconfident),
)
