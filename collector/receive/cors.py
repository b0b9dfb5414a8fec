"""Lets web pages of chosen origins send OTLP/HTTP, and no others.

Browsers send a preflight before OTLP's content types across origins, but not when a page's own host name was
made to point here (DNS rebinding). We serve no pages, so every request of a page comes from another origin.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.middleware.cors import CORSMiddleware

from collector.errors import InvalidInput

PREFLIGHT_MAX_AGE_S = 7200  # what Chromium caps it at
_SHOWN_CHARS = 200


class ForeignPage(InvalidInput):
    """A request that a browser sends for a page of an origin that is not allowed."""


class Origins:
    """The allowed origins. One is exact, has `*` for a part of its host, or is `*`."""

    def __init__(self, origins: Sequence[str] = ()) -> None:
        self.exact = [origin for origin in origins if origin == "*" or "*" not in origin]
        patterns = [
            re.escape(origin).replace(r"\*", "[^/]*") for origin in origins if origin not in self.exact
        ]
        self.pattern = "|".join(patterns) or None

    def check(self, headers: Mapping[str, str]) -> None:
        """`headers` by lower-case name.

        Raises:
            ForeignPage: a browser sends this for a page of another origin.
        """
        origin = headers.get("origin")
        if origin is None:
            if headers.get("sec-fetch-site", "none").lower() == "none":
                return
        elif (
            "*" in self.exact
            or origin in self.exact
            or (self.pattern is not None and re.fullmatch(self.pattern, origin))
        ):
            return
        raise ForeignPage(
            f"requests from the web page {(origin or 'that a browser shows')[:_SHOWN_CHARS]} are refused",
            hint="name its origin in SPYHOP_OTLP_HTTP_CORS_ORIGINS",
        )


def with_cors(app: Any, origins: Origins) -> Any:
    """`app` behind an answer to preflights."""
    return CORSMiddleware(
        app,
        allow_origins=origins.exact,
        allow_origin_regex=origins.pattern,
        allow_methods=["POST"],
        allow_headers=["*"],
        expose_headers=["Retry-After"],
        max_age=PREFLIGHT_MAX_AGE_S,
    )
