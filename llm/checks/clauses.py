"""A sentence → clauses and tokens: names and numbers in one normal form, and the words that join clauses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from llm.checks.vocabulary import NUMBER_WORDS, words

_CLAUSES = re.compile(
    r"\s*[;:—–]\s*|,(?!\d|\s*(?:to|from|up from) \d)\s*|\s-\s"
    r"|\b(?:and|while|whereas|but|which|where|although|though)\b",
    re.IGNORECASE,
)
ENTITY = re.compile("\ue100(\\d+)\ue101")
TOKEN = re.compile("\ue100\\d+\ue101|[^\\W\\d_]+(?:['’-][^\\W\\d_]+)*|\\d[\\d,.]*|[%×σ=?]|\\S")
_PREPOSITIONS = words("in at on of for within inside during from to by with across")
_OPENINGS = words("in at on of for within inside during across with among")  # before a bare place in front
BARE = words("both the service operation as") | _PREPOSITIONS
_UNITS = words(
    "ns µs μs us ms s sec second seconds millisecond milliseconds microseconds nanoseconds minutes minute min"
    " h hour hours percent x times n"
)
_SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
# The parts of a whole get one order, and so do usual values.
_SAME = tuple(
    (re.compile(form, re.IGNORECASE), same)
    for form, same in (
        (
            r"\b(\d[\d,]*) (?:failures|errors|failed calls|failed requests) (?:in|of|across|from|for|among)"
            r" (?:its |the )?(\d[\d,]*) (calls|requests)\b",
            r"\1 of \2 \3 failed",
        ),
        (
            r"\bfail(ed|s|ing)? (\d[\d,]*) times (?:in|of|across) (?:its |the )?(\d[\d,]*)"
            r" (calls|requests)\b",
            r"fail\1 in \2 of \3 \4",
        ),
        (
            r"\bof (?:its |the )?(\d[\d,]*) (calls|requests)((?: (?:to|of) (?:the )?\ue100\d+\ue101)?"
            r"(?: in (?:the )?\ue100\d+\ue101)?),? (\d[\d,]*)\b",
            r"\4 of \1 \2\3",
        ),
        (
            r"\b(usually|normally|typically|usual|normal) (?:(?:is|at|was) )?(?:less than|below|under)"
            r" (\d[\d.,]*%)",
            r"\1 \2",
        ),
        (
            r"\b(\d[\d,]*) (?:failed|failing) (calls|requests) of (?:its |the )?(\d[\d,]*)\b",
            r"\1 of \3 \2 failed",
        ),
        (r"\b(\d[\d,]* of \d[\d,]*) of (?:them|these|those)\b", r"\1"),
        (r", not (?:the |its )?(?:usual |normal )?(?=\d)", " instead of "),
        (r"\bthis one\b", "this"),
        (r"\bservice (?:that|which) it called\b", "service it called"),
        (r"\b(?:takes|took) up (?=\d)", "holds "),
        (r"\b(?:is|was) (?:called|executed|run|issued) repeatedly\b", "is repeatedly"),
        (r"\bthe (incident|trace)['’]s (traces|spans|slowdown)\b", r"the \2 of the \1"),
    )
)
_COMPOUND = re.compile(
    "(twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)[- ](two|three|four|five|six|seven|eight|nine)",
    re.IGNORECASE,
)
APPOSITION = frozenset({",", ":", "-", "–", "—", ""})


def in_one_form(text: str) -> str:
    """Normalises a text: one form for phrases of the same meaning, commas for brackets, digits for numbers.

    >>> in_one_form("slowed down in twenty-seven out of 61 calls (twice)")
    'slowed in 27 of 61 calls , twice, '
    """
    text = re.sub(r"\b(slow(?:ed|s)?) down\b", r"\1", text).replace(" out of ", " of ")
    text = _digits(re.sub(r"[()]", ", ", re.sub(r"\bsped up\b", "sped", text)))
    for form, same in _SAME:
        text = form.sub(same, text)
    return text


def _digits(text: str) -> str:
    """Replaces numbers in words by digits, so that "two data centres" is a count like any other."""
    text = _COMPOUND.sub(
        lambda match: str(NUMBER_WORDS[match[1].lower()] + NUMBER_WORDS[match[2].lower()]), text
    )
    text = re.sub(
        r"[A-Za-z]+", lambda match: str(NUMBER_WORDS.get(match.group().lower(), match.group())), text
    )
    # "Was called 48 times" is a count of calls; "48 times slower" is not.
    text = re.sub(
        r"\b(?:called|ran|executed|issued) (\d[\d,]*) times(?! \w+er\b| (?:more|less|as)\b)",
        r"made \1 calls",
        text,
    )
    return re.sub(
        r"(?<![\d.,])(\d+(?:\.\d+)?) (thousand|million|billion)\b",
        lambda match: f"{float(match.group(1)) * _SCALES[match.group(2)]:.0f}",
        text,
    )


def clauses(text: str) -> Iterable[tuple[str, str]]:
    """Clauses with content, each with the word that joins it to the one before.

    A bare place in front belongs to the clause after it.
    """
    pieces, joints = [], []
    at = 0
    for match in _CLAUSES.finditer(text):
        pieces.append(text[at : match.start()])
        joints.append(match.group().strip().lower())
        at = match.end()
    pieces.append(text[at:])
    named = next((index for index, piece in enumerate(pieces) if ENTITY.search(piece)), 0)
    # The words before the first name refer to that name: "At 152 ms, SELECT carts …".
    pieces, joints = [", ".join(pieces[: named + 1]), *pieces[named + 1 :]], joints[named:]
    waiting: list[tuple[str, bool]] = []
    last = ""
    joined = ""
    for piece, joint in zip(pieces, [*joints, ""], strict=True):
        if not piece.strip(" ,"):
            joined = joint if joint not in APPOSITION else joined or joint
            continue
        if joint and _is_bare(piece):
            if last and (joined in APPOSITION or joint != ","):
                # "… it called, matcher, the message …": the place may belong to either side.
                yield "and", f"{ENTITY.sub(' ', last)} {piece}"
            first = TOKEN.findall(piece)[0].lower()
            waiting.append((piece, first in _OPENINGS or joint != "and"))
            continue
        prefix = " ".join(bare for bare, joins in waiting if joins)
        for bare, joins in waiting:
            if not joins:
                yield "and", f"{prefix} {bare} {ENTITY.sub(' ', piece)}"
        waiting = []
        # "The cause is A and B": the statement about A holds for B, too.
        inherited = ENTITY.sub(" ", last) if last and _is_bare(piece) else ""
        last = f"{prefix} {inherited} {piece}" if inherited else f"{prefix} {piece}"
        yield joined, last
        joined = joint
    for bare, _ in waiting:
        yield "and", f"{ENTITY.sub(' ', last)} {bare}"


def unit_indexes(tokens: list[str]) -> set[int]:
    """Indexes of tokens that are the unit of the number before them, the n of "n = 812", or a severity."""
    found = {index for index, token in enumerate(tokens) if token in ("SEV",)}
    for index, (token, following) in enumerate(pairwise(tokens)):
        if token[0].isdigit() and (following.lower() in _UNITS or following.isupper()):
            found.add(index + 1)
        elif (token, following) == ("n", "="):
            found.add(index)
    return found


def _is_bare(piece: str) -> bool:
    tokens = [token.lower() for token in TOKEN.findall(piece)]
    return bool(ENTITY.search(piece)) and all(ENTITY.match(token) or token in BARE for token in tokens)
