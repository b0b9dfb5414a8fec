from __future__ import annotations

import numpy as np
import pytest

from detectors.localise.attribution.direction import Busy, Times, delays_ns, sender_of_message, sender_share
from detectors.trace.edges import Edges

MS = 1_000_000


def edges(before_ms: list[float], after_ms: list[float]) -> Edges:
    before, after = ((np.array(x) * MS).astype(np.int64) for x in (before_ms, after_ms))
    rows = np.arange(len(before))
    return Edges(rows, rows + len(before), before + np.maximum(after, 0), before, after)


USUAL = [1.0, 1.1, 0.9, 1.0, 1.2, 1.0]
BEFORE, NOW = np.arange(6), np.arange(6, 12)


@pytest.mark.parametrize(
    ("there", "back", "sender"),
    [(100.0, 1.0, 1.0), (1.0, 100.0, 0.0), (100.0, 100.0, 0.0), (90.0, 11.0, 0.6), (1.0, 1.0, 0.0)],
)
def test_way_there_is_the_senders_and_way_back_the_callees(there, back, sender):
    """Delays on the way there charge the caller, on the way back or on both the callee."""
    found = sender_share(edges([*USUAL, *[there] * 6], [*USUAL, *[back] * 6]), NOW, BEFORE)
    assert found == pytest.approx(sender, abs=0.03)


def test_clocks_that_differ_change_nothing():
    """A server an hour behind makes all ends huge, and the delay still points the same way."""
    hour = 3_600_000.0
    there, back = [*USUAL, *[100.0] * 6], [*USUAL, *[1.0] * 6]
    skewed = edges([x - hour for x in there], [x + hour for x in back])
    assert sender_share(skewed, NOW, BEFORE) == 1.0


def test_without_usual_calls_nobody_knows():
    """Fewer than five usual calls give no direction."""
    assert sender_share(edges([1, 1, 100, 100], [1, 1, 1, 1]), np.array([2, 3]), np.array([0, 1])) == 0.0


def messages(waits_ms: list[float], busy_ms: list[tuple[float, float]], publishing_ms: float = 1.0) -> float:
    """Messages 100 ms apart that wait so long from the start of publishing, while the consumer works in these
    intervals."""
    found = edges([*USUAL, *waits_ms], [0.0] * (6 + len(waits_ms)))
    count = len(found.caller)
    published = np.arange(count) * 100 * MS
    start = np.concatenate([published, published + found.before_ns])
    work = (np.array(busy_ms).reshape(-1, 2) * MS).astype(np.int64)
    consumer = Busy(work[:, 0], work[:, 1])
    times = Times(start, start + int(publishing_ms * MS))
    return sender_of_message(found, np.arange(6, count), BEFORE, times, consumer)


def test_messages_held_on_their_way_are_the_senders():
    """All wait about 80 ms while the consumer is idle."""
    assert messages([80, 81, 79, 80, 82, 80], []) == 1.0


def test_messages_behind_a_busy_consumer_are_its_own():
    """The same waits, and the consumer works all the time."""
    assert messages([80, 81, 79, 80, 82, 80], [(0, 2_000)]) == 0.0


def test_messages_that_wait_for_a_pause_are_the_consumers():
    """Waits from nothing to 100 ms are those of a consumer that pauses, with or without a span."""
    assert messages([5, 20, 40, 60, 80, 100], []) == 0.0


def test_messages_that_are_published_slowly_are_the_senders():
    """A broker that is down holds its publishers, each until it is back; then the consumer is busy."""
    waits = [600, 500, 400, 300, 200, 100]
    assert messages(waits, [(600, 2_000)]) == 0.0
    assert messages(waits, [(600, 2_000)], publishing_ms=590) == 1.0


def test_work_is_a_union():
    """Overlapping and nested spans count once."""
    busy = Busy(np.array([0, 2, 3, 20]), np.array([10, 5, 12, 30]))
    assert busy.share(np.array([0]), np.array([40])) == pytest.approx(22 / 40)
    assert busy.share(np.array([12]), np.array([20])) == 0.0
    assert busy.share(np.array([5]), np.array([5])) == 0.0


def test_delays_are_beyond_what_is_usual():
    """Times that most calls took before are no delay; a delay counts from the usual median."""
    usual = np.array([1, 1, 1, 1, 5]) * MS
    assert delays_ns(np.array([1, 4, 100]) * MS, usual).tolist() == [0.0, 0.0, 99.0 * MS]
