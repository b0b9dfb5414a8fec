import doctest

import pytest

import llm.analysis.facts
import llm.analysis.fingerprint
import llm.analysis.units
import llm.checks.clauses
import llm.checks.clocks
import llm.checks.figures
import llm.checks.parts
import llm.checks.roles
import llm.checks.streamed


@pytest.mark.parametrize(
    "module",
    [
        llm.checks.clauses,
        llm.checks.clocks,
        llm.analysis.facts,
        llm.checks.figures,
        llm.analysis.fingerprint,
        llm.checks.parts,
        llm.checks.roles,
        llm.checks.streamed,
        llm.analysis.units,
    ],
    ids=lambda m: m.__name__,
)
def test_examples_in_docstrings(module: object) -> None:
    """The examples in the docstrings are true."""
    failures, count = doctest.testmod(module)  # type: ignore[arg-type]  # a module is an object
    assert (failures, count > 0) == (0, True)
