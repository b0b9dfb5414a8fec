from __future__ import annotations

from pathlib import Path

import pytest

from collector.errors import TooLarge
from collector.sql.query import Bounds, QueryRunner
from collector.sql.watch import SPILL_FOLDER, Spill
from collector.store.store import Store

# 40 M rows do not fit 128 MB: they are sorted in files.
SPILLS = "SELECT n FROM landing_position, range(40_000_000) r(n) ORDER BY hash(n)"


def test_spilling_ends_at_the_reserve(tmp_path: Path) -> None:
    """A query that spills is stopped when the disk's reserve is reached; one that does not spill goes on."""
    store = Store.open(tmp_path / "data", memory_limit="128MB")
    reached = Spill(store.folder, reserve_bytes=1 << 60)  # more than any disk has
    with QueryRunner(store, Bounds(timeout_s=60), spill=reached) as queries:
        with pytest.raises(TooLarge, match="queries may not fill the disk"):
            queries.run(SPILLS, limit_rows=10**9)
        for _ in range(3):
            assert queries.run("SELECT count(*) FROM spans", limit_rows=1).table.num_rows == 1
    store.close()


def test_what_is_spilled(tmp_path: Path) -> None:
    """The size counts DuckDB's temporary files, and the failure names both figures."""
    spill = Spill(tmp_path, reserve_bytes=1 << 60)
    assert spill.size_bytes() == 0
    (tmp_path / SPILL_FOLDER).mkdir()
    (tmp_path / SPILL_FOLDER / "block").write_bytes(b"four")
    assert spill.size_bytes() == 4
    assert "are kept in reserve" in spill.failure()
    assert Spill(tmp_path, reserve_bytes=0).failure() == ""
