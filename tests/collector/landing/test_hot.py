"""Spans that land as files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Any

import pytest

from collector.decode.process import Decoder
from collector.errors import Unavailable
from collector.lake.sealer import Policy, Sealer
from collector.landing.land import Lander, read_position
from collector.signals import Signal
from collector.store import hot
from collector.store.store import Store
from collector.wal.spool import Spool
from tests.pace import patience_s

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


@pytest.fixture
def line(
    store: Store,
    make_request: Callable[..., Any],
    any_value: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Line]:
    monkeypatch.setattr(hot, "HOUR_ROWS_MIN", 2)
    made = Line(store, make_request, any_value)
    yield made
    made.spool.close()
    made.store.close()


def test_tiers_are_alike(line: Line, make_lines: Callable[[], Line]) -> None:
    """A span reads the same from the table, from a hot file and from the lake: nanoseconds, every type of
    attribute, events and links."""
    slow = make_lines()
    slow.land(slow.request(6), fast=False)
    line.land(line.request(6))
    in_table, in_file = slow.shown(), line.shown()
    assert line.detected() == slow.detected()
    assert (slow.places(), line.places()) == ({"table": 6}, {"hot": 6})
    assert in_file == in_table
    assert line.sealer.run_once() == 6
    assert line.places() == {"lake": 6}
    assert line.shown() == in_table


@pytest.fixture
def make_lines(
    make_request: Callable[..., Any], any_value: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Line]]:
    made: list[Line] = []

    def make() -> Line:
        made.append(Line(Store.open(tmp_path_factory.mktemp("line")), make_request, any_value))
        return made[-1]

    yield make
    for each in made:
        each.spool.close()
        each.store.close()


def test_crash_before_the_transaction(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that no transaction has listed is in no view, is removed at the next start, and its rows land
    once."""
    with monkeypatch.context() as patch:
        patch.setattr("collector.landing.insert.load_sql", _crash)  # of the position
        with pytest.raises(OSError, match="crash"):
            line.land(line.request(5))
    files = list((line.store.folder / "hot" / "spans").glob("*.parquet"))
    assert len(files) == 1
    assert line.places() == {}
    line.reopen()
    assert not files[0].exists()
    line.land()
    assert line.places() == {"hot": 5}


def test_visible_once(line: Line) -> None:
    """Slow and fast traffic in turn, rows of another hour among it: each span is visible once, before and
    after sealing and after a start."""
    line.land(line.request(4, first=1), fast=False)
    line.land(line.request(5, first=11), line.request(1, first=91, hours=-1))
    line.land(line.request(3, first=21), line.request(2, first=31, hours=1))
    line.land(line.request(2, first=41), fast=False)
    assert line.places() == {"table": 7, "hot": 10}
    line.reopen()
    assert line.places() == {"table": 7, "hot": 10}
    assert line.sealer.run_once() == 17
    assert line.places() == {"lake": 17}
    line.now_ns += 1_000_000_000_000
    line.sealer.run_once()
    assert list((line.store.folder / "hot" / "spans").iterdir()) == []
    assert line.value("SELECT count(DISTINCT span_id) FROM spans") == 17


def test_retry(line: Line) -> None:
    """A retry of a span in a hot file is not stored again, whichever way it comes, in the same landing, the
    next, or after a start."""
    once = line.request(6)
    line.land(once, once)
    line.land(once)
    line.land(once, fast=False)
    line.reopen()
    line.land(once)
    line.land(once, fast=False)
    assert line.places() == {"hot": 6}
    assert line.lander.totals.duplicate_spans == 30


def test_retry_of_a_row_in_the_table(line: Line) -> None:
    """A retry that comes fast of spans that came slowly is known too."""
    line.land(line.request(6), fast=False)
    line.land(line.request(8))
    assert line.places() == {"table": 6, "hot": 2}


def test_later_version(line: Line) -> None:
    """A span that comes again with a later end takes the place of the one in a hot file."""
    line.land(line.request(4))
    later = line.request(1, first=2)
    later.resource_spans[0].scope_spans[0].spans[0].end_time_unix_nano += 1000
    line.land(later, fast=False)
    assert line.places() == {"hot": 3, "table": 1}
    even_later = line.request(1, first=3)
    even_later.resource_spans[0].scope_spans[0].spans[0].end_time_unix_nano += 1000
    line.land(even_later, line.request(2, first=8))
    assert line.places() == {"hot": 5, "table": 1}
    assert line.value("SELECT count(DISTINCT span_id) FROM spans WHERE duration_ns > 1000") == 2
    assert line.lander.replaced_spans == 2


def test_later_version_while_sealing(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is written anew while it is merged stays hot, as it is then."""
    from collector.lake import moving

    line.land(line.request(4))
    merge = moving.merge_spans

    def merge_slowly(*arguments: Any) -> int:
        rows = merge(*arguments)
        later = line.request(1, first=2)
        later.resource_spans[0].scope_spans[0].spans[0].end_time_unix_nano += 1000
        line.land(later, fast=False)
        return rows

    with monkeypatch.context() as patch:
        patch.setattr(moving, "merge_spans", merge_slowly)
        with pytest.raises(RuntimeError, match="nothing was moved"):
            line.sealer.run_once()
    assert line.places() == {"hot": 3, "table": 1}
    assert line.sealer.run_once() == 4
    assert line.value("SELECT count(DISTINCT span_id) FROM spans") == 4


@pytest.mark.parametrize("fill", [0, 127])
def test_many_keys(line: Line, fill: int) -> None:
    """However many keys there are, a file has 128 columns of them at most, and every attribute is there."""
    common = {f"usual.{number}": number for number in range(fill)}
    requests = [line.request(1, first=n, **common, **{f"own.{n}": "x"}) for n in range(1, 301)]
    line.land(*requests, *(line.request(4, first=1000 + 10 * n, usual="y") for n in range(80)))
    places = line.places()
    assert places["hot"] >= 320
    assert sum(places.values()) == 620
    assert line.value("SELECT count(*) FROM spans WHERE attributes['own.7']::VARCHAR = 'x'") == 1
    assert line.value("SELECT count(*) FROM spans WHERE attributes::JSON::VARCHAR LIKE '%own.%'") == 300
    assert line.value("SELECT count(*) FROM spans WHERE attributes['usual']::VARCHAR = 'y'") == 320
    line.sealer.run_once()
    assert line.places() == {"lake": 620}
    assert line.value("SELECT count(*) FROM spans WHERE attributes::JSON::VARCHAR LIKE '%own.%'") == 300


def test_types_that_change(line: Line) -> None:
    """A key with values of several types keeps each, within a file and over merged files."""
    values: list[Any] = ["a", 1, 2.5, True, b"b", ["c"], None]
    for number, value in enumerate(values):
        line.land(
            line.request(3, first=1 + 10 * number, k=value), line.request(2, first=5 + 10 * number, k="z")
        )
    line.land(*(line.request(2, first=500 + 10 * n, k=value) for n, value in enumerate(values)))
    before = line.shown()
    kinds = "SELECT list_sort(list(DISTINCT variant_typeof(attributes['k']))) FROM spans"
    found = line.value(kinds)
    assert line.places() == {"hot": 49}
    assert line.sealer.run_once() == 49
    assert line.shown() == before
    assert line.value(kinds) == found
    assert len(found) == 7 + (None not in values)


def test_map_values(line: Line) -> None:
    """A map in an attribute takes the table's way, and is whole."""
    line.land(line.request(2, deep={"a": {"b": [1, {"c": "d"}]}}), line.request(2, first=11, k="v"))
    assert line.places() == {"table": 2, "hot": 2}
    assert (
        line.value("SELECT count(*) FROM spans WHERE attributes['deep']['a']['b'][2]['c']::VARCHAR = 'd'")
        == 2
    )


def test_conditions_reach_the_columns(line: Line) -> None:
    """A condition on an attribute is evaluated by its column in a hot file and in the merged one."""
    line.land(line.request(20, **{"http.route": "/a", "amount": 2.5}))
    for _ in range(2):
        query = "FROM spans WHERE attributes['http.route']::VARCHAR = '/b'"
        plan = line.store.read(f"EXPLAIN SELECT count(*) {query}").columns[1][0].as_py()
        assert "Filters: attributes.http.route" in " ".join(plan.replace("│", " ").split())
        assert line.value(f"SELECT count(*) {query}") == 0
        line.sealer.run_once()
    assert line.places() == {"lake": 20}


def test_small_files_are_joined(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files become one, whose rows are as before, are known to retries, and may still be replaced; at
    the end the lake has them."""
    monkeypatch.setattr("collector.lake.joining.FILES_MIN", 3)
    for number in range(4):
        line.land(line.request(5, first=1 + 10 * number, **{f"k{number}": number}))
    line.land(line.request(2, first=91, hours=1))
    before = line.shown()
    line.sealer.join_hot_files()
    assert line.value("SELECT count(*) FROM hot_files WHERE expired_at IS NULL") == 2
    assert line.shown() == before
    line.land(line.request(5, first=11, k1=1))
    later = line.request(1, first=12, k1=1)
    later.resource_spans[0].scope_spans[0].spans[0].end_time_unix_nano += 1000
    line.land(later, fast=False)
    assert line.places() == {"hot": 21, "table": 1}
    line.reopen()
    assert line.places() == {"hot": 21, "table": 1}
    line.sealer.run_once()
    assert line.places() == {"lake": 22}
    assert line.value("SELECT count(*) FROM spans WHERE attributes['k3']::INT = 3") == 5


def test_later_version_while_joining(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is written anew while it is joined stays as it is then, and no file is left over."""
    from collector.lake import joining

    monkeypatch.setattr(joining, "FILES_MIN", 2)
    line.land(line.request(4))
    line.land(line.request(4, first=11))
    join = joining.join_spans

    def join_slowly(*arguments: Any) -> int:
        rows = join(*arguments)
        later = line.request(1, first=2)
        later.resource_spans[0].scope_spans[0].spans[0].end_time_unix_nano += 1000
        line.land(later, fast=False)
        return rows

    with monkeypatch.context() as patch:
        patch.setattr(joining, "join_spans", join_slowly)
        line.sealer.join_hot_files()
    assert line.places() == {"hot": 7, "table": 1}
    files = {f"hot/spans/{path.name}" for path in (line.store.folder / "hot" / "spans").iterdir()}
    assert files == set(line.store.read("SELECT path FROM hot_files")["path"].to_pylist())
    line.sealer.join_hot_files()
    assert line.value("SELECT count(*) FROM hot_files WHERE expired_at IS NULL") == 1
    assert line.places() == {"hot": 7, "table": 1}


def test_unlike_files_stay_apart(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that have too many keys together are not joined, and those behind them are."""
    monkeypatch.setattr("collector.lake.joining.FILES_MIN", 2)
    for number in range(4):
        keys = {f"k{number // 2}.{key}": key for key in range(100)}
        line.land(line.request(3, first=1 + 10 * number, **keys))
    for _ in range(3):
        line.sealer.join_hot_files()
    assert line.value("SELECT count(*) FROM hot_files WHERE expired_at IS NULL") == 2
    assert line.value("SELECT count(*) FROM spans WHERE attributes['k1.7']::INT = 7") == 6


def test_newest_rows_cost_little(line: Line) -> None:
    """The newest rows are looked for in the newest file first, and by its plain column of times."""
    line.land(line.request(4, first=1))
    line.land(line.request(4, first=11))
    text = line.value("SELECT sql FROM duckdb_views() WHERE view_name = 'spans'")
    newest, oldest = line.store.read("SELECT path FROM hot_files ORDER BY first_batch_id DESC")[
        "path"
    ].to_pylist()
    assert text.index(newest) < text.index(oldest)
    plan = (
        line.store.read("EXPLAIN SELECT * FROM spans ORDER BY start_time DESC LIMIT 2").columns[1][0].as_py()
    )
    assert "Dynamic Filter (start_time)" in " ".join(plan.replace("│", " ").split())


def test_rolled_back_attempts_leave_one_file(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a landing is rolled back, its next attempt removes the file of the last one."""
    monkeypatch.setattr("collector.landing.insert.load_sql", _crash)  # of the position
    line.spool.append(Signal.TRACES, line.request(5).SerializeToString()).result(5)
    for _ in range(3):
        with pytest.raises(OSError, match="crash"):
            line.lander.land_available(shred=True)
        assert len(list((line.store.folder / "hot" / "spans").iterdir())) == 1
    monkeypatch.undo()
    monkeypatch.setattr(hot, "HOUR_ROWS_MIN", 2)
    line.land()
    assert line.places() == {"hot": 5}
    assert len(list((line.store.folder / "hot" / "spans").iterdir())) == 1


def test_full_disk_keeps_no_partial_files(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be written to its end is removed at once, and its rows land when there is room."""
    line.spool.append(Signal.TRACES, line.request(5).SerializeToString()).result(5)
    with monkeypatch.context() as patch:
        patch.setattr("collector.store.span_files.mark_variants", _crash)
        with pytest.raises(OSError, match="crash"):
            line.lander.land_available(shred=True)
    assert list((line.store.folder / "hot" / "spans").iterdir()) == []
    line.land()
    assert line.places() == {"hot": 5}


def test_refused_join_leaves_no_file(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """While no transaction may begin, joining changes nothing, and leaves nothing on the disk."""
    monkeypatch.setattr("collector.lake.joining.FILES_MIN", 2)
    line.land(line.request(3))
    line.land(line.request(3, first=11))
    line.store.refuse("the folder was moved")
    with pytest.raises(Unavailable):
        line.sealer.join_hot_files()
    assert len(list((line.store.folder / "hot" / "spans").iterdir())) == 2
    line.store.refuse("")
    line.sealer.join_hot_files()
    assert line.places() == {"hot": 6}


def test_files_beyond_a_crash_are_set_aside(line: Line) -> None:
    """What landed after the database was copied is in no spool: a start with the copy does not delete it."""
    line.land(line.request(5))
    (file,) = (line.store.folder / "hot" / "spans").iterdir()
    for name in ("000000000002-crash.parquet", "000000000003-later.parquet", "foreign.parquet"):
        (file.parent / name).write_bytes(file.read_bytes())
    line.reopen()
    assert list(file.parent.iterdir()) == [file]
    kept = {path.name for path in (line.store.folder / "quarantine").glob("hot-spans-*/*")}
    assert kept == {"000000000003-later.parquet", "foreign.parquet"}
    assert line.places() == {"hot": 5}


def test_slow_landing_does_not_wait_for_views(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hot files a landing does not queue with whoever makes views anew."""
    monkeypatch.setattr(line.store, "view_transaction", _crash)
    line.land(line.request(3), fast=False)
    assert line.places() == {"table": 3}


def _crash(*_: object, **__: object) -> str:
    raise OSError("crash")


def test_many_hours_land_like_slow_spans(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans of many hours with few in each go to the table, in typed columns, and no file is written."""
    monkeypatch.setattr(hot, "LATE_ROWS_MAX", 4)
    monkeypatch.setattr(hot, "HOUR_ROWS_MIN", 3)
    line.land(*(line.request(2, first=1 + 10 * hour, hours=-hour) for hour in range(4)))
    assert line.places() == {"table": 8}
    assert line.value("SELECT count(*) FROM spans_recent") == 8
    assert list((line.store.folder / "hot" / "spans").glob("*")) == []


def test_fault_of_shredding(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans that come fast and cannot be shredded, for whatever reason, land like slow ones."""
    decode = Decoder.decode

    def broken(self: Decoder, records: Any, *, shred: bool = False) -> Any:
        if shred:
            raise KeyError("a key")
        return decode(self, records)

    monkeypatch.setattr(Decoder, "decode", broken)
    lander = Lander(line.store, line.spool, interval_ms=1, max_bytes=1 << 24, hot_bytes=1)
    line.spool.append(Signal.TRACES, line.request(5).SerializeToString()).result(5)
    lander.start()
    lander.stop(patience_s(10))  # when the spool is empty
    assert line.places() == {"table": 5}


def test_failed_join_holds_up_nothing(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """While small files cannot be joined, which is reported, hours are sealed all the same."""
    monkeypatch.setattr("collector.lake.sealer.small_files", _crash)
    line.land(line.request(5))
    policy = Policy(seal_after_s=60, settle_s=0, interval_s=0.01)
    sealer = Sealer(line.store, policy, clock_ns=lambda: line.now_ns)
    sealer.start()
    seen: set[object] = set()
    deadline_s = monotonic() + patience_s(10)
    while not seen >= {"crash", 1} and monotonic() < deadline_s:
        seen |= {sealer.status()["failure"], line.value("SELECT count(*) FROM lake_files")}
        sleep(0.01)
    sealer.stop(patience_s(10))
    assert seen >= {"crash", 1}
    assert line.places() == {"lake": 5}
