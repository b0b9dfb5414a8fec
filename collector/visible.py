"""Makes text of telemetry safe to print: characters that steer a terminal are shown, not sent."""

from __future__ import annotations

import re

# C0 and C1 controls with DEL, what turns the direction of text (bidi), line and paragraph separators, the
# byte order mark, and halves of surrogate pairs, which no terminal can be sent.
_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufff9-\ufffb]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str, keep: str = "") -> str:
    r"""The text with each control character as its escape, `\x1b` or `\u202e`; those in `keep` stay.

    >>> visible("GET /\x1b[2J\u202eevil")
    'GET /\\x1b[2J\\u202eevil'
    """
    if text.isprintable():
        return text
    return _STEERING.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
