"""Notices within a second what other programs do to the files of a running server.

Nothing is acknowledged that a restart would not find. What was acknowledged before is rescued from open
handles and memory; the server then stays not ready until a person has looked and started it again, since what
touched one file may touch the next. A folder that was moved, or cannot be written, is a fault while it lasts.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from time import sleep

import duckdb

from collector.errors import SpyhopError, Unavailable
from collector.lake.intact import LakeFiles
from collector.store.database_files import RESCUED_SUFFIX
from collector.store.store import Store
from collector.wal.spool import Spool

# A look takes 0.2 ms, of which the spool's 40 segments are most.
INTERVAL_S = 0.5
_BLAME_S = 0.2  # whoever ran the query says so a moment after the others have met its consequence
_FAILED = "not rescued yet"
_RESTART = "look for what did it, then start the server again"

log = logging.getLogger(__name__)


class FolderWatch:
    """A thread that looks twice a second."""

    name = "folder"

    def __init__(
        self,
        store: Store,
        spool: Spool,
        *,
        on_stopped: Callable[[str], None] = lambda reason: None,
        interval_s: float = INTERVAL_S,
    ) -> None:
        """
        Args:
            on_stopped: called, once, with the reason for which DuckDB works no more.
        """
        self._store = store
        self._spool = spool
        self._lake = LakeFiles(store)
        self._on_stopped = on_stopped
        self._interval_s = interval_s
        self._folders = [_Folder(store.folder), _Folder(spool.folder)]
        self._passing = ""  # ends by itself
        self._lasting: dict[str, str] = {}  # part → what happened to it
        self._outcomes: dict[str, str] = {}  # part → what became of its content
        self._lake_failure = ""
        self._stopped = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="folder-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        self._stopping.set()
        self._thread.join(timeout_s)
        for folder in self._folders:
            folder.close()

    def status(self) -> dict[str, object]:
        """`failure`: what was done to which file, what became of its content, and what to do."""
        parts = [self._stopped, self._passing]
        for part, reason in list(self._lasting.items()):
            outcome = self._outcomes.get(part, "")
            parts.append(", ".join(filter(None, (reason, outcome))) + f": {_RESTART}")
        parts.append(self._lake_failure)
        return {"failure": "; ".join(filter(None, parts))}

    def look(self) -> None:
        """One round of checks, refusals and rescues."""
        self._check_database_works()
        self._passing = self._passing_fault()
        if not self._passing:
            self._find_lasting_faults()
        lasting = next(iter(self._lasting.values()), "")
        self._store.refuse(self._passing or self._lasting.get("database", ""))
        self._spool.refuse(self._passing or lasting)
        if not self._passing:
            self._rescue()
            self._lake_failure = self._lake.fault()

    def _loop(self) -> None:
        while not self._stopping.wait(self._interval_s):
            try:
                self.look()
            except Exception:  # the watch goes on: the next look may succeed
                if not self._stopping.is_set():
                    log.exception("the folder cannot be watched; trying again")

    def _check_database_works(self) -> None:
        """A FATAL error anywhere leaves a database that refuses everything."""
        if self._stopped:
            return
        try:
            self._store.read("SELECT 1")
        except duckdb.FatalException as error:
            if self._open_again():
                return
            self._stopped = f"DuckDB has stopped ({_original(error)})"
            self._spool.refuse(self._stopped)
            log.critical("%s", self._stopped)
            self._on_stopped(self._stopped)
        except (duckdb.Error, Unavailable):
            return

    def _open_again(self) -> bool:
        """Whether the database is open again, which it is only after a query made DuckDB close it."""
        sleep(_BLAME_S)
        if not self._store.closed_by_query:
            return False
        log.error(
            "a query made DuckDB close the database (%s); opening it again", self._store.closed_by_query
        )
        try:
            self._store.reopen()
        except duckdb.Error:
            log.exception("the database cannot be opened again")
            return False
        self._store.closed_by_query = ""
        return True

    def _passing_fault(self) -> str:
        for folder in self._folders:
            if folder.was_deleted():
                self._lasting.setdefault("folder", f"the folder {folder.path} was deleted")
                folder.make_again()
            if reason := folder.fault():
                return reason
        fault = self._store.files.fault()
        if fault is not None and fault.moved_to and "database" not in self._lasting:
            return f"{fault.reason}: move it back to {self._store.files.path}"
        if fault is None and not os.access(self._store.files.path, os.W_OK):
            return f"{self._store.files.path} cannot be written: change its permissions"
        return ""

    def _find_lasting_faults(self) -> None:
        database = self._store.files.fault()
        found = {
            "database": database.reason if database is not None and not database.moved_to else "",
            "log": self._confirmed_log_fault(),
            "spool": self._spool.fault(),
            "owner": self._store.owner_fault(),
        }
        self._passing = self._passing_fault()  # it may have begun meanwhile, and be what was found
        if self._passing:
            return
        for part, reason in found.items():
            if reason and part not in self._lasting:
                log.error("%s", reason)
                self._lasting[part] = reason
            elif reason and part == "spool":  # further segments
                self._outcomes.pop(part, None)

    def _confirmed_log_fault(self) -> str:
        """A checkpoint, too, deletes the log, and for a moment has it open without a name."""
        for _ in range(3):
            fault = self._store.files.log_fault()
            if not fault:
                break
            self._stopping.wait(0.05)
        return fault

    def _rescue(self) -> None:
        for part, rescue in (
            ("database", self._rescue_database),
            ("log", self._rescue_log),
            ("spool", self._spool.rescue),
        ):
            if part in self._lasting and self._needs_rescue(part):
                try:
                    outcome = rescue()
                except (OSError, duckdb.Error, SpyhopError) as error:
                    outcome = f"{_FAILED} ({str(error).partition(chr(10))[0]})"
                if self._outcomes.get(part) != outcome:
                    log.error("%s: %s", self._lasting[part], outcome)
                self._outcomes[part] = outcome

    def _needs_rescue(self, part: str) -> bool:
        outcome = self._outcomes.get(part)
        return outcome is None or outcome.startswith(_FAILED)

    def _rescue_log(self) -> str:
        if "database" in self._lasting:
            return "its content goes with the database"
        self._store.checkpoint()
        return "nothing is lost, since a checkpoint has brought all into the database"

    def _rescue_database(self) -> str:
        """Everything up to now, as a file of its own."""
        path, files = self._store.files.path, self._store.files
        if not files.is_whole():
            return (
                "its content cannot be rescued; the spool holds what was acknowledged since the last"
                " checkpoint, and the lake's files are untouched. Restore it from a backup"
            )
        if not self._store.wait_for_writers():
            return f"{_FAILED} (a transaction does not end)"
        self._store.checkpoint()
        rescued = path.with_name(path.name + RESCUED_SUFFIX)
        files.copy_to(rescued)
        _check_copy(rescued)
        if path.exists():
            return f"a whole copy of it is {rescued}: put that in its place when the server is stopped"
        rescued.replace(path)
        return "nothing is lost, since a whole copy of it stands in its place"


class _Folder:
    """One folder, known by an open handle."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def was_deleted(self) -> bool:
        return os.fstat(self._handle).st_nlink == 0 and not self.path.exists()

    def make_again(self) -> None:
        """For what is rescued."""
        self.path.mkdir(mode=0o700, parents=True)
        self.close()
        self._handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def fault(self) -> str:
        try:
            is_there = os.path.samestat(os.stat(self.path), os.fstat(self._handle))
        except OSError:
            is_there = False
        if not is_there:
            return f"the folder {self.path} was moved or replaced: put it back"
        if not os.access(self.path, os.W_OK | os.X_OK):
            return f"the folder {self.path} cannot be written: change its permissions"
        return ""

    def close(self) -> None:
        os.close(self._handle)


def _check_copy(path: Path) -> None:
    with duckdb.connect(str(path), read_only=True) as con:
        con.execute("SELECT count(*) FROM landing_position").fetchall()


def _original(error: duckdb.Error) -> str:
    """DuckDB repeats the first error in each later one."""
    text = str(error)
    _, _, original = text.partition('Original error: "')
    return (original or text).partition("\n")[0].rstrip('"')
