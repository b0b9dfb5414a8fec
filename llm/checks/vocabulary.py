"""The words that a model's sentence may use: neutral words, and families that a fact must license.

A sentence with a word in none of these lists is refused. The lists contain no negations, remedies, commands,
wishes and conjunctions of cause, and no names of things that only a fact can introduce (network, disk, team,
deploy).
"""

# ruff: noqa: E501 - lists of words
from __future__ import annotations

from typing import Literal

Family = Literal[
    "neutral", "time", "more", "slower", "less", "faster", "usual", "unusual", "error", "amount", "message",
    "outside", "extent", "path", "share", "most", "cause", "candidate", "symptom", "database", "much",
    "little", "count", "minor", "self_time",
]  # fmt: skip


def words(text: str) -> frozenset[str]:
    """The words of `text` as a set."""
    return frozenset(text.split())


FAMILIES: dict[Family, frozenset[str]] = {
    "neutral": words(
        "a an the this that these those it its there which where while whereas and but though although with"
        " within inside in at on of for to by as from into across among between during via is was were are be"
        " been being has had have having also both about around roughly nearly almost approximately circa than"
        " total overall service services operation operations request endpoint trace step part measured"
        " measurement recorded observed seen shown shows show visible appears appear appeared noticed found"
        " reported reports namely i.e call span made make makes entry evidence fact facts figure figures value"
        " values level name named case instead rather compared comparison contrast relative respectively"
        " detected identified noted registered encountered occurred occurs happened located showed showing"
        " experienced experiences experiencing experience specifically notably listed indicates indicate"
        " indicated suggests behavior behaviour performance too become becomes became becoming furthermore"
        " addition besides additionally exhibited exhibits rated saw sees now currently all some every further together severity away here their"
    ),
    "time": words(
        "took take taken takes taking spent spends spending needed needs lasted lasts ran runs running finished"
        " finishes finishing completed completes completing time times duration durations latency latencies"
        " response responded responds answered answers answering clocked reached held holds ms processing consumed consumes consuming"
        " execution executing executed work working after only went goes"
    ),
    "more": words(
        "more higher larger greater bigger longer exceeds exceeded exceeding excess extra additional over above"
        " beyond up rose rises risen rising increase increased increases increasing grew grows grown growing"
        " jumped jumps climbed climbs surged surges elevated high additional added adds adding surpassed"
        " surpasses spike spiked inflated"
    ),
    "slower": words(
        "slow slower slowest slowly slowed slows slowdown slowness sluggish delay delayed delays late later lag"
        " lagged lost loses losing cost costs long degraded degradation worse worsened regression regressed"
        " wait-time"
    ),
    "less": words(
        "less lower smaller fewer below under down dropped drops drop fell falls fallen falling decreased"
        " decreases decrease decreasing reduced low shrank shrunk short-of"
    ),
    "faster": words("fast faster fastest quick quicker quickly short shorter sped speed early earlier"),
    "usual": words(
        "usual usually normal normally typical typically ordinary ordinarily expected baseline median standard"
        " against versus vs regular regularly average history historical"
    ),
    "unusual": words(
        "unusual unusually abnormal abnormally anomalous anomaly anomalously deviation deviates deviated"
        " deviating outlier exceptional exceptionally uncommon uncommonly extraordinary extraordinarily"
    ),
    "error": words(
        "fail fails failed failing failure failures error errors errored exception exceptions unsuccessful"
        " unsuccessfully raised threw thrown ended ends ending rate returned returns resulted results resulting produced produces hit threw"
    ),
    "amount": words(
        "carried carries carry carrying amount amounts size sized volume large big huge enormous moved moves"
        " worth value valued price priced prices order trade traded placed whale asked submitted each handled handles"
    ),
    "message": words(
        "message reach reached reaches reaching arrive arrived arrives arriving wait waits waited waiting gap"
        " deliver delivered delivery transit travelled after received receives receive picked queued"
        " way underway messages only got gets published sent until"
    ),
    "outside": words("outside called it spent way passed passes elapsed"),
    "extent": words(
        "incident anomaly anomalies traces since until started starts starting start began begins beginning begun ended"
        " ends ending end lasted lasts spans covers covered comprises comprised includes included counts counted"
        " spread extends hold contains contained comprising over affected impacted involved produced"
    ),
    "path": words("critical path longest holds held spans length sits"),
    "share": words(
        "account accounts accounted accounting share percent percentage portion fraction contribute contributes"
        " contributed contributing contribution makes comes come came stems stemmed explains explained"
        " slowdown lost represents represented amounts sits lies goes went due-share delay responsible contributor contributors driver due representing attributable attributed delays"
    ),
    "minor": words("smaller small minor lesser"),
    "most": words(
        "most mostly majority bulk largest biggest main mainly primarily primary dominant dominates dominated"
        " dominating chief chiefly predominantly largely slowest top"
    ),
    "cause": words(
        "incident cause root culprit origin source reason suspect bottleneck problem issue likely probable probably main"
        " primary likeliest suspected caused leading responsible driver originate originates originated originating stem stems pinpointed traced candidate strongest top"
    ),
    "candidate": words("candidate suspect possible possibly second secondary contributor contributing"),
    "symptom": words("symptom symptoms surface surfaces surfaced manifests manifested showing felt"),
    "self_time": words("own exclusive itself self busy"),
    "database": words("database query statement sql db"),
    "much": words(
        "much far significantly considerably substantially dramatically sharply clearly notably markedly heavily"
        " very extremely greatly vastly well way massively drastically severely strongly noticeably significant considerable substantial severe major notable sharp marked drastic massive dramatic extreme"
    ),
    "little": words("slightly somewhat bit little marginally moderately"),
    "count": words("calls requests spans messages orders trades samples observations measurements attempts"),
}  # fmt: skip

# A clause that begins with the bare form of a verb is a command: "Call checkout", "Delay the message".
COMMANDS = words(
    "call request order trade wait delay move drop add increase decrease slow speed start end show make take run"
    " spend need place name step value level work cost price size status wait reach receive carry fail raise"
    " measure record note see lag queue deliver increase reduce lower account share contribute regress spike"
    " answer answers cause source root point time"
)  # fmt: skip
APPROXIMATELY = words("about around roughly nearly almost approximately some circa only just ~ ≈")
_UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
NUMBER_WORDS = {
    word: number for number, word in enumerate(_UNITS.split()) if word not in {"zero", "one"}
} | {"sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40,
     "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100}  # fmt: skip
RATIO_WORDS = {"twice": 2.0, "double": 2.0, "doubled": 2.0, "triple": 3.0, "tripled": 3.0, "thrice": 3.0}


def families(word: str) -> set[Family]:
    """The families of a word in lower case; if there are none, no sentence may use it."""
    return {family for family, words in FAMILIES.items() if word in words}


def ratio_within(word: str, ratio: float | None) -> bool:
    """Whether "twice" and similar words fit `ratio`; true for every other word."""
    wanted = RATIO_WORDS.get(word)
    return wanted is None or (ratio is not None and 0.8 * wanted <= ratio <= 1.3 * wanted)
