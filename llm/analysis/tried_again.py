"""Failed calls that their caller makes again: a retry ends with the first success, a loop goes on."""

from __future__ import annotations

from collections.abc import Sequence

from llm.analysis.traced import TracedSpan

MAX_TRIES = 10  # more calls of one parent are a loop: clients give up after three to five


def was_tried_again(span: TracedSpan, spans: Sequence[TracedSpan]) -> bool:
    """Whether the caller of a failed span made the same call again, and each before the last one failed.

    A server's span is known by the client's span around it, of which each attempt has one.

    Args:
        spans: of the span's trace, as far as they are known.
    """
    above = next((other for other in spans if other.span_id == span.parent_span_id), None)
    tried = above if span.kind == "SERVER" and above is not None and above.kind == "CLIENT" else span
    if tried.parent_span_id is None:
        return False
    place = tried.parent_span_id, tried.service, tried.operation, tried.kind
    tries = [s for s in spans if (s.parent_span_id, s.service, s.operation, s.kind) == place]
    tries.sort(key=lambda each: each.start_unix_nano)
    if not 2 <= len(tries) <= MAX_TRIES:
        return False
    return all(each.status_code == "ERROR" or each.has_exception for each in tries[:-1])
