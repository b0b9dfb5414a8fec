"""Lets web pages of chosen origins send OTLP/HTTP. Without it browsers refuse: OTLP's content types are never
sent across origins unless the server agrees."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from starlette.middleware.cors import CORSMiddleware

PREFLIGHT_MAX_AGE_S = 7200  # what Chromium caps it at


def with_cors(app: Any, origins: Sequence[str]) -> Any:
    """`app` behind an answer to preflights. An origin is exact, has `*` for a part of its host, or is `*`."""
    exact = [origin for origin in origins if origin == "*" or "*" not in origin]
    patterns = [re.escape(origin).replace(r"\*", "[^/]*") for origin in origins if origin not in exact]
    return CORSMiddleware(
        app,
        allow_origins=exact,
        allow_origin_regex="|".join(patterns) or None,
        allow_methods=["POST"],
        allow_headers=["*"],
        expose_headers=["Retry-After"],
        max_age=PREFLIGHT_MAX_AGE_S,
    )
