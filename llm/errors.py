"""Errors of the explainer; they extend the tree in `collector/errors.py`.

SpyhopError
└── ModelFailed     a language model gave nothing usable; callers keep the deterministic text
"""

from __future__ import annotations

from typing import Literal

from collector.errors import SpyhopError

# Why the text of code is shown although a model is configured; empty where the model's is shown.
FallbackReason = Literal[
    "", "not_borne_out", "model_failed",  # the last one only in what an older Spyhop stored
    "timeout", "unreachable", "rate_limited", "key_refused", "unknown_model", "context_too_long",
    "http_error", "unusable_answer", "answer_too_long", "answer_cut_off", "filtered", "refused", "wrong_form",
    "request_refused", "busy", "circuit_open", "limit_calls", "limit_tokens", "limit_cost",
]  # fmt: skip
# Reasons that show a fault of the endpoint: after several of them in a row it is not asked for a while.
BROKEN: frozenset[FallbackReason] = frozenset({"timeout", "unreachable", "http_error", "unusable_answer"})


class ModelFailed(SpyhopError):
    """`message` is fit for the notice that a person reads beside the explanation; `reason` for programs."""

    code = "model_failed"

    def __init__(self, message: str, *, reason: FallbackReason) -> None:
        super().__init__(message)
        self.reason: FallbackReason = reason
