"""What happens to the files of a running server is never met with silence, and costs nothing acknowledged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.errors import DataFolderUnusable
from collector.store.store import Store
from collector.wal.segment import Position
from collector.wal.spool import Spool
from tests.benchmarks.folder_faults import Served, make_request, play

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    ("fault", "kill"),
    [
        ("delete-segments", True),
        ("cut-segment", False),
        ("delete-database", True),
        ("replace-database", False),
    ],
)
def test_fault_under_load(tmp_path: Path, fault: str, kill: bool) -> None:
    """Within seconds the server is not ready and refuses its senders; the next one has every acknowledged
    span, also when this one was killed."""
    result = play(fault, tmp_path / "data", kill=kill)
    assert result["noticed_s"] is not None, "the fault was not noticed"
    assert result["refuses"]
    assert (result["lost"], result["twice"], result["never_sent"]) == (0, 0, 0)
    assert "start the server again" in result["told"]
    assert result["acknowledged"] > 0


def test_moved_folder(tmp_path: Path) -> None:
    """A moved folder is reported with what to do, and all goes on when it is back."""
    result = play("move-folder", tmp_path / "data")
    assert result["told"].endswith("was moved or replaced: put it back")
    assert (result["noticed_s"] is not None, result["refuses"], result["ready_again"]) == (True, True, True)
    assert result["lost"] == 0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data")
    yield opened
    opened.close()


def test_each_fault_of_the_database(store: Store) -> None:
    """Moved, replaced, overwritten and cut database files have different messages; an untouched one is no
    fault.
    """
    path = store.files.path
    with store.transaction() as con:
        con.execute("CREATE TABLE t AS SELECT i, md5(i::VARCHAR) AS text FROM range(200_000) r(i)")
    store.checkpoint()
    assert store.files.fault() is None
    path.rename(path.with_name("moved"))
    fault = store.files.fault()
    assert fault is not None
    assert fault.moved_to == str(path.with_name("moved"))
    path.write_text("another")
    fault = store.files.fault()
    assert fault is not None
    assert "replaced by another file" in fault.reason
    path.with_name("moved").replace(path)
    assert store.files.fault() is None
    with path.open("r+b") as file:
        content = file.read(64)
        file.seek(0)
        file.write(bytes(64))
        file.flush()
        fault = store.files.fault()
        assert fault is not None
        assert "overwritten" in fault.reason
        assert not store.files.is_whole()
        file.seek(0)
        file.write(content)
    size_bytes = path.stat().st_size
    os.truncate(path, size_bytes // 2)
    fault = store.files.fault()
    assert fault is not None
    assert "was cut" in fault.reason
    os.truncate(path, size_bytes)


def test_reopened_database(tmp_path: Path) -> None:
    """A database that was opened again is watched by its new handle, whatever took the number of the old."""
    lower = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]
    store = Store.open(tmp_path / "data")
    for handle in lower:
        os.close(handle)
    store.reopen()  # takes one of their numbers
    others = [os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT) for _ in range(12)]
    fault, is_whole = store.files.fault(), store.files.is_whole()
    for handle in others:
        os.close(handle)
    store.close()
    assert fault is None
    assert is_whole


def serve(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`spyhop serve`, which is expected not to start."""
    command = [sys.executable, "-m", "spyhop", "serve", "--data", str(folder), *options]
    for name in ("otlp-grpc", "otlp-http", "api"):
        command += [f"--{name}", "127.0.0.1:0"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """The folder of a server that was killed before any checkpoint, and what it had acknowledged."""
    folder = tmp_path_factory.mktemp("killed") / "data"
    acknowledged: set[str] = set()
    with Served(folder) as served:
        for _ in range(5):
            ids, body = make_request()
            assert served.post(body) == 200
            acknowledged |= set(ids)
        assert served.wait(lambda _, checks: checks["landing"]["batch_id"] > 0, 20)
        served.end(kill=True)
    return folder, acknowledged


def copy_of(killed: tuple[Path, set[str]], tmp_path: Path) -> Path:
    return shutil.copytree(killed[0], tmp_path / "data")


def stored_after(folder: Path, **changes: object) -> set[str]:
    with Served(folder, **changes) as served:
        assert served.wait(lambda _, checks: checks["spool"]["bytes"] == 0, 20)
        stored = served.stored()
        served.end()
    assert len(stored) == len(set(stored))
    return set(stored)


def test_missing_database(killed: tuple[Path, set[str]], tmp_path: Path) -> None:
    """A spool without its database is refused with what to do; the option that it names lands the spool."""
    folder = copy_of(killed, tmp_path)
    (folder / "spyhop.duckdb").unlink()
    refused = serve(folder)
    assert refused.returncode == 1
    assert "spyhop.duckdb is missing" in refused.stderr
    assert "1 spool segment" in refused.stderr
    assert "--new-database" in refused.stderr
    assert not (folder / "spyhop.duckdb").exists()
    assert stored_after(folder, new_database=True) == killed[1]


def test_damaged_log(killed: tuple[Path, set[str]], tmp_path: Path) -> None:
    """The error of a damaged log beside the spool names the command that goes on, which loses nothing."""
    folder = copy_of(killed, tmp_path)
    log = folder / "spyhop.duckdb.wal"
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 4
    log.write_bytes(content)
    with pytest.raises(DataFolderUnusable, match="no acknowledged telemetry is lost") as caught:
        Store.open(folder)
    move = caught.value.hint.partition("(")[2].partition(")")[0]
    assert move.startswith("mv ")
    subprocess.run(move.split(), check=True)
    assert stored_after(folder) == killed[1]


@pytest.mark.parametrize("damage", ["delete", "cut", "junk"])
def test_log_that_duckdb_ignores(killed: tuple[Path, set[str]], tmp_path: Path, damage: str) -> None:
    """DuckDB opens without a word beside a log that is gone or cut: the spool has all that was in it."""
    folder = copy_of(killed, tmp_path)
    log = folder / "spyhop.duckdb.wal"
    if damage == "delete":
        log.unlink()
    elif damage == "cut":
        os.truncate(log, log.stat().st_size // 2)
    else:
        log.write_bytes(b"junk" * 100)
    assert stored_after(folder) == killed[1]


def test_damaged_database(killed: tuple[Path, set[str]], tmp_path: Path) -> None:
    """A damaged database file is named, and what is beside it untouched is counted."""
    folder = copy_of(killed, tmp_path)
    os.truncate(folder / "spyhop.duckdb", 13_000)
    with pytest.raises(
        DataFolderUnusable, match=r"spyhop\.duckdb.* damaged .*1 spool segment.*--new-database"
    ):
        Store.open(folder)


def test_missing_segments_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Segments that landing has not come to and that are gone at a start are named."""
    options = {"max_bytes": 10_000, "segment_bytes": 1, "torn_folder": tmp_path / "torn"}
    first = Spool(tmp_path / "spool", landed=Position(0, 0), **options)  # type: ignore[arg-type]
    for _ in range(4):
        first.append(1, b"payload").result(5)
    first.close()
    (tmp_path / "spool" / f"{2:016d}.log").unlink()
    second = Spool(tmp_path / "spool", landed=Position(1, 0), **options)  # type: ignore[arg-type]
    second.close()
    assert second.missing == [2]
    assert "segments 2 are gone" in caplog.text
