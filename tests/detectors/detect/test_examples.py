from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        *(
            "error",
            "throughput",
            "structure",
            "gap",
            "metric",
            "growth",
            "resource",
            "market",
            "log",
            "refusal",
        ),
        "enclosing",
    ],
)
def test_documented_example_runs(name):
    """The formula's example in the docstring is true."""
    outcome = doctest.testmod(importlib.import_module(f"detectors.detect.{name}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize("name", ["rates", "exemplars", "texts", "held_back"])
def test_documented_example_of_a_part_runs(name):
    """So is that of what the detectors share."""
    outcome = doctest.testmod(importlib.import_module(f"detectors.{name}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0
