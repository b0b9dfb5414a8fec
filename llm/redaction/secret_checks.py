"""Decides whether digits or letters are a secret: by check sum, form, and the word before them."""

from __future__ import annotations

import ipaddress
import re

_CARD_FORMS = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|6\d{15,18}|35\d{14}|3[0689]\d{12}"
)
_IBAN_CHECK = 97
# Length by country, from SWIFT's registry of IBAN formats.
_IBAN_CHARS = {
    15: "NO", 16: "BE", 18: "DK FI FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA", 30: "JO KW MU", 31: "MT SC", 32: "LC",
    33: "RU",
}  # fmt: skip
_HEX_ID = re.compile(r"(?=.*[a-f].*[a-f].*[a-f])(?:[0-9a-f]{16}|[0-9a-f]{24}|[0-9a-f]{32})")
# Ids that people search by, recognised by the word before them. A session's id gives access, so it is not
# here.
_ID_BEFORE = re.compile(
    r"(?:order|trace|span|request|req|correlation|event|message|msg|invoice|batch|job|run|build|parent|document"
    r"|transaction|txn|incident|anomaly)(?:[ _-]?id)?s?[\"']?\s*(?:[=:#]|\bis\b)?\s*[\"']?$",
    re.IGNORECASE,
)
_DIGEST_BEFORE = re.compile(
    r"(?:(?:sha\d{1,3}|md5)[: ]|(?:commit|revision)\s|(?:digest|etag)[ :=]"
    r"|\b(?:tx|txn|transaction|block)(?:[ _-]?(?:hash|id))?[ :=]+)[\"']?$",
    re.IGNORECASE,
)
_SECRET_BEFORE = re.compile(
    r"(?:key|token|secret|session|auth|password|hash|apikey)[\"']?\s*[=:]?\s*[\"']?$", re.IGNORECASE
)
_ID_PREFIX = re.compile(
    r"(?:ord|order|ch|pi|cus|sub|in|evt|req|txn|tr|inv|msg|run|job|acct|py|re)_", re.IGNORECASE
)
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.IGNORECASE)
_TRACE_ID_CHARS = 32
_PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
# Mean length of a piece ("Order", "Service", "2"): 1.6 to 2.4 in base64 of random bytes, 4 in Java's names.
_MAX_MEAN_PIECE = 3.2
_MIN_SEED_WORDS = 12  # BIP 39 has 12 to 24; the words around the seed may be matched with it
# Short English words that are in no BIP-39 list: a text with one of them is a sentence, not a seed.
_PROSE = frozenset(
    {
        "the", "and", "for", "was", "were", "not", "with", "from", "has", "have", "had", "are", "but",
        "its", "been", "they", "their", "than", "which", "could", "would", "does", "did", "per", "due",
        "because", "before", "every", "many", "some", "more", "most", "only", "our", "out", "over",
        "should", "she", "his", "her", "him", "them", "these", "those", "who", "why", "your", "own",
        "such", "too", "via", "yet", "orders",
    }
)  # fmt: skip


def is_payment_card(text: str, before: str) -> bool:
    """Luhn's check sum, a length and prefix of a card network, and no order's id by the word before."""
    digits = re.sub(r"\D", "", text)
    return bool(_CARD_FORMS.fullmatch(digits)) and _passes_luhn(digits) and not _ID_BEFORE.search(before)


def is_iban(text: str) -> bool:
    """ISO 13616: the first four characters moved to the end, letters as numbers, remainder 1 by 97."""
    plain = text.replace(" ", "").replace("-", "").upper()
    if plain[:2] not in _IBAN_CHARS.get(len(plain), "").split() or _HEX_ID.fullmatch(text):
        return False
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % _IBAN_CHECK == 1


def is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return any(char.isdigit() for char in text)  # "a::b" is a name in C++


def is_hex_secret(text: str, before: str) -> bool:
    """Longer than a trace id, or as long and named as a key. Digests of images and commits are none."""
    if _DIGEST_BEFORE.search(before):
        return False
    if len(text) == _TRACE_ID_CHARS:
        return bool(_SECRET_BEFORE.search(before))
    return True


def is_mixed_token(text: str, before: str) -> bool:
    """Letters of both cases and digits without words, as random bytes look in base64 and base62."""
    if _TRACE_PARENT.fullmatch(text) or _ID_BEFORE.search(before):
        return False
    if _ID_PREFIX.match(text):
        return False
    if not (re.search(r"[a-z]", text) and re.search(r"[A-Z]", text) and re.search(r"\d", text)):
        return False
    pieces = _PIECES.findall(text)
    return sum(map(len, pieces)) / len(pieces) <= _MAX_MEAN_PIECE


def is_seed_phrase(text: str) -> bool:
    words = text.split()
    distinct = set(words)  # random draws from 2,048: a word that repeats often is not a seed
    return len(words) >= _MIN_SEED_WORDS and not _PROSE & distinct and len(distinct) * 3 >= len(words) * 2


def is_numbered_seed(text: str) -> bool:
    """A list of 12, 15, 18, 21 or 24 items with one short word each: no other text is numbered so."""
    words = re.findall(r"[a-z]+", text.lower())
    # The numbers themselves do not matter: `redact.is_clean` asks about a text with other digits.
    return len(words) in (12, 15, 18, 21, 24) and is_seed_phrase(" ".join(words))


def _passes_luhn(text: str) -> bool:
    digits = [int(char) for char in text]
    doubled = (sum(divmod(digit * 2, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
