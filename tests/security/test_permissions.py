"""What Spyhop stores is for its own user alone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from collector.store.store import Store
from tests.benchmarks.folder_faults import Served, make_request

OTHERS = stat.S_IRWXG | stat.S_IRWXO
START = """
import os, sys
os.umask(int(sys.argv[1], 8))
exec(sys.argv[2])
"""


def open_to_others(folder: Path) -> list[str]:
    paths = [folder, *folder.rglob("*")]
    return [str(path) for path in paths if path.lstat().st_mode & OTHERS]


def test_new_folder(tmp_path: Path) -> None:
    """Whatever the umask, a served folder and all in it are closed to group and others, the lake too."""
    given = os.umask(0)
    try:
        served = Served(tmp_path / "data", seal_interval_s=0.3, seal_settle_min=0)
        ids, body = make_request()
        assert served.post(body) == 200
        assert served.wait(lambda _, checks: checks["lake"]["rows"] == len(ids), 30)
        paths = [path.name for path in (tmp_path / "data").rglob("*")]
        assert {"spyhop.duckdb", "spyhop.duckdb.wal", "owner.json", "spool", "lake"} <= set(paths)
        assert open_to_others(tmp_path / "data") == []
        served.end()
    finally:
        os.umask(given)


def test_wide_folder_is_closed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An existing folder with wider rights is tightened, and the log says so."""
    folder = tmp_path / "data"
    Store.open(folder).close()
    (folder / "spool").mkdir()
    (folder / "spool" / "0000000000000001.log").touch()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777)
    Store.open(folder).close()
    assert open_to_others(folder) == []
    assert "were open to other users" in caplog.text


def test_folder_of_others_keeps_its_rights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder that holds more than Spyhop's files stays as it is, and so do those; a warning says so."""
    tmp_path.chmod(0o755)
    other = tmp_path / "other"
    other.touch()
    other.chmod(0o644)
    Store.open(tmp_path).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert stat.S_IMODE(other.stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "spyhop.duckdb").stat().st_mode) == 0o600
    assert "holds files of others" in caplog.text


def test_shared_lake_keeps_the_umask(tmp_path: Path) -> None:
    """Files of a lake outside the folder are as readable as the user's umask allows, for other engines."""
    code = (
        "from pathlib import Path\n"
        "from collector.store.store import Store\n"
        "from collector.lake.listing import Listing\n"
        f"store = Store.open(Path({str(tmp_path / 'data')!r}), lake=Path({str(tmp_path / 'lake')!r}))\n"
        "Listing(store).publish()\n"
        "store.close()\n"
    )
    subprocess.run([sys.executable, "-c", START, "022", code], check=True)
    (listing,) = (tmp_path / "lake" / "_files").glob("*.parquet")
    assert stat.S_IMODE(listing.stat().st_mode) == 0o644
    assert stat.S_IMODE(listing.parent.stat().st_mode) == 0o755
    assert open_to_others(tmp_path / "data") == []


def test_umask_comes_back(tmp_path: Path) -> None:
    """After the store is closed the process makes files with its user's umask again."""
    code = (
        "from pathlib import Path\n"
        "from collector.store.store import Store\n"
        f"Store.open(Path({str(tmp_path / 'data')!r})).close()\n"
        f"Path({str(tmp_path / 'after')!r}).touch()\n"
    )
    subprocess.run([sys.executable, "-c", START, "027", code], check=True)
    assert stat.S_IMODE((tmp_path / "after").stat().st_mode) == 0o640
