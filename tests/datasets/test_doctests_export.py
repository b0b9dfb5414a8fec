from __future__ import annotations

import doctest

import datasets.export.fingerprint


def test_examples() -> None:
    """The examples in docstrings are right."""
    assert doctest.testmod(datasets.export.fingerprint).failed == 0
