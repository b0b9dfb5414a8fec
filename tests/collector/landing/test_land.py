from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep
from typing import Any

import duckdb
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from collector.decode.span_keys import span_keys
from collector.landing.insert import Insertion
from collector.landing.land import Lander, read_position
from collector.signals import Signal
from collector.store.dedupe import load_recent
from collector.store.store import Store
from collector.wal.spool import Spool


class Line:
    """A spool and a lander over a store; landing happens when a test says so."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.spool = Spool(
            store.folder / "spool",
            landed=read_position(store)[0],
            max_bytes=1 << 20,
            segment_bytes=1 << 16,
            torn_folder=store.folder / "quarantine",
        )
        self.lander = Lander(store, self.spool, interval_ms=1, max_bytes=1 << 20, clock_ns=lambda: 42)

    def send(self, *payloads: bytes, signal: int = Signal.TRACES) -> None:
        for payload in payloads:
            self.spool.append(signal, payload).result(5)

    def land(self) -> None:
        while self.lander.land_available():
            pass

    def count(self, what: str = "spans") -> int:
        return int(self.store.read(f"SELECT count(*) AS n FROM {what}")["n"][0].as_py())


@pytest.fixture
def line(store: Store) -> Iterator[Line]:
    made = Line(store)
    yield made
    made.spool.close()


@pytest.fixture
def quarantine(store: Store) -> Callable[[], dict[str, bytes]]:
    folder: Path = store.folder / "quarantine"
    return lambda: {path.name.split("-")[-1]: path.read_bytes() for path in folder.glob("*")}


def test_rows_and_position_together(line: Line, make_request: Callable[..., Any]) -> None:
    """Landing stores the rows, advances the position past them and frees the spool."""
    line.send(make_request(3).SerializeToString(), make_request(2).SerializeToString())
    line.land()
    assert line.count() == 5
    position, totals = read_position(line.store)
    assert position == line.lander.position
    assert (totals.spans, totals.batch_id) == (5, 1)
    assert line.spool.status()["bytes"] == 0
    assert line.store.wait_landed(0, 0) == 1


def test_failed_transaction_leaves_nothing(
    line: Line, make_request: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the position cannot be stored, the rows are not there either; the next attempt lands them once."""
    line.send(make_request(4).SerializeToString())
    with monkeypatch.context() as patch:
        patch.setattr("collector.landing.insert.load_sql", lambda *_: "SELECT error('disk')")
        with pytest.raises(duckdb.Error):
            line.lander.land_available()
    assert line.count() == 0
    line.land()
    assert line.count() == 4


def test_replay_after_restart(store: Store, make_request: Callable[..., Any], tmp_path: Path) -> None:
    """The next process lands, once, what one process spooled and did not land."""
    first = Line(store)
    first.send(make_request(2).SerializeToString())
    first.land()
    first.send(make_request(3).SerializeToString())
    first.spool.close()
    store.close()
    reopened = Store.open(store.folder)
    try:
        second = Line(reopened)
        second.land()
        assert second.count() == 5
        second.spool.close()
    finally:
        reopened.close()


@pytest.mark.parametrize("same_batch", [True, False], ids=["same batch", "later batch"])
def test_retry_is_stored_once(line: Line, make_request: Callable[..., Any], same_batch: bool) -> None:
    """A request that a sender repeats adds no rows, also when only a part of it was there before."""
    first, second = make_request(3), make_request(1)
    line.send(first.SerializeToString())
    if not same_batch:
        line.land()
    first.MergeFrom(second)
    line.send(first.SerializeToString())
    line.land()
    assert line.count() == 4
    assert line.count("(SELECT DISTINCT trace_id, span_id FROM spans)") == 4
    assert line.lander.totals.duplicate_spans == 3


def test_retry_beside_poison_is_stored_once(line: Line, make_request: Callable[..., Any]) -> None:
    """Records that land singly, since a neighbour cannot be decoded, are stored once too."""
    body = make_request(3).SerializeToString()
    line.send(body)
    line.land()
    line.send(body, b"\x00poison", make_request(2).SerializeToString())
    line.land()
    assert line.count() == 5
    assert line.lander.totals.duplicate_spans == 3


BATCHES = pytest.mark.parametrize("same_batch", [True, False], ids=["same batch", "later batch"])


@BATCHES
def test_shared_id(line: Line, make_request: Callable[..., Any], same_batch: bool) -> None:
    """CLIENT and SERVER of one call that share their id are two spans; a retry of either is none."""
    ids = {"trace_id": bytes(range(16)), "span_id": bytes(range(8))}
    client = make_request(1, kind=3, service="front", **ids)
    server = make_request(1, kind=2, service="back", **ids)
    for request in (client, server, client, server):
        line.send(request.SerializeToString())
        if not same_batch:
            line.land()
    line.land()
    rows = line.store.read("SELECT span_kind, service_name FROM spans ORDER BY 1").to_pylist()
    assert [tuple(row.values()) for row in rows] == [("CLIENT", "front"), ("SERVER", "back")]
    assert (line.lander.totals.duplicate_spans, line.lander.replaced_spans) == (2, 0)


@BATCHES
@pytest.mark.parametrize("early_first", [True, False])
def test_sent_early_and_again(
    line: Line, make_request: Callable[..., Any], same_batch: bool, early_first: bool
) -> None:
    """Of a span that was sent before its end and again when it had ended, the ended one is kept."""
    start_ns = 1_790_000_000_000_000_000
    span = {"trace_id": bytes(range(16)), "span_id": bytes(range(8)), "name": "job"}
    early, late = (
        make_request(1, start_time_unix_nano=start_ns, end_time_unix_nano=start_ns + length, **span)
        for length in (0, 500)
    )
    late.resource_spans[0].scope_spans[0].spans[0].status.code = 2
    other = make_request(2)
    for request in (early, late) if early_first else (late, early):
        request.MergeFrom(other)
        line.send(request.SerializeToString())
        if not same_batch:
            line.land()
    line.land()
    query = "SELECT duration_ns, status_code FROM spans WHERE span_name = 'job'"
    assert line.store.read(query).to_pylist() == [{"duration_ns": 500, "status_code": "ERROR"}]
    assert line.count() == 3
    assert line.lander.replaced_spans == (1 if early_first else 0)
    assert line.lander.totals.duplicate_spans == (2 if early_first else 3)


def test_two_spans_of_one_id(line: Line, make_request: Callable[..., Any]) -> None:
    """A sender whose ids repeat loses nothing: spans that began at different times are different spans."""
    for _ in range(2):
        line.send(make_request(1, trace_id=bytes(range(16)), span_id=bytes(range(8))).SerializeToString())
    line.land()
    assert line.count() == 2


def test_retry_after_restart(store: Store, make_request: Callable[..., Any]) -> None:
    """A retry is recognised although the process that stored the first attempt is gone."""
    body = make_request(3).SerializeToString()
    first = Line(store)
    first.send(body)
    first.land()
    first.spool.close()
    second = Line(store)
    second.send(body)
    second.land()
    assert second.count() == 3
    second.spool.close()


def test_retry_of_sealed_spans(store: Store, make_request: Callable[..., Any]) -> None:
    """A retry is recognised although its spans were sealed and the process that stored them is gone."""
    body = make_request(3).SerializeToString()
    first = Line(store)
    first.send(body)
    first.land()
    first.spool.close()
    with store.transaction() as con:
        con.execute("CREATE TABLE sealed AS FROM spans_recent")
        con.execute("DELETE FROM spans_recent")
        con.execute("CREATE OR REPLACE VIEW spans AS FROM spans_recent UNION ALL BY NAME FROM sealed")
    second = Line(store)
    second.send(body)
    second.land()
    assert second.count() == 3
    assert second.lander.totals.duplicate_spans == 3
    second.spool.close()


@pytest.mark.parametrize(("window_spans", "known_batches"), [(4, 1), (80, 2), (400, 3)])
def test_start_knows_the_newest_batches(
    line: Line, make_request: Callable[..., Any], window_spans: int, known_batches: int
) -> None:
    """A new process knows whole batches from the newest on, up to a quarter of its window, and always one."""
    for _ in range(3):
        line.send(make_request(10).SerializeToString())
        line.land()
    with line.store.transaction() as con:
        recent = load_recent(con, window_spans)
        stored = con.sql("SELECT trace_id, span_id, span_kind FROM spans ORDER BY batch_id").to_arrow_table()
    known = recent.contains(span_keys(stored))
    assert known.tolist() == [False] * (30 - 10 * known_batches) + [True] * (10 * known_batches)


def test_poison_is_put_aside(
    line: Line, make_request: Callable[..., Any], quarantine: Callable[[], dict[str, bytes]]
) -> None:
    """A record that cannot be decoded is kept in a file and counted; all around it lands."""
    good = [make_request(1).SerializeToString() for _ in range(5)]
    line.send(*good[:2], b"\x00poison", *good[2:])
    line.send(b"what", signal=9)
    line.land()
    assert line.count() == 5
    assert line.lander.totals.quarantined_records == 2
    assert sorted(quarantine().values()) == [b"\x00poison", b"what"]
    assert line.spool.status()["bytes"] == 0


def flip_the_middle(segment: Path) -> bytes:
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    return bytes(content)


def test_flipped_bit_in_a_segment(
    store: Store, make_request: Callable[..., Any], quarantine: Callable[[], dict[str, bytes]]
) -> None:
    """A record that is damaged before a start is put aside byte for byte; those before and after it land."""
    bodies = [make_request(1).SerializeToString() for _ in range(3)]
    first = Line(store)
    first.send(*bodies)
    first.spool.close()
    (segment,) = (store.folder / "spool").iterdir()
    content = flip_the_middle(segment)
    line = Line(store)
    line.land()
    assert line.count() == 2
    (kept,) = quarantine().values()
    assert len(kept) == len(bodies[1]) + 13
    assert kept in content
    line.spool.close()


def test_flipped_bit_of_a_running_server(
    line: Line, make_request: Callable[..., Any], quarantine: Callable[[], dict[str, bytes]]
) -> None:
    """Records that are damaged between acknowledgement and landing land from memory, and the damage is
    noticed.
    """
    line.send(*(make_request(1).SerializeToString() for _ in range(3)))
    (segment,) = (line.store.folder / "spool").iterdir()
    flip_the_middle(segment)
    assert "written to by another program" in line.spool.fault()
    line.land()
    assert line.count() == 3
    assert not quarantine()


def test_signals_land_apart(line: Line, make_request: Callable[..., Any]) -> None:
    """Only batches with spans move the batch that detection waits for."""
    line.send(b"", signal=Signal.LOGS)
    line.land()
    assert line.store.wait_landed(0, 0) == 0
    line.send(make_request(1).SerializeToString())
    line.land()
    assert line.store.wait_landed(0, 0) == 2


def test_half_landed_is_not_landed_again(
    line: Line, make_request: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk fails after a part of a batch has landed, the next attempt goes on behind that part."""
    logs = [log_request(number) for number in range(4)]
    line.send(logs[0], b"\x00poison", *logs[1:], signal=Signal.LOGS)
    commit, attempts = line.lander.commit, []

    def failing_once(*arguments: Any, **options: Any) -> None:
        attempts.append(arguments)
        if len(attempts) == 2:
            raise duckdb.IOException("No space left on device")
        commit(*arguments, **options)

    monkeypatch.setattr(line.lander, "commit", failing_once)
    monkeypatch.setattr("collector.landing.land.RETRY_FIRST_S", 0.01)
    line.lander.start()
    while line.spool.status()["bytes"]:
        sleep(0.01)
    line.lander.stop(5)
    assert line.count("logs") == 4
    assert len(attempts) > 3


def log_request(number: int) -> bytes:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=number + 1)
    return request.SerializeToString()


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request of two spans, 140 bytes, is a piece of its own; several wait, so landing is behind."""
    monkeypatch.setattr("collector.landing.land.PIECE_BYTES_MAX", 200)
    monkeypatch.setattr("collector.landing.land.RETRY_FIRST_S", 0.01)


def land_in_the_background(line: Line) -> None:
    line.lander.start()
    while line.spool.status()["bytes"]:
        sleep(0.005)
    line.lander.stop(5)


@pytest.mark.usefixtures("small_pieces")
def test_backlog_shares_a_transaction(
    store: Store, make_request: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While landing is behind, pieces gather in one transaction, and the last of them is not waited for."""
    line = Line(store)
    bodies = [make_request(2).SerializeToString() for _ in range(20)]
    line.send(*bodies, bodies[3])
    insert, calls = Insertion.insert, []
    monkeypatch.setattr(Insertion, "insert", lambda *arguments: calls.append(insert(*arguments)))
    land_in_the_background(line)
    assert line.count() == 40
    assert line.count("(SELECT DISTINCT trace_id, span_id FROM spans)") == 40
    position, totals = read_position(store)
    assert len(calls) == 21
    assert (totals.batch_id, totals.spans, totals.duplicate_spans) == (2, 40, 2)
    assert position == line.lander.position
    line.spool.close()


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("fault", ["disk", "data"])
def test_fault_among_gathered_pieces(
    store: Store, make_request: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """When the disk, or what one record holds, undoes a transaction of many pieces, all of them still land,
    once each."""
    line = Line(store)
    bodies = [make_request(2).SerializeToString() for _ in range(8)]
    line.send(*bodies[:5], *([b"\x00poison"] if fault == "data" else []), *bodies[5:])
    insert, calls = Insertion.insert, []

    def failing_once(insertion: Insertion, tables: Any) -> None:
        insert(insertion, tables)
        calls.append(tables)
        if fault == "disk" and len(calls) == 4:
            raise duckdb.IOException("No space left on device")

    monkeypatch.setattr(Insertion, "insert", failing_once)
    land_in_the_background(line)
    assert line.count() == 16
    assert line.count("(SELECT DISTINCT trace_id, span_id FROM spans)") == 16
    assert line.lander.totals.quarantined_records == (fault == "data")
    assert len(calls) > 8  # some were inserted twice, of which the first time was undone
    line.spool.close()
