"""Errors of the detectors, beside the shared ones of `collector/errors.py`."""

from __future__ import annotations

from collector.errors import InvalidInput


class CannotFit(InvalidInput):
    """A sketch holds too few samples to fit a tail."""

    code = "cannot_fit"
