import doctest

import pytest

import llm.clauses
import llm.clocks
import llm.facts
import llm.figures
import llm.fingerprint
import llm.parts
import llm.roles
import llm.streamed
import llm.units


@pytest.mark.parametrize(
    "module",
    [
        llm.clauses,
        llm.clocks,
        llm.facts,
        llm.figures,
        llm.fingerprint,
        llm.parts,
        llm.roles,
        llm.streamed,
        llm.units,
    ],
    ids=lambda m: m.__name__,
)
def test_examples_in_docstrings(module: object) -> None:
    """The examples in the docstrings are true."""
    failures, count = doctest.testmod(module)  # type: ignore[arg-type]  # a module is an object
    assert (failures, count > 0) == (0, True)
