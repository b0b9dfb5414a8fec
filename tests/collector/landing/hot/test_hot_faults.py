"""Landings of hot files that fail, and what they leave."""

from __future__ import annotations

from typing import Any

import pytest

from collector.decode.process import Decoder
from collector.lake.intact import LakeFiles
from collector.landing.land import Lander
from collector.signals import Signal
from collector.store import hot
from tests.collector.landing.hot.line import Line, crash
from tests.pace import patience_s


def testcrash_before_the_transaction(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that no transaction has listed is in no view, is removed at the next start, and its rows land
    once."""
    with monkeypatch.context() as patch:
        patch.setattr("collector.landing.insert.load_sql", crash)  # of the position
        with pytest.raises(OSError, match="crash"):
            line.land(line.request(5))
    files = list((line.store.folder / "hot" / "spans").glob("*.parquet"))
    assert len(files) == 1
    assert line.places() == {}
    line.reopen()
    assert not files[0].exists()
    line.land()
    assert line.places() == {"hot": 5}


def test_rolled_back_attempts_leave_one_file(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a landing is rolled back, its next attempt removes the file of the last one."""
    monkeypatch.setattr("collector.landing.insert.load_sql", crash)  # of the position
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
        patch.setattr("collector.store.shredded_files.mark_variants", crash)
        with pytest.raises(OSError, match="crash"):
            line.lander.land_available(shred=True)
    assert list((line.store.folder / "hot" / "spans").iterdir()) == []
    line.land()
    assert line.places() == {"hot": 5}


def test_files_beyond_acrash_are_set_aside(line: Line) -> None:
    """What landed after the database was copied is in no spool: a start with the copy does not delete it."""
    line.land(line.request(5))
    (file,) = (line.store.folder / "hot" / "spans").iterdir()
    for name in ("000000000002-crash.parquet", "000000000003-later.parquet", "foreign.parquet"):
        (file.parent / name).write_bytes(file.read_bytes())
    line.reopen()
    assert list(file.parent.iterdir()) == [file]
    kept = {path.name for path in (line.store.folder / "quarantine").glob("hot-*/*")}
    assert kept == {"000000000003-later.parquet", "foreign.parquet"}
    assert line.places() == {"hot": 5}


def test_slow_landing_does_not_wait_for_views(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hot files a landing does not queue with whoever makes views anew."""
    monkeypatch.setattr(line.store, "view_transaction", crash)
    line.land(line.request(3), fast=False)
    assert line.places() == {"table": 3}


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


def test_missing_file_is_named(line: Line) -> None:
    """A hot file that somebody deletes is reported as one, with its path and what to do, until it is back."""
    line.land(line.request(5))
    line.sealer.run_once()
    line.land(line.request(5, first=101, hours=1))
    (hot_file,) = line.store.folder.glob("hot/*/000000000002-*.parquet")
    (lake_file,) = line.store.lake.glob("*/date=*/hour=*/*.parquet")
    watched = LakeFiles(line.store, clock_s=iter(range(0, 90, 10)).__next__)
    assert watched.fault() == ""
    aside = hot_file.rename(hot_file.with_suffix(".aside"))
    told = watched.fault()
    assert told.startswith(f"the hot file (rows that are not in the lake yet) {hot_file} is gone")
    assert "Put it back, or start the server again" in told
    aside.rename(hot_file)
    lake_file.write_bytes(b"")
    assert watched.fault().startswith(f"the lake file {lake_file} has 0 bytes instead of ")
