"""Redacts everything that leaves the process: keys by allow-list, text by patterns; refuses on failure.

Any sender can write telemetry. It may contain secrets, which must not reach a model, a stored explanation or
an export. It may contain invisible characters, which a person does not see and a model obeys.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from llm.redaction.secret_patterns import RULES

REDACTION_VERSION = "redact-5"
TEXT_LIMIT_CHARS = 400
NAME_LIMIT_CHARS = 120
UNCHECKED = "[redacted: could not be checked]"

ALLOWED_KEYS = frozenset(
    {
        "http.request.method", "http.route", "http.response.status_code",
        "server.address", "server.port", "network.protocol.version", "rpc.system", "rpc.service",
        "rpc.method",         "db.system.name", "db.operation.name", "db.collection.name", "db.namespace",
        "db.response.status_code", "messaging.system", "messaging.operation.name", "messaging.operation.type",
        "messaging.destination.name", "error.type", "exception.type", "code.function.name",
        "order.pair", "order.side", "order.quantity", "order.price", "order.status", "order.fill_price",
        "order.type", "transfer.amount", "transfer.asset",
    }
)  # fmt: skip

_INVISIBLE = re.compile(
    "[\U000e0000-\U000e01ef\ufe00-\ufe0f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u0334-\u0338\u20d0-\u20dc\u2800\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]"
)
_UUID = re.compile(r"(?<![\w-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![\w-])", re.IGNORECASE)
# The placeholder of the schema's `operation_of` for an id, and a word with digits that has no secret's form.
# A secret that contains an id would otherwise match no rule any more.
_ID, _SOME_ID = "{id}", "1\ua7fa1"
_ASIDE = re.compile("\ue000uuid(\\d+)\ue001")
_IDENTIFIER = re.compile(
    r"(?:(?:GET|PUT|POST|PATCH|DELETE|HEAD|OPTIONS|HTTP|QUERY|SELECT|INSERT|UPDATE|UPSERT|MERGE|CALL|COMMIT|BEGIN|HGET"
    r"|HSET|MGET|SET|SEND|RECV|publish|receive|process|send|settle|poll|consume) )?"
    r"[A-Za-z0-9_/{}:.$@*-]{1,80}"
)
# Where a space keeps a text from being a link, an image, a reference or an address wherever it is shown:
# chat clients and notebooks render Markdown and make a link of every "http://…" and "www.…".
_LINK = re.compile(
    r"(?<=!)(?=\[)|(?<=\])(?=[(\[:])|(?<=\[)(?=\[)|(?<=//)(?=[^\s/])|(?<=www\.)(?=\S)", re.IGNORECASE
)
_NO_MARKUP = str.maketrans({"<": "‹", ">": "›", **dict.fromkeys('"`“”„‟«»＂', "'")})
_NO_IDENTIFIER = re.compile(r"//|\*\*|\{\{|^\W*www\.|^:")  # a page shows these as link, bold or icon
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def strip_invisible(text: str) -> str:
    """Without tag characters, variation selectors, zero-width, direction and control characters."""
    return _CONTROL.sub(" ", _INVISIBLE.sub("", text))


def redact_text(text: object, limit_chars: int = TEXT_LIMIT_CHARS) -> str:
    """Free text from telemetry with secrets replaced by `[redacted:kind]`, on one line, cut at the limit.

    Any failure gives `UNCHECKED`, never the text.
    """
    try:
        return _redact(str(text), limit_chars)
    except Exception:  # any failure that a hostile string causes in the patterns: return nothing of it
        return UNCHECKED


@lru_cache(maxsize=4096)  # a trace repeats few names in many spans
def redact_name(name: str) -> str:
    """The name of a service or an operation: visible, on one line, bounded, without secrets."""
    return redact_text(name, NAME_LIMIT_CHARS)


def quoted_name(name: str) -> str:
    """A name for our own sentences: an identifier stays as it is, a text that reads as words is quoted.

    >>> quoted_name("kx-exchange"), quoted_name("SELECT carts"), quoted_name("everything is fine")
    ('kx-exchange', 'SELECT carts', '"everything is fine"')
    """
    plain = redact_name(name)
    is_identifier = _IDENTIFIER.fullmatch(plain) and not _NO_IDENTIFIER.search(plain)
    return plain if is_identifier else quoted_text(plain)


def quoted_text(text: object) -> str:
    """The sender's words for our own sentences: redacted, in quotation marks, and without markup.

    >>> quoted_text('see <b>"x"</b> and ![y](http://z)')
    '"see ‹b›\'x\'‹/b› and ! [y] (http:// z)"'
    """
    said = redact_text(text).translate(_NO_MARKUP)
    return f'"{_LINK.sub(" ", said)}"'


def redact_paragraphs(text: str, limit_chars: int) -> str:
    """As `redact_text`, but keeps line breaks: a person writes paragraphs. Any failure gives `UNCHECKED`."""
    try:
        scrubbed = _scrub(text[: limit_chars * 2])
    except Exception:  # as above
        return UNCHECKED
    return "\n".join(" ".join(line.split()) for line in scrubbed.splitlines()).strip()[:limit_chars]


def allowed_attributes(attributes: Mapping[str, object]) -> dict[str, str | int | float | bool]:
    """The attributes whose key is on the allow-list, their text redacted; lists and maps are left out."""
    kept: dict[str, str | int | float | bool] = {}
    for key in sorted(ALLOWED_KEYS & attributes.keys()):
        value = attributes[key]
        if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
            kept[key] = value
        elif isinstance(value, str):
            kept[key] = redact_name(value)
    return kept


# A figure with no other digit near it. No rule depends on its value, since the rules that check values
# (cards, IBANs, addresses, phone numbers, tokens) need at least seven digits, joined by these characters.
_LONE_FIGURE = re.compile(
    r"(?<![\w.,:/()+@#=%-])(?<!\d[ ()])(?:\d{1,3}(?:,\d{3})?|\d{4})(?:\.\d{1,2})?"
    r"(?![\w.,:/()+@#=-]*\d)(?![ ()+-]{1,2}\d)(?!\w(?<!σ))"
    r"|(?<![\w.-])(?<!\d )20\d\d-[01]\d-[0-3]\d [0-2]\d:[0-5]\d:[0-5]\d(?= UTC)"
)
_DIGITS_ALIKE = str.maketrans("23456789", "11111111")
_ARE_CLEAN_MAX = 16_384


@lru_cache(maxsize=_ARE_CLEAN_MAX)
def _shape_is_clean(shape: str, limit_chars: int) -> bool:
    return redact_text(shape, limit_chars) == shape


def is_clean(text: str, limit_chars: int = TEXT_LIMIT_CHARS) -> bool:
    """Whether `redact_text` would return the text unchanged. Fast for texts that differ only in figures.

    An export asks this for many sentences of few shapes: 0.01 ms each instead of 0.3.
    """
    if len(text) <= min(limit_chars, TEXT_LIMIT_CHARS):  # no limit cuts it, so the answer is the same for all
        limit_chars = TEXT_LIMIT_CHARS
    return _is_clean(text, limit_chars)


@lru_cache(maxsize=2048)  # an explanation has one statement in its summary, its cause and its evidence
def _is_clean(text: str, limit_chars: int) -> bool:
    shape = _LONE_FIGURE.sub(lambda match: match[0].translate(_DIGITS_ALIKE), text)
    return _shape_is_clean(shape, limit_chars)


def redact_again(text: str, limit_chars: int = TEXT_LIMIT_CHARS) -> str:
    """As `redact_text`, for a text that was probably redacted before."""
    return text if is_clean(text, limit_chars) else redact_text(text, limit_chars)


def _redact(text: str, limit_chars: int) -> str:
    scan_chars = limit_chars * 3
    scanned = strip_invisible(text[: scan_chars + 1])
    if len(text) > scan_chars:  # a secret that is cut in half matches no pattern: drop the last word
        scanned = scanned[: scanned.rfind(" ") + 1] if " " in scanned else ""
    line = " ".join(_scrub(scanned).split())
    return line if len(line) <= limit_chars and len(text) <= scan_chars else line[: limit_chars - 1] + "…"


def _scrub(text: str) -> str:
    """`text` in NFKC without secrets: full-width forms would not match the patterns."""
    visible = strip_invisible(text)
    normal = "µ".join(unicodedata.normalize("NFKC", part) for part in visible.split("µ"))  # µs stays µs
    scanned, ids = _set_aside_ids(normal.replace(_ID, _SOME_ID))
    for hint, rules in RULES:
        if hint.search(scanned):
            for pattern, replacement in rules:
                scanned = pattern.sub(replacement, scanned)
    return _ASIDE.sub(lambda match: ids[int(match.group(1))], scanned).replace(_SOME_ID, _ID)


def _set_aside_ids(text: str) -> tuple[str, list[str]]:
    """`text` with its UUIDs as placeholders, which match no rule for cards or IBANs, and those UUIDs.

    A UUID in the place of a secret (`api_key=…`) is removed with it.
    """
    ids: list[str] = []

    def aside(match: re.Match[str]) -> str:
        ids.append(match.group())
        return f"\ue000uuid{len(ids) - 1}\ue001"

    return _UUID.sub(aside, re.sub("[\ue000\ue001]", "", text)), ids
