from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.baseline.forms import CALLS, COUNT, FAILED, STATUS, FormBook, FormRow
from detectors.model.operation import Operation

GATE = Operation("gate", "request", "SERVER")
THREE_SIGMA_P = 0.00135


def counted(sets: dict[str, int], callees: dict[str, dict[int, int]] | None = None) -> FormBook:
    book = FormBook()
    for called, spans in sets.items():
        book.add(FormRow(GATE, CALLS, "", called, spans))
    for callee, counts in (callees or {}).items():
        for calls, spans in counts.items():
            book.add(FormRow(GATE, COUNT, callee, str(calls), spans))
    return book


def test_an_unseen_set_is_improbable_where_all_forms_are_known():
    """After five forms in thousands of spans a sixth is beyond 3 sigma; the five are ordinary."""
    book = counted({f"form {number}": 600 for number in range(5)})
    assert book.set_chance(GATE, "another") < THREE_SIGMA_P / 2
    assert book.set_chance(GATE, "form 3") == 1.0


def test_an_open_ended_structure_is_silent():
    """Where every second set is new, one more is nothing, however many spans were seen."""
    book = counted({"usual": 1_000} | {f"once {number}": 1 for number in range(400)})
    assert book.set_chance(GATE, "another") > 0.1


def test_few_spans_allow_no_claim_about_structure():
    """A form that ten spans have not shown may still be ordinary."""
    assert counted({"usual": 10}).set_chance(GATE, "another") > THREE_SIGMA_P
    assert FormBook().set_chance(GATE, "anything") == 1.0


def test_a_call_that_is_always_made_is_missed_even_where_sets_are_open():
    """An agent picks its tools at will, but its guard was always called once."""
    book = counted(
        {f"guard\ntools {number}": 1 for number in range(2_000)},
        {"guard": {1: 2_000}, "tool": dict.fromkeys(range(1, 8), 200)},
    )
    assert book.never_left_out(GATE) == ["guard"]
    assert book.count_chance(GATE, "guard", 0) < THREE_SIGMA_P / 2
    assert book.count_chance(GATE, "guard", 3) < THREE_SIGMA_P / 2
    assert book.count_chance(GATE, "tool", 4) > 0.1
    assert book.count_chance(GATE, "shell", 1) < THREE_SIGMA_P / 2


def test_a_failure_is_as_improbable_as_it_is_rare():
    """One failure in a hundred is ordinary in the next hundred, and none in two thousand is not."""
    book = FormBook()
    for operation, failed in ((GATE, 0), (GATE._replace(operation="weak"), 20)):
        book.add(FormRow(operation, CALLS, "", "", 2_000))
        book.add(FormRow(operation, STATUS, "", "", 2_000 - failed))
        if failed:
            book.add(FormRow(operation, STATUS, "", FAILED, failed))
    assert book.status_chance(GATE, FAILED) < THREE_SIGMA_P / 2
    assert book.status_chance(GATE._replace(operation="weak"), FAILED) == pytest.approx(0.01, rel=0.1)


@given(st.integers(20, 4_000), st.integers(1, 40), st.integers(0, 10_000))
def test_what_a_trace_corrects_for_holds(learned, kinds, seed):
    """`below` is at least how often ordinary spans give so little: forms of Zipf's law, met later."""
    rng = np.random.default_rng(seed)
    share = 1.0 / np.arange(1, kinds + 1) ** 2
    share /= share.sum()
    book = counted(
        {str(form): int(spans) for form, spans in enumerate(rng.multinomial(learned, share)) if spans}
    )
    p = np.array([book.set_chance(GATE, str(form)) for form in range(kinds)])
    for limit in (0.05, 0.01, 0.001):
        # A sample of n says nothing finer than a few times 1/n.
        assert share[p <= limit].sum() <= 2 * book.below(GATE, limit) + 12 / learned


def test_what_is_taken_back_was_never_there():
    """A late child moves a span from one form to another."""
    book = counted({"short": 100})
    book.add(FormRow(GATE, CALLS, "", "short", -100))
    book.add(FormRow(GATE, CALLS, "", "long", 100))
    assert not book.knows(FormRow(GATE, CALLS, "", "short", 1))
    assert book.total(GATE) == 100
