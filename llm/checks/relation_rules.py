"""Rules about places: causes, effects, blame, and the relation of two places.

Each function is true for a word that breaks its rule.
"""

from __future__ import annotations

from collections.abc import Callable

from llm.checks.clause_words import (
    CERTAIN,
    ENTITY_MARK,
    FAILED,
    FAILURES,
    FINITE_VERBS,
    Word,
    measures,
)
from llm.checks.clocks import CLOCK_MARKS
from llm.checks.vocabulary import FAMILIES, words

_NEAR_NUMBERS = words("about around roughly nearly almost approximately after some")
_FAILING = words("fail fails failed failing failure failures errored")
_NOT_GERUNDS = words("during following including")
_TAKES_GERUND = words("at in by with from on for while")
_ASSERTING = words(
    "cause culprit origin source reason bottleneck problem issue root driver originate originates originated"
    " originating pinpointed traced responsible"
)
_GRADED = words(
    "likely probable probably likeliest suspect suspected candidate possible possibly appear appears"
    " indicates indicate indicated suggests"
)
_FAULTS = words("problem issue culprit bottleneck suspect suspected")
_CONJUNCTIONS = words("as for since when once with because")
_OF_A_DATABASE = words("query queries statement statements call calls operation operations step")
_CAUSED = words(
    "incident anomaly anomalies slowdown delay latency failure failures error errors this it problem symptom"
)
_CALLED = (
    ["outside", "the", "service", "it"],
    ["of", "the", "service", "it"],
    ["to", "the", "service", "it"],
)


def _faults_an_amount(word: Word) -> bool:
    """An unusual amount is nobody's fault, and goes only to places that its fact names."""
    if "amount" not in word.claim.families:
        return False
    goes = word.text in ("from", "to", "into") and ENTITY_MARK in "".join(word.behind)
    return word.text in _FAULTS or goes


def _waits_for_a_place(word: Word) -> bool:
    is_waiting = word.text.startswith("wait") and word.behind[:1] == ["for"]
    is_to = word.text == "way" and word.behind[:1] == ["to"]
    return (is_waiting or is_to) and ENTITY_MARK in "".join(word.clause[word.index + 1 : word.index + 4])


def _bare_service(word: Word) -> bool:
    """ "The service failed": a service must be named, together with its operation."""
    if word.text not in ("service", "services"):
        return False
    near = "".join([*word.before[-2:], *word.behind])
    is_the_called = word.before[-3:] == ["outside", "of", "the"] or word.before[-2:] == ["outside", "the"]
    return not (ENTITY_MARK in near or is_the_called or "called" in word.clause)


def _compared_with_a_place(word: Word) -> bool:
    return word.text == "than" and any(item.startswith(ENTITY_MARK) for item in word.behind[:1])


def _unmeasured_after(word: Word) -> bool:
    is_measured = any(measures(word.behind[:1])) or set(word.behind[:1]) & _NEAR_NUMBERS
    if word.behind == ["it", "was"] and any(measures(word.before[-2:])):  # "2.4 s after it was published"
        return not set(word.clause[word.index + 3 :]) & words("published sent")
    return word.text in ("after", "only") and not is_measured


def _published(word: Word) -> bool:
    """A message was received so long "after it was published"; no fact gives the time of publishing."""
    return word.text in ("published", "sent") and word.before[-3:] != ["after", "it", "was"]


def _until(word: Word) -> bool:
    """ "It took 2.4 s until the message …": a duration is given, not a time of day."""
    if word.text != "until" or "message" not in word.claim.families:
        return False
    return not any(measures(word.before[-2:]))


def _caused(word: Word) -> bool:
    """ "Probably caused the slowdown": of the trace or the incident only, and at most likely."""
    if word.text != "caused":
        return False
    effects = ["incident", "slowdown"] if word.claim.share is not None else ["incident"]
    is_graded = bool(set(word.before) & words("likely probably"))
    return not (is_graded and word.behind[:1] == ["the"] and word.behind[1:2] and word.behind[1] in effects)


def _due_without_share(word: Word) -> bool:
    return word.text == "due" and not word.has("share")


def _called(word: Word) -> bool:
    """On a way between two services, "called" means the callee as its caller saw it."""
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


def _failed_to(word: Word) -> bool:
    """ "Failed to fail": no other verb may follow "failed to"."""
    if word.text not in FAILED:
        return False
    behind = [item for item in word.clause[word.index + 1 :] if item not in ("again", "always")]
    if word.text in _FAILING and set(behind) & _FAILING:
        return True
    if behind[:1] == ["to"]:
        return not behind[1:2] or behind[1][0].isalpha()
    behind = behind[1:] if set(behind[:1]) & _TAKES_GERUND else behind
    return bool(behind) and behind[0].endswith("ing") and behind[0] not in _NOT_GERUNDS


def _time_between(word: Word) -> bool:
    """Only messages and times of day have two ends."""
    if word.text != "between" or "message" in word.claim.families:
        return False
    return not (word.behind and CLOCK_MARKS.match(word.behind[0]))


def _needs(word: Word) -> bool:
    """ "Needs 152 ms" is a duration; "needs more time" is advice."""
    is_measured = any(measures(word.behind[:1])) or set(word.behind[:1]) & _NEAR_NUMBERS
    return word.text == "needs" and (not is_measured or word.has("excess"))


def _overconfident(word: Word) -> bool:
    """ "The culprit" for a likely cause: the evidence decides the certainty, not the sentence."""
    if word.text not in _ASSERTING or word.claim.confidence >= CERTAIN:
        return False
    is_share = word.text in FAMILIES["share"] and (word.has("share") or (word.claim.share or 0) > 0.5)
    return not is_share and not set(word.clause) & _GRADED


def _subordinate(word: Word) -> bool:
    """ "As A took 152 ms": a subordinate clause claims a relation between two clauses."""
    if word.text not in _CONJUNCTIONS or (word.text == "for" and word.index > 0):
        return False
    behind = word.clause[word.index + 1 :]
    named = next((index for index, item in enumerate(behind) if item.startswith(ENTITY_MARK)), None)
    return named is not None and named <= 3 and bool(set(behind[named + 1 :]) & FINITE_VERBS)


def _cause_of_what(word: Word) -> bool:
    """A cause is one of the incident or of its slowdown, not of a place or of a figure."""
    if word.text not in _ASSERTING or word.behind[:1] != ["of"]:
        return False
    ahead = word.clause[word.index + 2 : word.index + 6]
    return not set(ahead) & _CAUSED


def _makes(word: Word) -> bool:
    """ "Made it slow" claims an effect on something else; "makes up 84%" is a share."""
    return word.text in ("made", "make", "makes") and not (
        word.behind[:1] == ["up"] or any(measures(word.behind[:1]))
    )


def _affects(word: Word) -> bool:
    """ "9 traces were affected": only the incident has that number."""
    return word.text in ("affected", "impacted", "involved") and not any(
        number.role == "count" for number in word.numbers
    )


def _no_statement(word: Word) -> bool:
    """ "The database is slow": only a statement, a query or a call of it is known to be."""
    return word.text in ("database", "db") and not set(word.behind[:1]) & _OF_A_DATABASE


def _path_itself(word: Word) -> bool:
    """ "Is the critical path": a place may be on the path, or be its root."""
    if word.text not in ("path", "longest"):
        return False
    is_on_it = {"of", "in", "on", "along"} & set(word.before)
    is_of_it = word.behind[:1] == ["of"] and "".join(word.behind[1:]).find(ENTITY_MARK) >= 0
    return word.text == "longest" or word.before[-1:] != ["critical"] or not (is_on_it or is_of_it)


def _slowed_by_a_place(word: Word) -> bool:
    """ "It was held up by A": that a place slowed another is a relation of two places."""
    is_agent = word.text == "by" and ENTITY_MARK in "".join(word.behind)
    return is_agent and bool(set(word.clause[: word.index]) & (FAMILIES["slower"] | words("held")))


def _ended_without_failure(word: Word) -> bool:
    """A call ends in or with an error; that an error ended is no fact's."""
    is_error = "error" in word.claim.families
    behind = word.clause[word.index + 1 : word.index + 7]
    into_failure = behind[:1] in (["in"], ["with"], ["as"], ["on"]) and bool(set(behind) & FAILURES)
    return word.text in ("ended", "ends", "ending") and is_error and not into_failure


RELATION_RULES: tuple[tuple[str, Callable[[Word], bool]], ...] = (
    ("blame that no fact gives", _faults_an_amount),
    ("a relation that no fact states", _waits_for_a_place),
    ("a generalisation", _bare_service),
    ("a relation that no fact states", _compared_with_a_place),
    ("a relation that no fact states", _unmeasured_after),
    ("a relation that no fact states", _due_without_share),
    ("a time that no fact gives", _published),
    ("a relation that no fact states", _until),
    ("a relation that no fact states", _slowed_by_a_place),
    ("a relation that no fact states", _caused),
    ("a relation that no fact states", _called),
    ("a relation that no fact states", _failed_to),
    ("a relation that no fact states", _time_between),
    ("a wish", _needs),
    ("a word that its fact does not license", _ended_without_failure),
    ("more certain than its evidence", _overconfident),
    ("a relation that no fact states", _subordinate),
    ("a relation that no fact states", _cause_of_what),
    ("a relation that no fact states", _makes),
    ("a relation that no fact states", _affects),
    ("a generalisation", _no_statement),
    ("a generalisation", _path_itself),
)
