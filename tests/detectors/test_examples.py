"""The examples in the docstrings of detectors/ are true."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import detectors

ROOT = Path(detectors.__file__).parent
EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    for path in ROOT.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", EXAMPLES)
def test_documented_example_runs(module):
    """Each module that shows an example shows a true one."""
    outcome = doctest.testmod(importlib.import_module(module))
    assert outcome.attempted > 0
    assert outcome.failed == 0
