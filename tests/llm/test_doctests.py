import doctest

import pytest

import llm.facts
import llm.figures
import llm.fingerprint
import llm.units


@pytest.mark.parametrize(
    "module", [llm.facts, llm.figures, llm.fingerprint, llm.units], ids=lambda m: m.__name__
)
def test_examples_in_docstrings(module: object) -> None:
    """The examples in the docstrings are true."""
    failures, count = doctest.testmod(module)  # type: ignore[arg-type]  # a module is an object
    assert (failures, count > 0) == (0, True)
