"""Small hot files that become larger ones."""

from __future__ import annotations

from time import monotonic, sleep

import pytest

from collector.errors import Unavailable
from collector.lake.sealer import Policy, Sealer
from tests.collector.landing.hot.line import Line, crash
from tests.pace import patience_s


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


def test_failed_join_holds_up_nothing(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """While small files cannot be joined, which is reported, hours are sealed all the same."""
    monkeypatch.setattr("collector.lake.sealer.small_files", crash)
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
