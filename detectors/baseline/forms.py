"""Forms of a span that are counted: which operations it called, how often each, and whether it failed.

The form of one span is judged among those of its operation: the set of called operations, the number of calls
of each (0 to many), whether one of them is new, and the status. With n spans of which f1 forms were seen
exactly once, the chance of a form that was never seen is f1 / n (Good & Turing). Where f1 is 0 the chance is
still not 0. All tests of the system that look alike estimate it together:

    p(unseen) = c / (n + 1),   c = (f1 + 1/2) / (1 + 1/2 / max(c_n, f1))

For tests that have shown one form only, c_n / n is the chance that the next span shows another. With shares q
of the forms of every test, as if n of its own spans were drawn,

    c_n = (sum n q^n (1 - q) + 1/4) / (sum q^n + 1/2)

and for tests with several forms, c_n = (sum E f1(n) + 1/4) / (m + 1/2), where E f1(n) is the number of forms
that would have been seen exactly once. In a system that has shown all its forms after ten spans, ten spans
give certainty; in one that keeps showing new forms they do not. Where structure is open-ended f1 is large,
and its test reports nothing.

A form that was seen before has

    p(form) = p(unseen) + share of spans whose form is as rare, or rarer

and for a number of calls the share of spans with as many or more, and with as few or fewer. `below` is the
chance that any test of an operation's span gives a p of at most so much; a trace uses it to correct for the
number of its tests.

Sources: Good 1953; Gamma-Poisson shrinkage (Clayton & Kaldor 1987); discrete p-values (Tarone 1990).

>>> book = FormBook()
>>> gate = Operation("gate", "request", "SERVER")
>>> for called, spans in (("auth", 4_000), ("auth,cart", 6_000)):
...     book.add(FormRow(gate, CALLS, "", called, spans))
>>> [round(book.set_chance(gate, called), 5) for called in ("auth,cart", "auth", "cart")]
[1.0, 1.0, 1e-05]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import numpy as np

from detectors.model.operation import Operation
from detectors.stats.arrays import FloatArray

CALLS, COUNT, STATUS = "calls", "count", "status"
FAILED, ENDED_WELL = "failed", ""
# Most sets of one operation, and callees of one: the rest is open-ended, and only counted.
FORMS_MAX = 500
OTHER = "…"
_OPERATIONS_MAX = 20_000
_EXACT_COUNT_MAX = 64  # larger numbers of calls are rounded down by a sixteenth at most
# Of a test without any like it, and the forms that each of many tests may still not have shown together.
_PRIOR_NOVELTY, _PRIOR_TESTS = 0.25, 0.5
_OWN = 0.5
_OCTAVES = 24
_REFIT_GROWTH = 1.2
_Form = TypeVar("_Form", str, int)
UNUSUAL = 0.05  # larger chances are never part of a finding: they all count as 1


class FormRow(NamedTuple):
    """So many spans of an operation had this form. `form` is a set of called operations for CALLS, a number
    of calls of `callee` for COUNT (0 is never listed), FAILED or ENDED_WELL for STATUS."""

    operation: Operation
    aspect: str
    callee: str
    form: str
    sample_count: int


class _Counts:
    """The counts of one operation."""

    __slots__ = ("always", "callees", "levels", "sets", "status", "total")

    def __init__(self) -> None:
        self.total = 0
        self.sets: dict[str, int] = {}
        self.callees: dict[str, dict[int, int]] = {}  # callee → number of calls → spans
        self.status: dict[str, int] = {}
        # Derived from the above, until they change: attainable chances with sums; callees hardly ever left
        # out.
        self.levels: tuple[FloatArray, FloatArray] | None = None
        self.always: list[str] | None = None

    def tests(self) -> Iterator[tuple[list[int], int]]:
        """(counts of the forms, number of spans whose form was not counted apart) of each test."""
        if self.total:
            yield list(self.sets.values()), self.sets.get(OTHER, 0)
        for counts in self.callees.values():
            yield self.with_zero(counts), 0
        if self.status:
            yield list(self.status.values()), 0

    def with_zero(self, counts: dict[int, int]) -> list[int]:
        zeros = self.total - sum(counts.values())
        return [zeros, *counts.values()] if zeros > 0 else list(counts.values())


class FormBook:
    """Counted forms of all operations. Not thread-safe; memory is bounded."""

    def __init__(self) -> None:
        self._known: dict[Operation, _Counts] = {}
        self._samples = 0
        self._novelty: tuple[int, FloatArray] = (
            0,
            np.ones((2, _OCTAVES)),
        )  # samples then; c by class and octave

    def add(self, row: FormRow) -> None:
        """Count a form; a negative number takes back an earlier count."""
        known = self._known.get(row.operation)
        if known is None:
            if len(self._known) >= _OPERATIONS_MAX:
                return
            known = self._known[row.operation] = _Counts()
        known.levels = known.always = None
        if row.aspect == COUNT:
            if row.callee in known.callees or len(known.callees) < FORMS_MAX:
                _add(known.callees.setdefault(row.callee, {}), int(row.form), row.sample_count)
                if not known.callees[row.callee]:
                    del known.callees[row.callee]
            return
        forms = known.sets if row.aspect == CALLS else known.status
        _add(forms, row.form if row.form in forms or len(forms) < FORMS_MAX else OTHER, row.sample_count)
        if row.aspect == CALLS:
            known.total = max(known.total + row.sample_count, 0)
            self._samples += row.sample_count

    def rows(self) -> Iterator[FormRow]:
        for key, known in self._known.items():
            for form, count in known.sets.items():
                yield FormRow(key, CALLS, "", form, count)
            for callee, counts in known.callees.items():
                for calls, count in counts.items():
                    yield FormRow(key, COUNT, callee, str(calls), count)
            for form, count in known.status.items():
                yield FormRow(key, STATUS, "", form, count)

    def total(self, operation: Operation) -> int:
        """How many spans of an operation were counted."""
        known = self._known.get(operation)
        return known.total if known else 0

    def knows(self, row: FormRow) -> bool:
        """Whether a form was ever counted."""
        known = self._known.get(row.operation)
        if known is None:
            return False
        if row.aspect == COUNT:
            return int(row.form) in known.callees.get(row.callee, {})
        return row.form in (known.sets if row.aspect == CALLS else known.status)

    def set_chance(self, operation: Operation, called: str) -> float:
        """p of a set of called operations; 1 for an operation that was never seen."""
        known = self._known.get(operation)
        if known is None or not known.total:
            return 1.0
        return self._chance(known.sets, called, known.total)

    def count_chance(self, operation: Operation, callee: str, calls: int) -> float:
        """The smaller p of so many calls or more, and of so many or fewer. For a callee that was never
        called: the p of a new callee."""
        known = self._known.get(operation)
        if known is None or not known.total:
            return 1.0
        calls = rounded(calls)
        counts = known.callees.get(callee)
        if counts is None:
            return 1.0 if not calls else self._new_callee(known)
        n = known.total
        more = sum(count for number, count in counts.items() if number >= calls)
        fewer = n - sum(count for number, count in counts.items() if number > calls)
        unseen = self._unseen(known.with_zero(counts), n)
        return float(min(unseen + min(more if calls else n, fewer) / n, 1.0))

    def status_chance(self, operation: Operation, status: str) -> float:
        known = self._known.get(operation)
        if known is None or not known.status:
            return 1.0
        return self._chance(known.status, status, sum(known.status.values()))

    def never_left_out(self, operation: Operation) -> list[str]:
        """The callees of an operation whose absence would be unusual."""
        known = self._known.get(operation)
        if known is None:
            return []
        if known.always is None:
            least = (1.0 - UNUSUAL) * known.total
            known.always = [name for name, counts in known.callees.items() if sum(counts.values()) >= least]
        return known.always

    def below(self, operation: Operation, p: float) -> float:
        """The chance that a test of an ordinary span gives at most `p`; bounded by the sum over its tests."""
        known = self._known.get(operation)
        if known is None or not known.total:
            return 0.0
        if known.levels is None:
            known.levels = self._levels(known)
        limits, sums = known.levels
        return float(sums[int(np.searchsorted(limits, p * (1 + 1e-9), side="right"))])

    def _levels(self, known: _Counts) -> tuple[FloatArray, FloatArray]:
        """(attainable chances of all tests, rising; their joint chance at each, at most)."""
        n = known.total
        chances: list[float] = []
        steps: list[float] = []

        def note(unseen: float, counts: list[int], total: int) -> None:
            """Add one test; the forms are as rare as their place in `counts`."""
            above, before = 0, 0.0
            for count in counts:
                above += count
                chance = unseen + above / total
                if chance > UNUSUAL:
                    break
                chances.append(chance)
                steps.append(chance - before)
                before = chance

        for forms in (known.sets, known.status):
            if total := sum(forms.values()):
                unseen = self._unseen(list(forms.values()), total, other=forms.get(OTHER, 0))
                note(unseen, [0, *_grouped(forms)], total)
        for counts in known.callees.values():
            every = dict(counts)
            zeros = n - sum(counts.values())
            if zeros > 0:
                every[0] = zeros
            unseen = self._unseen(list(every.values()), n)
            rising = [every[number] for number in sorted(every)]
            note(unseen, rising if zeros > 0 else [0, *rising], n)  # fewer than none is impossible
            note(unseen, [0, *rising[::-1]], n)
        if known.callees:
            note(self._new_callee(known), [0], n)
        order = np.argsort(chances, kind="stable")
        return np.array(chances)[order], np.r_[0.0, np.cumsum(np.array(steps)[order])]

    def _chance(self, forms: dict[str, int], form: str, total: int) -> float:
        count = forms.get(form, 0)
        if count > UNUSUAL * total:
            return 1.0
        unseen = self._unseen(list(forms.values()), total, other=forms.get(OTHER, 0))
        return float(min(unseen + sum(c for c in forms.values() if c <= count) / total, 1.0))

    def _new_callee(self, known: _Counts) -> float:
        singles = sum(sum(counts.values()) == 1 for counts in known.callees.values())
        return self._of_novelty(singles, known.total, several=False)

    def _unseen(self, counts: list[int], total: int, *, other: int = 0) -> float:
        singles = sum(count == 1 for count in counts) + other
        return self._of_novelty(singles, total, several=len(counts) > 1)

    def _of_novelty(self, singles: int, total: int, *, several: bool) -> float:
        pooled = self._pooled()[int(several), min(total.bit_length() - 1, _OCTAVES - 1)]
        c = (singles + _OWN) / (1.0 + _OWN / max(pooled, singles))
        return float(min(c / (total + 1), 1.0))

    def _pooled(self) -> FloatArray:
        """c_n of tests with one form (0) and with several (1), for n = 1, 2, 4, …"""
        samples, found = self._novelty
        if samples and self._samples <= samples * _REFIT_GROWTH:
            return found
        novelty, tests = np.zeros((2, _OCTAVES)), np.zeros((2, _OCTAVES))
        sizes = 2.0 ** np.arange(_OCTAVES)
        for known in self._known.values():
            for counts, other in known.tests():
                share = np.array(counts, dtype=np.float64)
                total = share.sum()
                share /= total
                told = sizes <= 2 * total  # for larger sizes there are too few samples
                n = np.minimum(sizes, total)[:, None]
                alone = np.power(share, n)  # the chance that no other form was seen
                novelty[0] += np.where(told, (n * alone * (1.0 - share)).sum(axis=1), 0.0)
                tests[0] += np.where(told, alone.sum(axis=1), 0.0)
                if len(counts) > 1:
                    once = (n * share * np.power(1.0 - share, n - 1.0)).sum(axis=1) + other * (sizes >= total)
                    novelty[1] += np.where(told, np.minimum(once, 1.0), 0.0)
                    tests[1] += told
        found = (novelty + _PRIOR_NOVELTY) / (tests + _PRIOR_TESTS)
        self._novelty = (self._samples, found)
        return found


def rounded(calls: int) -> int:
    """A number of calls, rounded as it is counted.

    >>> [rounded(calls) for calls in (3, 64, 65, 130, 1_001)]
    [3, 64, 64, 128, 992]
    """
    if calls <= _EXACT_COUNT_MAX:
        return calls
    step = 1 << max(calls.bit_length() - 5, 0)
    return calls // step * step


def _grouped(forms: dict[str, int]) -> list[int]:
    """Counts, rising; equal counts are joined, since their forms are equally rare."""
    sums: dict[int, int] = {}
    for count in forms.values():
        sums[count] = sums.get(count, 0) + count
    return [sums[count] for count in sorted(sums)]


def _add(counts: dict[_Form, int], form: _Form, count: int) -> None:
    left = counts.get(form, 0) + count
    if left > 0:
        counts[form] = left
    else:
        counts.pop(form, None)
