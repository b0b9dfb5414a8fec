"""A store into which spans land as files when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from collector.lake.sealer import Policy, Sealer
from collector.landing.land import Lander, read_position
from collector.signals import Signal
from collector.store.store import Store
from collector.wal.spool import Spool

HOUR_NS = 3_600_000_000_000
NOON_NS = 1_790_000_000_000_000_000 // HOUR_NS * HOUR_NS
EVERY_TYPE = {
    "text": "é",
    "empty": "",
    "n": 2**62,
    "ratio": 0.25,
    "nothing": float("nan"),
    "blob": b"\x00\xff",
    "list": [1, "a", 2.5, True],
    "yes": True,
    "no": False,
    "attributes": "a key like a column",
    "typed_value": 7,
}
SHOWN = """
    SELECT * EXCLUDE (batch_id) REPLACE (
        attributes::JSON::VARCHAR || variant_typeof(attributes) AS attributes,
        resource_attributes::JSON::VARCHAR AS resource_attributes,
        scope_attributes::JSON::VARCHAR AS scope_attributes,
        events::VARCHAR AS events, links::VARCHAR AS links
    )
    FROM spans ORDER BY span_id, duration_ns
"""


class Line:
    """A spool and a lander over a store; a test says when what lands, and in which way."""

    def __init__(self, store: Store, make_request: Callable[..., Any], any_value: Callable[..., Any]) -> None:
        self.store, self._make_request, self._any_value = store, make_request, any_value
        self.now_ns = NOON_NS + 100 * HOUR_NS
        self._open()

    def _open(self) -> None:
        folder = self.store.folder
        self.spool = Spool(
            folder / "spool",
            landed=read_position(self.store)[0],
            max_bytes=1 << 24,
            segment_bytes=1 << 16,
            torn_folder=folder / "quarantine",
        )
        self.lander = Lander(self.store, self.spool, interval_ms=1, max_bytes=1 << 24)
        policy = Policy(seal_after_s=60, settle_s=0, interval_s=60)
        self.sealer = Sealer(self.store, policy, clock_ns=lambda: self.now_ns)

    def reopen(self) -> None:
        """As after a crash: another process opens the folder."""
        self.spool.close()
        self.store.close()
        self.store = Store.open(self.store.folder)
        self._open()

    def request(self, count: int = 3, first: int = 1, hours: int = 0, **attributes: Any) -> Any:
        """Spans `first`, `first + 1`, …, a nanosecond apart, every other one with an event and a link."""
        request = self._make_request(count, attributes=attributes or EVERY_TYPE)
        for number, span in enumerate(request.resource_spans[0].scope_spans[0].spans, first):
            span.trace_id = (number // 3 + 1).to_bytes(16, "big")
            span.span_id = number.to_bytes(8, "big")
            span.name = f"op-{number % 2}"
            span.start_time_unix_nano = NOON_NS + hours * HOUR_NS + number
            span.end_time_unix_nano = span.start_time_unix_nano + 7
            if number % 2:
                event = span.events.add(time_unix_nano=span.start_time_unix_nano + 1, name="e")
                event.attributes.add(key="blob", value=self._any_value(b"\x01\xfe"))
                link = span.links.add(trace_id=bytes(15) + b"\x01", span_id=bytes(7) + b"\x02")
                link.attributes.add(key="deep", value=self._any_value({"a": [1.5]}))
        return request

    def land(self, *requests: Any, fast: bool = True) -> None:
        for request in requests:
            self.spool.append(Signal.TRACES, request.SerializeToString()).result(5)
        while self.lander.land_available(shred=fast):
            pass

    def value(self, query: str) -> Any:
        return self.store.read(query).columns[0][0].as_py()

    def reaches(self, column: str, query: str) -> bool:
        """Whether a condition of `query` is evaluated by this column of the files."""
        plan = self.store.read(f"EXPLAIN {query}").columns[1][0].as_py()
        return f"Filters: {column}" in " ".join(plan.replace("│", " ").split())

    def shown(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self.store.read(SHOWN).to_pylist()]

    def detected(self) -> list[dict[str, Any]]:
        """What detection reads of the landed batch."""
        query = "SELECT * EXCLUDE (attributes) FROM landed_spans(0, 1) ORDER BY span_id"
        rows: list[dict[str, Any]] = self.store.read(query).to_pylist()
        assert len(rows) == 6
        return rows

    def places(self) -> dict[str, int]:
        """How many rows stand where."""
        queries = {
            "table": "(SELECT count(*) FROM spans_recent) + (SELECT count(*) FROM spans_packed)",
            "hot": "(SELECT coalesce(sum(row_count), 0)::BIGINT FROM hot_files WHERE expired_at IS NULL)",
            "lake": "(SELECT coalesce(sum(row_count), 0)::BIGINT FROM lake_files WHERE expired_at IS NULL)",
        }
        counts = {place: self.value(f"SELECT {query}") for place, query in queries.items()}
        assert self.value("SELECT count(*) FROM spans") == sum(counts.values())
        return {place: count for place, count in counts.items() if count}


def crash(*_: object, **__: object) -> str:
    """In place of a function: it fails."""
    raise OSError("crash")
