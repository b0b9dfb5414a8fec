"""Services without an answer, of which no call has a span: their callers alone show it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pytest

from detectors.localise import Usual, localise
from detectors.localise.evidence.errors import UNANSWERED

MS = 1_000_000
# service, operation, begin after its caller; both are called inside the page, and stock calls nothing
CALLED = (("stock", "reserve", 2), ("price", "quote", 8))


class Pages:
    """front → stock, then price, without a span of either call."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.attributes: list[dict[str, str]] = []

    def page(
        self,
        *,
        without: Collection[str] = (),
        failed: bool = False,
        raised: str = "",
        took_ms: int = 20,
        name: str = "GET /page",
    ) -> None:
        number = len(self.rows)
        trace_id, start = f"t{id(self)}-{number}", number * 100 * MS
        self._add(trace_id, "page", None, ("front", name), start, took_ms=took_ms, failed=failed)
        for service, operation, after_ms in CALLED:
            if service not in without:
                self._add(trace_id, service, "page", (service, operation), start + after_ms * MS)
        if raised:
            kind, _, message = raised.partition(": ")
            for key, value in (("exception.type", kind), ("exception.message", message)):
                row = {"trace_id": trace_id, "span_id": f"page{trace_id}", "key": key, "value": value}
                self.attributes.append(row)

    def _add(
        self, trace_id: str, span: str, parent: str | None, place: tuple[str, str], start: int, **more: Any
    ) -> None:
        self.rows.append(
            {
                "trace_id": trace_id,
                "span_id": f"{span}{trace_id}",
                "parent_span_id": parent and f"{parent}{trace_id}",
                "service_name": place[0],
                "operation": place[1],
                "span_kind": "INTERNAL",
                "start_unix_nano": start,
                "duration_ns": more.get("took_ms", 5) * MS,
                "status_code": "ERROR" if more.get("failed") else "UNSET",
                "status_message": "",
            }
        )

    def tables(self) -> tuple[pa.Table, pa.Table]:
        texts = pa.schema([(name, pa.string()) for name in ("trace_id", "span_id", "key", "value")])
        return pa.Table.from_pylist(self.rows), pa.Table.from_pylist(self.attributes, schema=texts)


def named(pages: Pages) -> list[str]:
    before = Pages()
    for _ in range(60):
        before.page()
    spans, attributes = before.tables()
    now, carried = pages.tables()
    causes = localise(now, Usual(spans=spans, attributes=attributes), attributes=carried)
    return [cause["service"] for cause in causes]


BOTH = ("stock", "price")


@pytest.mark.parametrize(
    ("how", "first"),
    [
        ({"without": BOTH, "failed": True}, "stock"),  # behind it nobody went on
        ({"without": ("price",), "failed": True}, "price"),
        ({"without": BOTH, "failed": True, "raised": "ConnectionRefusedError: 10.0.0.9:80"}, "stock"),
        ({"without": BOTH, "failed": True, "raised": "KeyError: k7"}, "front"),  # before it called
        ({"without": BOTH}, "front"),  # it goes on as if nothing were: nobody is called any more
    ],
)
def test_a_dead_service_is_named_where_its_caller_fails_without_it(how, first):
    """It was always called, is heard of nowhere, and its caller fails; its own exception is the caller's."""
    pages = Pages()
    for _ in range(12):
        pages.page(**how)
    assert named(pages)[0] == first


def test_who_may_be_dead_is_named_beside_a_caller_that_raises():
    """An exception of the caller's own may follow from a missing answer as well."""
    pages = Pages()
    for _ in range(12):
        pages.page(without=BOTH, failed=True, raised="KeyError: k7")
    assert named(pages)[:2] == ["front", "stock"]


def test_a_service_that_others_hear_of_is_not_dead():
    """Half of the pages have its answer: those that fail do so by themselves."""
    pages = Pages()
    for _ in range(12):
        pages.page(without=BOTH, failed=True)
        pages.page()
    assert named(pages)[0] == "front"


def _orders(count: int, *, taken: Collection[str], late: int = 0) -> pa.Table:
    """Orders of which each is published to mail and books, as spans of one name.

    Args:
        taken: who takes its message; of the last `late` orders nobody has yet.
    """
    rows = []
    for number in range(count):
        trace_id, start = f"o{len(taken)}{late}-{number}", number * 100 * MS
        spans = [("order", None, "shop", "POST /order", "SERVER")]
        for service in ("mail", "books"):
            spans.append((f"to {service}", "order", "shop", "orders publish", "PRODUCER"))
            if service in taken and number < count - late:
                spans.append((service, f"to {service}", service, "orders process", "CONSUMER"))
        rows += [
            {
                "trace_id": trace_id,
                "span_id": f"{span}{trace_id}",
                "parent_span_id": parent and f"{parent}{trace_id}",
                "service_name": service,
                "operation": operation,
                "span_kind": kind,
                "start_unix_nano": start + place * MS,
                "duration_ns": (20 - place) * MS,
                "status_code": "UNSET",
                "status_message": "",
            }
            for place, (span, parent, service, operation, kind) in enumerate(spans)
        ]
    return pa.Table.from_pylist(rows)


@pytest.mark.parametrize(
    ("taken", "late", "missed"),
    [(("books",), 0, "mail"), (("mail", "books"), 3, "")],
    ids=["dead", "under way"],
)
def test_a_consumer_that_takes_no_messages_is_named(taken, late, missed):
    """Its sender goes on and notices nothing. A few messages that are under way are no silence."""
    usual = Usual(spans=_orders(60, taken=("mail", "books")))
    causes = localise(_orders(12, taken=taken, late=late), usual)
    unanswered = [cause["service"] for cause in causes if cause["evidence"][0]["kind"] == UNANSWERED]
    assert unanswered == [missed] * bool(missed)
    assert not missed or causes[0]["service"] == missed
