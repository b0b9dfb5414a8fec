from __future__ import annotations

import resource
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from collector.errors import TooLarge
from collector.sql.brake import Brake
from collector.sql.query import Bounds, QueryRunner
from collector.sql.sandbox import IsGone, Reply
from collector.sql.watch import read_resident_bytes
from collector.store.store import Store
from tests.pace import patience_s

MIB = 1024 * 1024
MAY_TAKE = 100 * MIB


class Trusting:
    """Lets every query run in the server."""

    def warm_up(self) -> None: ...

    def close(self) -> None: ...

    def ask(self, request: Mapping[str, Any], timeout_s: float, is_gone: IsGone = None) -> Reply:
        return {"sql": request["query"], "names": ["x"], "types": ["BIGINT"]}, None


@contextmanager
def highest_growth() -> Iterator[list[int]]:
    """By how many bytes the process has grown at most in the block."""
    before, highest, done = read_resident_bytes(), [0], threading.Event()

    def look() -> None:
        while not done.wait(0.01):
            highest[0] = max(highest[0], read_resident_bytes() - before)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield highest
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize(
    "value",
    ["length(repeat('abcdefgh' || range, 1_000_000))", "len(range(1_000_000 + range))"],
    ids=["of many texts", "of one list that doubles"],
)
def test_a_step_that_takes_all_memory(tmp_path: Path, value: str) -> None:
    """4 GB within one step, which no interrupt ends, are refused to it: the process keeps its size."""
    store = Store.open(tmp_path / "data")
    usual = resource.getrlimit(resource.RLIMIT_DATA)
    bounds = Bounds(timeout_s=60, memory_bytes=MAY_TAKE)
    with QueryRunner(store, bounds, checker=Trusting()) as queries:
        with highest_growth() as highest, pytest.raises(TooLarge):
            queries.run(f"SELECT max({value}) AS x FROM range(512)", limit_rows=1)
        assert highest[0] < 20 * MAY_TAKE
        deadline_s = monotonic() + patience_s(10)
        while resource.getrlimit(resource.RLIMIT_DATA) != usual:
            assert monotonic() < deadline_s, "the process keeps the limit of a query that has ended"
            sleep(0.01)
        assert queries.run("SELECT 1::BIGINT AS x", limit_rows=1).table.num_rows == 1
    store.close()


def test_limits_come_back() -> None:
    """The brake gives back the limits that it found, and a brake without a limit changes none."""
    usual = resource.getrlimit(resource.RLIMIT_DATA)
    brake = Brake(MAY_TAKE)
    brake.loosen()
    loose, _ = resource.getrlimit(resource.RLIMIT_DATA)
    brake.pull()
    tight, _ = resource.getrlimit(resource.RLIMIT_DATA)
    brake.release()
    assert resource.getrlimit(resource.RLIMIT_DATA) == usual
    assert 0 < tight < loose
    Brake(0).loosen()
    assert resource.getrlimit(resource.RLIMIT_DATA) == usual
