from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from collector.errors import Unavailable
from collector.wal.segment import Position, Record
from collector.wal.spool import Spool
from tests.pace import patience_s

START = Position(0, 0)


@pytest.fixture
def open_spool(tmp_path: Path) -> Iterator[Callable[..., Spool]]:
    opened: list[Spool] = []

    def make(**changes: Any) -> Spool:
        arguments: dict[str, Any] = {"landed": START, "max_bytes": 10_000, "segment_bytes": 200}
        spool = Spool(tmp_path / "spool", torn_folder=tmp_path / "torn", **{**arguments, **changes})
        opened.append(spool)
        return spool

    yield make
    for spool in opened:
        spool.close()


def contents(spool: Spool, position: Position = START) -> list[bytes]:
    records, _ = spool.read(position, 1_000_000)
    return [record.payload for record in records if isinstance(record, Record)]


def test_durable_then_readable(open_spool: Callable[..., Spool]) -> None:
    """Confirmed records can be read in the order of appending, over several segments."""
    spool = open_spool()
    sent = [b"%03d" % number * 20 for number in range(12)]
    for payload in sent:
        spool.append(1, payload).result(5)
    assert contents(spool) == sent


def test_survives_reopening(open_spool: Callable[..., Spool]) -> None:
    """A new process reads what an earlier one had made durable, and writes behind it."""
    first = open_spool()
    first.append(1, b"before").result(5)
    first.close()
    second = open_spool()
    second.append(1, b"after").result(5)
    assert contents(second) == [b"before", b"after"]
    assert second.status()["bytes"] == 2 * 13 + len(b"before" + b"after")


def test_torn_tail_is_cut_and_kept(open_spool: Callable[..., Spool], tmp_path: Path) -> None:
    """Half a record at the end of the last segment is moved aside and never read."""
    first = open_spool()
    first.append(1, b"whole").result(5)
    first.close()
    (segment,) = (tmp_path / "spool").iterdir()
    size_bytes = segment.stat().st_size
    with segment.open("ab") as file:
        file.write(b"\xf5sph torn")
    second = open_spool()
    assert contents(second) == [b"whole"]
    assert segment.stat().st_size == size_bytes
    assert [path.read_bytes() for path in (tmp_path / "torn").iterdir()] == [b"\xf5sph torn"]


def test_full_spool_refuses_and_recovers(open_spool: Callable[..., Spool]) -> None:
    """A full spool asks to retry, and takes records again as soon as some have landed."""
    spool = open_spool(max_bytes=300)
    spool.append(1, b"x" * 200).result(5)
    with pytest.raises(Unavailable, match="full"):
        spool.append(1, b"x" * 200)
    records, end = spool.read(START, 1_000)
    spool.release(end, len(records))
    assert spool.status() == {"bytes": 0, "records": 0, "max_bytes": 300, "failure": ""}
    spool.append(1, b"x" * 200).result(5)


def test_checkpointed_segments_are_deleted(open_spool: Callable[..., Spool], tmp_path: Path) -> None:
    """Landed records make room at once, and their files go when a checkpoint holds their rows."""
    spool = open_spool()
    position = START
    for number in range(30):
        spool.append(1, b"%02d" % number * 50).result(5)
        records, position = spool.read(position, 1_000_000)
        assert len(records) == 1
        spool.release(position, 1)
        assert spool.status()["bytes"] == 0
    assert len(list((tmp_path / "spool").iterdir())) == 15
    assert spool.kept_bytes() == 14 * 2 * (13 + 100)
    spool.discard(Position(8, 0))
    assert [int(path.stem) for path in sorted((tmp_path / "spool").iterdir())] == [*range(8, 16)]
    spool.discard(position)
    assert spool.kept_bytes() == 0
    assert len(list((tmp_path / "spool").iterdir())) == 1


def test_small_reads_reach_the_end(open_spool: Callable[..., Spool]) -> None:
    """Reading a few bytes at a time returns every record once, also those larger than the read."""
    spool = open_spool(segment_bytes=100)
    sent = [b"%02d" % number * (number * 7 % 50) for number in range(1, 25)]
    for payload in sent:
        spool.append(2, payload).result(5)
    position, found = START, []
    while True:
        records, position = spool.read(position, 40)
        if not records:
            break
        found += [record.payload for record in records if isinstance(record, Record)]
    assert found == sent


def test_failed_write_is_told_and_leaves_no_trace(
    open_spool: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk refuses, the sender hears it, the record is not kept, and the next one succeeds."""
    spool = open_spool()
    spool.append(1, b"first").result(5)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", full)
        with pytest.raises(Unavailable, match="No space left"):
            spool.append(1, b"lost").result(5)
        assert spool.status()["failure"] == "No space left on device"
    spool.append(1, b"second").result(5)
    assert contents(spool) == [b"first", b"second"]
    assert spool.status()["failure"] == ""


def test_failure_ends_without_a_sender(
    open_spool: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the disk works again the spool says so, although nobody has dared to send."""
    spool = open_spool()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", full)
        with pytest.raises(Unavailable):
            spool.append(1, b"lost").result(5)
    deadline_s = monotonic() + patience_s(5)
    while spool.status()["failure"]:
        assert monotonic() < deadline_s
        sleep(0.02)


def test_uncut_segment_is_left(open_spool: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a failed write cannot be cut away, the next record begins a segment; nothing is read amiss."""
    spool = open_spool()
    spool.append(1, b"first").result(5)

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", refuse)
        patch.setattr("os.ftruncate", refuse)
        with pytest.raises(Unavailable):
            spool.append(1, b"lost").result(5)
    spool.append(1, b"second").result(5)
    assert contents(spool) == [b"first", b"second"]
