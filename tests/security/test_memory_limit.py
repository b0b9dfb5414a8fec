"""Too little memory and a checkpoint without room end in a clear line, not in a server that cannot land."""

from __future__ import annotations

import resource
from pathlib import Path
from time import monotonic, sleep

import pytest

from collector.errors import InvalidInput
from collector.store.memory import check_memory_limit
from collector.store.store import Store
from tests.benchmarks.folder_faults import Served, make_request
from tests.pace import patience_s


@pytest.mark.parametrize("limit", ["60MB", "1KB", "100MiB"])
def test_too_little(tmp_path: Path, limit: str) -> None:
    """A limit below what works is refused with the least that does, before anything is made."""
    with pytest.raises(InvalidInput, match=r"less than DuckDB needs.*at least 128MB"):
        Store.open(tmp_path / "data", memory_limit=limit)
    assert not (tmp_path / "data").exists()


def test_no_size() -> None:
    """Texts that are no size are refused with an example."""
    with pytest.raises(InvalidInput, match="give one such as 2GB"):
        check_memory_limit("plenty")


@pytest.mark.parametrize("limit", ["128MB", "2GB", "50%", ""])
def test_enough(limit: str) -> None:
    """Sizes and shares that suffice are taken, the least one included."""
    check_memory_limit(limit)


def test_fatal_checkpoint(tmp_path: Path) -> None:
    """A checkpoint without room ends the process with the reason and code 1; the next one has all spans."""
    folder = tmp_path / "data"
    served = Served(folder)
    acknowledged: set[str] = set()

    def send() -> bool:
        ids, body = make_request()
        if served.post(body) != 200:
            return False
        acknowledged.update(ids)
        return True

    assert send()
    assert served.wait(lambda _, checks: checks["landing"]["batch_id"] > 0, 20)
    for _ in range(40):
        assert send()
    assert served.wait(lambda _, checks: checks["spool"]["bytes"] == 0, 20)
    # From now on no file can grow beyond this size: the log is there already, the database must grow.
    limit_bytes = (folder / "spyhop.duckdb").stat().st_size
    resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    # A deleted log asks for a checkpoint at once.
    (folder / "spyhop.duckdb.wal").unlink()
    deadline_s = monotonic() + patience_s(20)
    while served.process.poll() is None and monotonic() < deadline_s:
        sleep(0.05)
    served.end()
    assert served.process.returncode == 1
    assert "DuckDB has stopped" in served.log()
    assert "File too large" in served.log()
    assert "nothing acknowledged is lost" in served.log()
    again = Served(folder)
    assert again.wait(lambda _, checks: checks["spool"]["bytes"] == 0, 20)
    stored = again.stored()
    again.end()
    assert len(stored) == len(set(stored))
    assert set(stored) == acknowledged
