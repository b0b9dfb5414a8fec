"""Late rows reach the lake too, and an hour of several files becomes one."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from collector.lake.compaction import FILES_PER_HOUR_MAX, files_to_compact
from collector.lake.moving import LakeFile
from collector.lake.retention import EXPIRED_KEEP_S

STRAGGLERS_WAIT_S = 3601
HOUR_S = 3600


def sizes(files: list[LakeFile]) -> list[int]:
    return [file.row_count for file in files]


def files_of(*row_counts: int) -> list[LakeFile]:
    return [LakeFile(f"file-{number}", count) for number, count in enumerate(sorted(row_counts))]


def test_late_rows_follow(lake: Any) -> None:
    """A few late spans of a sealed hour wait, then move to a further file; all are seen all the time."""
    ids = lake.land(3)
    lake.settle_and_seal()
    ids += lake.land(2)
    assert lake.settle_and_seal() == 0
    assert lake.ids() == sorted(ids)
    lake.pass_time(STRAGGLERS_WAIT_S)
    assert lake.ids("spans_recent") == []
    assert lake.ids() == sorted(ids)
    assert len(lake.listed()) == 2
    assert len({path.rpartition("/")[0] for path in lake.listed()}) == 1


def test_hour_becomes_one_file(lake: Any) -> None:
    """Files of an hour in which nothing comes any more are rewritten as one; the old ones go later."""
    ids = []
    for _ in range(3):
        ids += lake.land(20)
        lake.land_others()
        lake.pass_time(STRAGGLERS_WAIT_S)
    lake.pass_time(STRAGGLERS_WAIT_S)
    assert [path.partition("/")[0] for path in lake.listed()] == ["logs", "metrics", "traces"]
    assert lake.ids() == sorted(ids)
    assert lake.store.read("SELECT (SELECT count(*) FROM logs) AS l, (SELECT count(*) FROM metrics) AS m")[
        "l"
    ].to_pylist() == [3]
    assert len(lake.files()) > 3
    lake.now_ns += (EXPIRED_KEEP_S + 1) * 1_000_000_000
    lake.sealer.run_once()
    assert [path.relative_to(lake.store.lake).as_posix() for path in lake.files()] == lake.listed()
    assert lake.ids() == sorted(ids)


def test_compaction_changes_no_value(lake: Any) -> None:
    """Types and values survive a second writing, bytes inside events and links included."""
    lake.land(4)
    lake.settle_and_seal()
    lake.land(4)
    text = "SELECT COLUMNS(*)::VARIANT::VARCHAR FROM spans ORDER BY ALL"
    before = lake.store.read(text).to_pylist()
    lake.pass_time(STRAGGLERS_WAIT_S)
    lake.pass_time(STRAGGLERS_WAIT_S)
    assert len(lake.listed()) == 1
    assert lake.store.read(text).to_pylist() == before
    blob = "SELECT events[1].attributes['blob']::BLOB AS b, attributes['n']::BIGINT AS n FROM spans LIMIT 1"
    assert lake.store.read(blob).to_pylist() == [{"b": b"\x01\xfe", "n": 2**62}]


def test_readers_see_each_row_once(lake: Any) -> None:
    """While files are rewritten, every count that a reader takes is the whole."""
    for hour in range(6):
        lake.land(50, hours=hour)
    lake.settle_and_seal()
    for hour in range(6):
        lake.land(50, hours=hour)
    lake.sealer.run_once()
    counts: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            counts.append(lake.store.read("SELECT count(*) AS n FROM spans")["n"][0].as_py())

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(2):
            lake.now_ns += STRAGGLERS_WAIT_S * 1_000_000_000
            lake.sealer.run_once()
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert len(lake.listed()) == 6
    assert len(counts) > 2
    assert set(counts) == {600}


STEPS = [
    "collector.lake.moving.announce",
    "collector.lake.parquet.make_durable",
    "collector.lake.moving.write_file",
    "collector.lake.moving.settle",
    "collector.lake.moving.refresh_views",
]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("work", ["sealing", "compaction"])
def test_crash_at_any_step(
    lake: Any, monkeypatch: pytest.MonkeyPatch, step: str, when: str, work: str
) -> None:
    """Work that ends at any step has not happened; what it left on disk goes, and the next look does it."""
    ids = lake.land(5)
    if work == "compaction":
        lake.settle_and_seal()
        ids += lake.land(4)
        lake.pass_time(STRAGGLERS_WAIT_S)
        assert len(lake.listed()) == 2
    listed = lake.listed()
    module, _, name = step.rpartition(".")
    real = getattr(__import__(module, fromlist=[name]), name)

    def crash(*arguments: Any, **named: Any) -> None:
        if when == "after":
            real(*arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(step, crash)
        with pytest.raises(KeyboardInterrupt):
            lake.pass_time(HOUR_S + 1)
    assert lake.ids() == sorted(ids)
    assert lake.listed() == listed
    lake.reopen()
    assert lake.ids() == sorted(ids)
    lake.pass_time(HOUR_S + 1)
    lake.pass_time(EXPIRED_KEEP_S + 1)
    assert lake.ids() == sorted(ids)
    assert lake.ids("spans_recent") == []
    assert [path.relative_to(lake.store.lake).as_posix() for path in lake.files()] == lake.listed()
    assert len(lake.listed()) == 1


def test_quiet_hour_is_rewritten_whole() -> None:
    """All files of a quiet hour become one, as many as one may hold."""
    assert sizes(files_to_compact(files_of(9, 1000), quiet=True)) == [9, 1000]
    assert sizes(files_to_compact(files_of(1, 2, 3, 900), quiet=True, rows_max=100)) == [1, 2, 3]
    assert files_to_compact(files_of(60, 70), quiet=True, rows_max=100) == []


def test_growing_hour_is_rewritten_rarely() -> None:
    """An hour that still grows waits for many files, and then spares those that outweigh all smaller ones."""
    few = files_of(*[1] * (FILES_PER_HOUR_MAX - 1))
    assert files_to_compact(few, quiet=False) == []
    many = files_of(*[10] * FILES_PER_HOUR_MAX, 5000)
    assert sizes(files_to_compact(many, quiet=False)) == [10] * FILES_PER_HOUR_MAX


def test_each_row_is_rewritten_a_few_times() -> None:
    """Of an hour to which 1,000 files are added one by one, each row is written anew 7 times at most."""
    files: list[LakeFile] = []
    written = 0
    for _ in range(1000):
        files = files_of(*sizes(files), 10_000)
        chosen = files_to_compact(files, quiet=False, rows_max=10**9)
        if chosen:
            written += sum(sizes(chosen))
            files = files_of(*(file.row_count for file in files if file not in chosen), sum(sizes(chosen)))
    assert len(files) < 2 * FILES_PER_HOUR_MAX
    assert written <= 7 * 1000 * 10_000
