"""Finds a store's lake, and prevents a copy of the store from writing into it at the same time."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

import duckdb

from collector.errors import DataFolderInUse, DataFolderUnusable
from collector.store.lake import LAKE_FOLDER

CLAIM_FOLDER = "_files"  # beside the listing of the same collector

log = logging.getLogger(__name__)


class LakeClaim:
    """An exclusive `flock` on `_files/<collector>.lock` in the lake.

    Two data folders never share an id, unless one is a copy of the other: the two would then delete each
    other's files when these are over."""

    def __init__(self, lake: Path, collector_id: str) -> None:
        """
        Raises:
            DataFolderInUse: another process writes under this id.
            DataFolderUnusable: the lake cannot be written.
        """
        path = lake / CLAIM_FOLDER / f"{collector_id}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise DataFolderUnusable(
                f"the lake {lake} cannot be written ({error.strerror or error})",
                hint="choose another with --lake DIR or SPYHOP_LAKE, or change its permissions",
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            raise DataFolderInUse(
                f"a copy of this data folder is being served with the same lake, {lake}",
                hint="stop that server, or give the copy a copy of the lake with --lake DIR",
            ) from error
        except OSError as error:  # some network file systems have no locks
            log.warning("%s cannot be locked (%s): nothing prevents a copy from writing there", path, error)

    def release(self) -> None:
        os.close(self._file)


def locate_lake(con: duckdb.DuckDBPyConnection, folder: Path, given: Path | None) -> Path:
    """The lake of the store in `folder`: the one given, or the one of last time, or `lake` in the folder.

    Raises:
        DataFolderUnusable: rows were sealed, and none of their files is there.
    """
    ((stored,),) = con.execute("SELECT lake_folder FROM lake_identity").fetchall()
    inside = folder / LAKE_FOLDER
    lake = given.expanduser().absolute() if given else Path(stored) if stored else inside
    _check_files(con, lake)
    remembered = None if lake == inside else str(lake)
    if remembered != stored:
        con.execute("UPDATE lake_identity SET lake_folder = ?", [remembered])
    return lake


def _check_files(con: duckdb.DuckDBPyConnection, lake: Path) -> None:
    """Refuse a lake that is not mounted or has moved, and take deleted files out of the views: a query of a
    missing file fails."""
    listed = dict(con.execute("SELECT path, expired_at IS NULL FROM lake_files").fetchall())
    missing = [path for path in listed if not (lake / path).exists()]
    lost = [path for path in missing if listed[path]]  # the rest: a crash came after their deletion
    if lost and len(lost) == sum(listed.values()):
        raise DataFolderUnusable(
            f"the lake {lake} holds none of the {len(lost)} files that the database lists",
            hint="mount it, or say with --lake DIR or SPYHOP_LAKE where it is now",
            details={"lake": str(lake), "missing": lost[:10]},
        )
    if lost:
        log.error("%d files are gone from the lake, and their rows with them, e.g. %s", len(lost), lost[0])
    con.execute("DELETE FROM lake_files WHERE path IN (FROM unnest(?::VARCHAR[]))", [missing])
