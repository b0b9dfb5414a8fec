"""Rules about figures: degrees, shares, counts, usual values, and times.

Each function is true for a word that breaks its rule.
"""

from __future__ import annotations

from collections.abc import Callable

from llm.checks.clause_words import BE, ENTITY_MARK, FAILED, FAILURES, TAKES, Word, measures
from llm.checks.clocks import CLOCK_MARKS
from llm.checks.vocabulary import FAMILIES, RATIO_WORDS, ratio_within, words

_SIDES = words("over above beyond below under")
_USUAL_SIDE = FAMILIES["usual"] | words("what ordinary median")
_WITH_UP = words("made makes make shows showed show shown showing")
_PARTS = words("part share portion contribution contributor fraction")
_LOST = words("lost loses losing cost costs")
_MINOR = words("small smaller minor lesser")
_SHARE_VERBS = words(
    "account accounts accounted accounting contribute contributes contributed contributing explains explained"
    " comes come came stems stemmed represents represented sits lies responsible"
)
_COMPARATIVES = FAMILIES["more"] | FAMILIES["less"] | words("slower faster longer shorter quicker later")
_JOINS = words("than over above beyond exceeds exceeded exceeding against below under")
_ADVERBS = words("usually normally typically ordinarily regularly")
_TOOK = words(
    "took reached spent lasted ran needed finished completed responded answered held clocked consumed peaked"
    " arrived carried"
)
_MAJORITY = FAMILIES["most"] - FAMILIES["cause"]
_BEFORE_NUMBERS = words("about around roughly nearly almost approximately some circa")
_ALL_OR_HALF = words("all every half")
_TRENDS = words(
    "rising increasing growing climbing falling dropping decreasing slowing degrading worsening surging"
)
_WHOLES = words("incident anomaly anomalies trace traces")


def _as_usual(word: Word) -> bool:
    """ "As long as usual", "is normal": the word is not part of a comparison with a usual number."""
    if word.text not in FAMILIES["usual"] or word.has("expected", "excess", "ratio", "sigma"):
        return False
    before = set(word.clause[: word.index])
    return not (before & _COMPARATIVES and before & _JOINS)


def _unmeasured_side(word: Word) -> bool:
    """ "Over its errors": the other side must be a measure, or a usual value."""
    near = [*word.behind, *word.before[-3:]]
    ahead = set(word.clause[word.index + 1 : word.index + 4])
    if word.text in _SIDES and set(word.behind[:1]) & words("at with in for since"):
        return True  # "is over at 176 ms"
    return word.text in _SIDES and not (ahead & _USUAL_SIDE or any(measures(near)))


def _part_of_usual(word: Word) -> bool:
    """ "152 ms of its usual 900 µs": the first is no part of the second."""
    return (
        word.text in FAMILIES["usual"]
        and word.before[-2:] in (["of", "its"], ["of", "the"], ["of", "a"])
        and (word.before[-3:-2] != ["instead"])
    )


def _usually(word: Word) -> bool:
    """ "Usually 151 ms over", "usually slow": "usually" may only go with the usual figure."""
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
    """ "Took its usual 8 ms" says that nothing was unusual; "usually took 8 ms" and "usually 8 ms" do not."""
    if word.text not in _TOOK or not word.has("expected"):
        return False
    is_compared = word.has("observed", "excess", "ratio", "sigma") or set(word.clause) & _ADVERBS
    return not is_compared


def _roles_by_index(word: Word) -> list[tuple[int, str]] | None:
    """The roles of the clause's figures with their positions; None where they cannot be told apart."""
    measures = [index for index, item in enumerate(word.clause) if item[0].isdigit()]
    if len(measures) != len(word.numbers):
        return None
    return [(index, number.role) for index, number in zip(measures, word.numbers, strict=True)]


def _end_without_a_time(word: Word) -> bool:
    """An incident's last anomaly has a time; the end of the incident is a different statement."""
    if word.text == "had":
        return bool(set(word.behind[:1]) & (FAILED | words("been taken ended risen slowed")))
    is_end = word.text in ("ended", "ends", "ending") and "error" not in word.claim.families
    return is_end and not any(CLOCK_MARKS.match(item) for item in word.clause)


def _total_of_all(word: Word) -> bool:
    """A total must be of counted or measured things; an incident has no duration of its own."""
    ahead = word.clause[word.index + 1 : word.index + 4]
    return word.text in ("total", "overall") and bool(set(ahead) & words("incident trace slowdown"))


def _belittles(word: Word) -> bool:
    """ "Only 152 ms" for a value that is more than usual."""
    if word.text != "only" or "more" not in word.claim.families or word.behind[:1] == ["after"]:
        return False
    measures = [index for index, item in enumerate(word.clause) if item[0].isdigit()]
    ordinal = sum(index < word.index for index in measures)
    if len(measures) != len(word.numbers) or ordinal >= len(measures):
        return True
    return word.numbers[ordinal].role != "expected"


def _unmeasured_up(word: Word) -> bool:
    measured = set(word.behind) & words("from by to") or set(word.before[-1:]) & _WITH_UP
    return word.text in ("up", "down") and not measured


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


def _unmeasured_loss(word: Word) -> bool:
    return word.text in _LOST and (not word.numbers or "message" in word.claim.families)


def _quantifier(word: Word) -> bool:
    if word.text == "each":
        return not word.has("price")
    if word.text == "all" and any(measures(word.behind[:1])):
        return True
    if word.text == "all" and (
        word.clause == ["all", "hours"]
        or word.clause[:2] == ["in", "all"]
        or (word.behind == [] and word.before[-1:] == ["in"])
    ):
        return False
    if word.text not in ("all", "every"):
        return False
    is_lost = bool(set(word.clause) & words("slowdown"))  # "nearly all of the slowdown"
    whole = (word.claim.share if is_lost else word.claim.fraction) or 0
    return not (set(word.before[-1:]) & words("nearly almost") and whole >= 0.9)


def _went(word: Word) -> bool:
    """ "Went from 8 ms to 176 ms": a change between two figures, or between two shares."""
    if word.text not in ("went", "goes") or ("share" in word.claim.families and word.has("share")):
        return False
    return not (set(word.behind[:1]) & words("from to up") and word.has("observed", "expected"))


def _own_slowdown(word: Word) -> bool:
    """ "Its slowdown was 84%", "a slowdown of 84%": a share is always a part of the trace's slowdown."""
    if word.text != "slowdown" or not word.has("share"):
        return False
    is_a_places = word.behind[:1] == ["of"] and word.behind[-1].startswith(ENTITY_MARK)
    return is_a_places or not set(word.before[-3:]) & words("of to in for")


def _away(word: Word) -> bool:
    """A value is so many σ away from the usual value."""
    return word.text == "away" and not word.has("sigma")


def _further(word: Word) -> bool:
    """ "A further 20 ms" is a measure beside others; a "further call" would be another call."""
    return word.text == "further" and not (word.before[-1:] == ["a"] and any(measures(word.behind[:1])))


def _sequence(word: Word) -> bool:
    """ "Later, A took 152 ms" puts facts in an order; "2.4 s later" and "later than usual" are measures."""
    is_measured = any(measures(word.before[-2:])) or word.behind[:1] == ["than"]
    return word.text in ("later", "earlier") and not is_measured


def _price_of_nothing(word: Word) -> bool:
    """ "The price was 3,400 times the usual": a fact gives a price as such, and compares no prices."""
    return word.text in ("price", "prices", "priced") and not (word.has("price") and not word.has("ratio"))


def _over_what(word: Word) -> bool:
    """ "12 ms over its usual 14 ms" for a value that is less: "over 9 traces" alone needs no direction."""
    return word.text == "over" and "more" not in word.claim.families and word.has("excess", "expected")


def _at_most(word: Word) -> bool:
    """ "Took up to 176 ms" gives a maximum; "rose up to" and "from 8 ms up to" give an end."""
    is_change = set(word.clause[: word.index]) & (FAMILIES["more"] | words("from went goes"))
    return word.text == "up" and word.behind[:1] == ["to"] and not is_change


def _worth_itself(word: Word) -> bool:
    """ "Is worth 850 BTC": an amount is worth what the fact about its value says."""
    return word.text == "worth" and "unusual" in word.claim.families


def _far_from(word: Word) -> bool:
    """ "Far from failing" denies; "far more" and "by far" give a degree."""
    is_degree = set(word.behind[:1]) & (_COMPARATIVES | _JOINS | words("too")) or word.before[-1:] == ["by"]
    return word.text == "far" and not is_degree


def _severity(word: Word) -> bool:
    return word.text == "severity" and not word.claim.phrases


def _more_of_failures(word: Word) -> bool:
    """For failing calls, only failures or their rate may rise; not the calls, and not by a number."""
    if "error" not in word.claim.families or word.text not in FAMILIES["more"]:
        return False
    return word.behind[:1] == ["by"] or not set(word.clause) & (FAILURES | words("rate"))


def _no_majority(word: Word) -> bool:
    return word.text in _MAJORITY and max(word.claim.share or 0, word.claim.fraction or 0) <= 0.5


def _no_share(word: Word) -> bool:
    is_small = (
        bool(_MINOR & set(word.clause[word.index + 1 : word.index + 5])) and "minor" in word.claim.families
    )
    return (
        word.text in _SHARE_VERBS - word.claim.words
        and (word.claim.share or 0) <= 0.5
        and not (word.has("share") or is_small)
    )


def _on_time(word: Word) -> bool:
    is_late = word.claim.families & {"slower", "message"}
    return word.text == "time" and bool(is_late) and "on" in word.before[-2:]


def _approximates_nothing(word: Word) -> bool:
    """ "Some calls", "about the network": such a word is allowed only before a figure, or before "all"."""
    if word.text not in _BEFORE_NUMBERS:
        return False
    ahead = [item for item in word.clause[word.index + 1 : word.index + 3] if item not in ("a", "an", "the")]
    return not ahead or not (ahead[0][0].isdigit() or ahead[0] in RATIO_WORDS or ahead[0] in _ALL_OR_HALF)


def _trend(word: Word) -> bool:
    """ "Is rising" claims that a past value goes on changing. "Rising to 176 ms" only gives its end."""
    return word.text in _TRENDS and bool(set(word.before[-2:]) & BE)


def _to_be(word: Word) -> bool:
    return word.text == "be" and not set(word.before[-2:-1]) & words("appear appears appeared likely")


def _whole_takes(word: Word) -> bool:
    """ "The incident took 176 ms": that is the time of an operation."""
    if word.text not in _WHOLES or not word.has("observed", "expected", "excess", "ratio"):
        return False
    return bool(set(word.behind) & (TAKES | words("was has had lost")))


def _of_it(word: Word) -> bool:
    """ "152 ms of it": a part of something else, which no fact gives. Shares may be written so."""
    return (
        word.text in ("it", "that", "this", "which") and word.before[-1:] == ["of"] and not word.has("share")
    )


def _major_share_of_little(word: Word) -> bool:
    is_share = bool(set(word.behind[:1]) & (_PARTS | words("contributor")))
    return word.text in FAMILIES["much"] and is_share and (word.claim.share or 0) <= 0.5


def _rate(word: Word) -> bool:
    return word.text == "rate" and word.claim.part_of is None


def _now(word: Word) -> bool:
    """ "Now takes 152 ms, usually 900 µs" is a comparison; "now" alone claims that it is still so today."""
    return word.text in ("now", "currently") and not word.has("observed", "count", "share")


def _wrong_ratio(word: Word) -> bool:
    return not ratio_within(word.text, word.claim.ratio)


FIGURE_RULES: tuple[tuple[str, Callable[[Word], bool]], ...] = (
    ("says that it is as usual", _as_usual),
    ("a quantity that its fact does not give", _went),
    ("a quantity that its fact does not give", _own_slowdown),
    ("a quantity that its fact does not give", _away),
    ("a time that no fact gives", _sequence),
    ("a degree that its fact does not bear out", _far_from),
    ("a quantity that its fact does not give", _worth_itself),
    ("a quantity that its fact does not give", _price_of_nothing),
    ("a quantity that its fact does not give", _at_most),
    ("a direction that its fact does not give", _over_what),
    ("a quantity that its fact does not give", _severity),
    ("a quantity that its fact does not give", _further),
    ("a quantity that its fact does not give", _more_of_failures),
    ("says that it is as usual", _on_time),
    ("a quantity that its fact does not give", _part_of_usual),
    ("a degree that its fact does not bear out", _belittles),
    ("says that it is as usual", _usually),
    ("says that it is as usual", _took_the_usual),
    ("a time that no fact gives", _end_without_a_time),
    ("a quantity that its fact does not give", _total_of_all),
    ("a direction without a measure", _unmeasured_side),
    ("a direction without a measure", _unmeasured_up),
    ("a degree that its fact does not bear out", _wrong_degree),
    ("a loss that its fact does not give", _unmeasured_loss),
    ("a quantity that its fact does not give", _quantifier),
    ("a share that its fact does not give", _no_majority),
    ("a share that its fact does not give", _no_share),
    ("a number that its fact does not give", _wrong_ratio),
    ("a quantity that its fact does not give", _approximates_nothing),
    ("a quantity that its fact does not give", _whole_takes),
    ("a quantity that its fact does not give", _of_it),
    ("a quantity that its fact does not give", _rate),
    ("a time that no fact gives", _trend),
    ("a time that no fact gives", _to_be),
    ("a time that no fact gives", _now),
    ("a share that its fact does not give", _major_share_of_little),
)
