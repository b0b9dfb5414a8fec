"""The trading page: its files, and what the gateway tells it about the exchange."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Final

from exchange_ref.engine.instruments import ASSETS, PAIRS

CONTENT_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}
# Nothing from elsewhere, nothing inline, no frame around it.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)


class Page:
    """By path, the body and the content type of what is served.

    Args:
        trace_url: where a trace is looked at, with `{trace_id}` for its id; empty for nowhere.
    """

    def __init__(self, trace_url: str) -> None:
        self.files = {
            f"/page/{file.name}": (file.read_bytes(), CONTENT_TYPES[file.name.rpartition(".")[2]])
            for file in files("exchange_ref").joinpath("page").iterdir()
            if file.is_file()
        }
        self.files["/"] = self.files.pop("/page/index.html")
        pairs = [
            {
                "symbol": pair.symbol,
                "base": pair.base,
                "lot_digits": -int(pair.lot.as_tuple().exponent),
            }
            for pair in PAIRS.values()
        ]
        config = {"pairs": pairs, "assets": ASSETS, "trace_url": trace_url or None}
        self.files["/page/config.json"] = (json.dumps(config).encode(), "application/json")
