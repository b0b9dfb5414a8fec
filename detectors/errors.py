"""Errors of the detectors are the shared ones; what is particular to them is named here."""

from __future__ import annotations

from collector.errors import InvalidInput


class CannotFit(InvalidInput):
    """A sketch holds too few samples to fit a tail."""

    code = "cannot_fit"
