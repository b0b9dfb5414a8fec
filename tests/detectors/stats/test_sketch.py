from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.stats.sketch import EMPTY, RELATIVE_ERROR, Sketch, bucket_of, merge, value_of

positive = st.lists(st.floats(1e-6, 1e15), min_size=1, max_size=60)


@given(positive)
def test_values_are_kept_within_one_percent(values):
    """A value read back from its bucket is off by at most the relative error."""
    exact = np.array(values)
    assert np.all(np.abs(value_of(bucket_of(exact)) - exact) <= exact * RELATIVE_ERROR * 1.0001)


@given(st.lists(positive, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_merging_is_free_of_order_and_grouping(parts, random):
    """Merged parts in any order equal the sketch of all values at once."""
    shuffled = [Sketch.of(part) for part in parts]
    random.shuffle(shuffled)
    nested = EMPTY
    for part in shuffled:
        nested = merge([part, nested])
    whole = Sketch.of([value for part in parts for value in part])
    assert nested.buckets.tolist() == whole.buckets.tolist()
    assert nested.counts.tolist() == whole.counts.tolist()


@given(positive, st.floats(0.001, 1000))
def test_quantiles_scale_with_the_values(values, factor):
    """Measuring in another unit changes a quantile by the unit, within the error of two buckets."""
    plain, scaled = Sketch.of(values), Sketch.of(np.array(values) * factor)
    assert np.isclose(scaled.quantile(0.5), plain.quantile(0.5) * factor, rtol=2.1 * RELATIVE_ERROR)


def test_zero_and_negative_values_are_counted():
    """A clock that stepped back does no harm."""
    assert Sketch.of([0, -5, 1e9]).sample_count == 3


def test_quantile_of_known_values():
    """The median of 1 … 1001 is 501, within 1%."""
    assert np.isclose(Sketch.of(np.arange(1, 1002)).quantile(0.5), 501, rtol=0.01)
