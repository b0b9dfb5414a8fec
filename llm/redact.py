"""What may leave the process: attribute keys by allow-list, text through patterns, and closed on failure.

Telemetry is written by whoever sends it. It may carry secrets (which must not reach a model, a stored
explanation or an export) and invisible characters (which a person does not see and a model obeys).
"""

from __future__ import annotations

import ipaddress
import math
import re
import unicodedata
from collections.abc import Callable, Mapping

REDACTION_VERSION = "redact-1"
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
    "\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_CARD = re.compile(r"(?<![\w.])(?:\d[ -]?){12,18}\d(?![\w.])")
_IPV6 = re.compile(r"(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])", re.IGNORECASE)

_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("key", re.compile(r"-----BEGIN [^-]{0,40}-----.*?(?:-----END [^-]{0,40}-----|\Z)", re.DOTALL)),
    ("token", re.compile(r"\beyJ[\w-]{5,}(?:\.[\w-]*){1,4}")),
    ("key", re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}\b")),
    ("key", re.compile(r"\b(?:sk|pk|rk|ghp|gho|ghs|ghu|github_pat|glpat|xox[abprs]|hf|AIza)[-_]?[\w-]{16,}")),
    ("credentials", re.compile(r"(?<=://)[^\s/@]*:[^\s/@]*@|(?<=://)[^\s/@]{1,200}@")),
    ("token", re.compile(r"\b(?:bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE)),
    (
        "secret",
        re.compile(
            r"(?i)\b[\w.-]{0,40}(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|authorization|cookie"
            r"|session[_-]?id|credential)s?\b[\"']?\s*(?:[=:]|\bis\s(?=\s*\S*\d))\s*(?:\"[^\"]*\"|'[^']*'|[^\s,;&]+)"
        ),
    ),
    ("email", re.compile(r"[\w.%+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")),
    ("ip", re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)")),
    ("token", re.compile(r"\b(?=[\w+/-]*\d)(?=[\w+/-]*[A-Za-z])[\w+/-]{32,}={0,2}")),
)


def strip_invisible(text: str) -> str:
    """Without tag characters, variation selectors, zero-width, direction and control characters."""
    return _CONTROL.sub(" ", _INVISIBLE.sub("", text))


def redact_text(text: object, limit_chars: int = TEXT_LIMIT_CHARS) -> str:
    """Free text from telemetry with secrets replaced by `[redacted:kind]`, on one line, cut at the limit.

    Anything that goes wrong on the way gives `UNCHECKED`, never the text.
    """
    try:
        return _redact(str(text), limit_chars)
    except Exception:  # closed on any failure, whatever a hostile string found in the patterns
        return UNCHECKED


def redact_name(name: object) -> str:
    """A service, operation or attribute name fit to leave the process."""
    return redact_text(name, NAME_LIMIT_CHARS)


def clean_name(name: object) -> str:
    """A name to show inside: visible characters on one line, bounded, otherwise as it was sent."""
    return " ".join(strip_invisible(str(name)[: NAME_LIMIT_CHARS * 2]).split())[:NAME_LIMIT_CHARS]


def allowed_attributes(attributes: Mapping[str, object]) -> dict[str, str | int | float | bool]:
    """The attributes whose key is on the allow-list, their text redacted; lists and maps stay behind."""
    kept: dict[str, str | int | float | bool] = {}
    for key in sorted(ALLOWED_KEYS & attributes.keys()):
        value = attributes[key]
        if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
            kept[key] = value
        elif isinstance(value, str):
            kept[key] = redact_name(value)
    return kept


def _redact(text: str, limit_chars: int) -> str:
    scan_chars = limit_chars * 3
    # Full-width and other compatibility forms would slip through the patterns.
    scanned = unicodedata.normalize("NFKC", strip_invisible(text[: scan_chars + 1]))
    if len(text) > scan_chars:  # a secret cut in half matches no pattern: drop the last word
        scanned = scanned[: scanned.rfind(" ") + 1] if " " in scanned else ""
    for kind, pattern in _PATTERNS:
        scanned = pattern.sub(f"[redacted:{kind}]", scanned)
    scanned = _CARD.sub(_only_if(_passes_luhn, "card"), scanned)
    scanned = _IPV6.sub(_only_if(_is_ip, "ip"), scanned)
    line = " ".join(scanned.split())
    return line if len(line) <= limit_chars and len(text) <= scan_chars else line[: limit_chars - 1] + "…"


def _only_if(check: Callable[[str], bool], kind: str) -> Callable[[re.Match[str]], str]:
    return lambda match: f"[redacted:{kind}]" if check(match.group()) else match.group()


def _passes_luhn(text: str) -> bool:
    digits = [int(char) for char in text if char.isdigit()]
    doubled = (sum(divmod(digit * 2, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
