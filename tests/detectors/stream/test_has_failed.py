from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("status", "event", "failed"),
    [
        ("ERROR", None, True),
        ("UNSET", "exception", True),
        ("OK", "exception", False),  # whoever says that all is well has the last word
        ("UNSET", "cache miss", False),
        ("UNSET", None, False),
    ],
)
def test_an_exception_that_a_span_recorded_is_a_failure(store, status, event, failed):
    """Some SDKs record an exception as an event and leave the status as it was."""
    query = 'SELECT has_failed($status, $events::STRUCT("name" VARCHAR)[]) AS failed'
    rows = store.read(query, {"status": status, "events": [{"name": event}] if event else []})
    assert rows["failed"].to_pylist() == [failed]
