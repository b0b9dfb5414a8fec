"""Describes each kind of fault and its root cause, for a person who switches one on."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from exchange_ref.faults.orders import ROOT_OPERATION
from exchange_ref.faults.registry import CONTROLS, KINDS, LASTING, MOMENTARY
from exchange_ref.faults.schedule import DEFAULT_DURATION_S
from exchange_ref.telemetry.tracing import WALLET


@cache
def catalogue() -> dict[str, dict[str, Any]]:
    """By kind: `about` (one line), `is_control`, `lasts`, `root_service` (None for a control) and
    `root_operation` with the default parameters, and these `params`."""
    return {kind: _entry(kind) for kind in KINDS}


def _entry(kind: str) -> dict[str, Any]:
    if kind in MOMENTARY:
        momentary = MOMENTARY[kind]
        return {
            "about": _about(momentary),
            "is_control": False,
            "lasts": False,
            "root_service": WALLET,
            "root_operation": ROOT_OPERATION,
            "params": momentary.params_model().model_dump(mode="json"),
        }
    lasting = LASTING[kind]
    usual = lasting.params_model()
    return {
        "about": _about(lasting),
        "is_control": kind in CONTROLS,
        "lasts": True,
        "root_service": lasting.root_service,
        "root_operation": lasting(usual, DEFAULT_DURATION_S).root_operation,
        "params": usual.model_dump(mode="json"),
    }


def _about(fault: type[Any]) -> str:
    """The first sentence of its description: the class's own, or its module's."""
    said = fault.__dict__.get("__doc__") or ""
    if not said or said.startswith(f"{fault.__name__}("):  # what a dataclass writes by itself
        said = sys.modules[fault.__module__].__doc__ or ""
    return " ".join(said.split("\n\n")[0].split()).split(". ")[0].rstrip(".")
