"""Errors of the explainer; they extend the tree in `collector/errors.py`.

SpyhopError
└── ModelFailed     a language model gave nothing usable; callers keep the deterministic text
"""

from __future__ import annotations

from collector.errors import SpyhopError


class ModelFailed(SpyhopError):
    """`message` is fit for the notice that a person reads beside the explanation."""

    code = "model_failed"
