from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from collector.errors import DataFolderInUse, DataFolderUnusable, Unavailable
from collector.store.lock import read_owner
from collector.store.opening import damaged
from collector.store.store import Store
from collector.store.version import OLDEST_VERSION, SCHEMA_VERSION
from tests.pace import patience_s, within_s


def test_second_owner_is_refused(store: Store) -> None:
    """A folder has one owner; the refusal names its pid, where it serves and what to do."""
    store.describe_owner({"api": "http://127.0.0.1:4320"})
    with pytest.raises(DataFolderInUse) as caught:
        Store.open(store.folder)
    text = str(caught.value)
    assert f"process {os.getpid()}, which serves http://127.0.0.1:4320" in text
    assert "--api http://127.0.0.1:4320" in text
    assert read_owner(store.folder)["pid"] == os.getpid()


def test_lock_dies_with_its_holder(tmp_path: Path) -> None:
    """A killed owner leaves a folder that opens at once."""
    code = (
        "import sys, pathlib, time; from collector.store.store import Store;"
        "s = Store.open(pathlib.Path(sys.argv[1])); print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(DataFolderInUse):
            Store.open(tmp_path)
        process.kill()
        process.wait()
    Store.open(tmp_path).close()


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    """A path that cannot be a folder is refused with what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFolderUnusable, match="choose another with --data DIR"):
        Store.open(tmp_path / "file")


def test_broken_database_file(tmp_path: Path) -> None:
    """A file that is no database is refused, and the lock is free again."""
    (tmp_path / "spyhop.duckdb").write_bytes(b"nonsense" * 1000)
    for _ in range(2):
        with pytest.raises(DataFolderUnusable, match="cannot be opened"):
            Store.open(tmp_path)


def test_full_disk_is_no_damage(tmp_path: Path) -> None:
    """Who starts on a full disk is asked to free some space, not to move the database away."""
    error = duckdb.TransactionException(
        'TransactionContext Error: Failed to commit: Could not write file "x.wal": No space left on device'
    )
    refusal = damaged(tmp_path / "spyhop.duckdb", error)
    assert "the disk is full" in str(refusal)
    assert "damaged" not in str(refusal)
    assert refusal.hint == "free some space and start again: what was acknowledged is there"


@pytest.mark.parametrize(
    ("version", "age"), [(SCHEMA_VERSION + 1, "a newer"), (OLDEST_VERSION - 1, "a much older")]
)
def test_other_schema_version(store: Store, version: int, age: str) -> None:
    """A file of another version is refused by name before anything in it is touched."""
    with store.transaction() as con:
        con.execute("UPDATE schema_version SET version = ?", [version])
    store.close()
    with pytest.raises(DataFolderUnusable, match=f"version {version}, written by {age} Spyhop"):
        Store.open(store.folder)


def test_reopening_keeps_all(store: Store) -> None:
    """The schema can be applied to a file that has it, and data stay."""
    with store.transaction() as con:
        con.execute("UPDATE landing_position SET traces_batch_id = 7")
    store.close()
    again = Store.open(store.folder)
    assert again.newest_traces_batch_id == 7
    assert again.read("SELECT count(*) AS n FROM schema_version")["n"][0].as_py() == 1
    again.close()


def test_transaction_rolls_back(store: Store) -> None:
    """A transaction whose block raises leaves no trace."""

    def fail_half_way() -> None:
        with store.transaction() as con:
            con.execute("UPDATE landing_position SET batch_id = 9")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert store.read("SELECT batch_id FROM landing_position")["batch_id"].to_pylist() == [0]


def test_wait_landed(store: Store) -> None:
    """Waiting ends at once for what has landed, at the announcement for what lands, and else in time."""
    assert store.wait_landed(0, 0.01) == 0
    timer = threading.Timer(0.05, store.announce_landed, [3])
    timer.start()
    with within_s(2):
        assert store.wait_landed(0, patience_s(5)) == 3
    assert store.wait_landed(2, 5) == 3


def test_many_readers_one_writer(store: Store) -> None:
    """Threads read while another writes, each on a cursor of its own."""
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(20):
                store.read("SELECT batch_id FROM landing_position")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(20):
        with store.transaction() as con:
            con.execute("UPDATE landing_position SET batch_id = ?", [number])
    for thread in threads:
        thread.join()
    assert failures == []


def test_closed_store_says_so(store: Store) -> None:
    """A closed store is unavailable, not broken; closing twice is harmless."""
    store.close()
    store.close()
    with pytest.raises(Unavailable):
        store.read("SELECT 1")


def test_change_tries_again_what_another_transaction_spoiled(store: Store) -> None:
    """A row that somebody else updates in between is written on the second try, on top of theirs."""
    tries = []

    def write(con: duckdb.DuckDBPyConnection) -> None:
        con.execute("SELECT batch_id FROM landing_position").fetchall()
        if not tries:
            with store.transaction() as other:
                other.execute("UPDATE landing_position SET batch_id = 1")
        tries.append(len(tries))
        con.execute("UPDATE landing_position SET batch_id = batch_id + 10")

    store.change(write)
    assert len(tries) == 2
    assert store.read("SELECT batch_id FROM landing_position")["batch_id"].to_pylist() == [11]


def test_change_gives_up_with_the_conflict(store: Store) -> None:
    """When the row is updated before every try, the caller gets DuckDB's error, and nothing was written."""

    def write(con: duckdb.DuckDBPyConnection) -> None:
        con.execute("SELECT batch_id FROM landing_position").fetchall()
        with store.transaction() as other:
            other.execute("UPDATE landing_position SET batch_id = batch_id + 1")
        con.execute("UPDATE landing_position SET batch_id = 0")

    with pytest.raises(duckdb.TransactionException):
        store.change(write)
    assert store.read("SELECT batch_id FROM landing_position")["batch_id"].to_pylist() == [5]
