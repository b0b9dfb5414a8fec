"""The DuckDB file of a data folder, and the only way in this process to reach it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

import duckdb
import pyarrow as pa

from collector.errors import Unavailable
from collector.store.database_files import DATABASE_FILE_NAME, DatabaseFiles, Sizes
from collector.store.hot import open_files, remove_unfinished, set_aside
from collector.store.lake import quoted, refresh_views
from collector.store.lock import FolderLock
from collector.store.memory import check_memory_limit, size_bytes
from collector.store.opening import Config, damaged, open_file, refuse_foreign_database
from collector.store.place import LakeClaim, locate_lake
from collector.store.rights import UMASK, close_to_others, share
from collector.store.version import is_stamped, migrate, stamp_version

log = logging.getLogger(__name__)
Written = TypeVar("Written")

# A checkpoint rewrites the last row group whole. Measured, CPU a span, 25k-span transactions: 10.3 µs at
# DuckDB's 16 MiB, 7.1 at 64 MiB, 7.0 at 256 MiB. A larger log would only make the start after a kill slower.
CHECKPOINT_WAL_SIZE = "64MiB"
_WRITERS_TIMEOUT_S = 10.0
_CHANGE_PAUSES_S = (0.01, 0.02, 0.04, 0.08)  # before another try to update rows that somebody else updates
REOPEN_TIMEOUT_S = 20.0  # statements under way fail at once; what cannot be interrupted may last
_REOPEN_PAUSE_S = 0.1


class Store:
    """One open database. Every call takes a cursor of its own, so all methods are safe in any thread."""

    def __init__(
        self,
        folder: Path,
        lake: Path,
        lock: FolderLock,
        claim: LakeClaim,
        root: duckdb.DuckDBPyConnection,
        *,
        memory_limit: str,
    ) -> None:
        self.folder = folder
        self.lake = lake  # where sealed rows are; other collectors may write there too
        self._folder_lock, self._lake_claim = lock, claim
        self._root = root
        self._memory_limit = memory_limit
        self.closed_by_query = ""  # why DuckDB closed the database while it ran somebody's query
        self._root_guard = threading.Lock()  # `.cursor()` on one connection from two threads is not safe
        self._landed = threading.Condition()
        self._closed = False
        self._views = threading.Lock()
        self._writers = threading.Condition()
        self._writer_count = 0
        self._refusal = ""
        self._failed_count = 0
        self.files = self._watched_files()
        self._newest_traces_batch_id: int = root.execute(
            "SELECT traces_batch_id FROM landing_position"
        ).fetchall()[0][0]

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        lake: Path | None = None,
        memory_limit: str = "",
        new_database: bool = False,
    ) -> Store:
        """Lock `folder`, open its database and bring the schema to the present version.

        Args:
            lake: folder of the Parquet files; None for the one of last time, or at first `lake` in `folder`.
            memory_limit: DuckDB's, e.g. `2GB`; empty for DuckDB's own default (80% of the machine).
            new_database: make one even where a spool or a lake of an earlier one is left.

        Raises:
            InvalidInput: the memory limit cannot be read, or is less than what works.
            DataFolderInUse: another process owns the folder, or its part of the lake.
            DataFolderUnusable: it cannot be written, or holds something this version cannot read, or its
                database is missing or damaged, or the lake lacks the files of this database.
        """
        check_memory_limit(memory_limit)
        folder = folder.expanduser().absolute()
        UMASK.begin()
        try:
            return cls._open(folder, lake, memory_limit, new_database)
        except BaseException:
            UMASK.end()
            raise

    @classmethod
    def _open(cls, folder: Path, lake: Path | None, memory_limit: str, new_database: bool) -> Store:
        lock = FolderLock(folder)
        try:
            close_to_others(folder)
            root, lake_folder, claim = _connect(folder, lake, memory_limit, new_database)
        except BaseException:
            lock.release()
            raise
        return cls(folder, lake_folder, lock, claim, root, memory_limit=memory_limit)

    def read(self, sql: str, params: Sequence[object] | Mapping[str, object] | None = None) -> pa.Table:
        """Run one trusted query. VARIANT columns come as binary structs: cast to JSON in the query."""
        cursor = self.cursor()
        try:
            relation = cursor.sql(sql, params=params)
            if relation is None:
                raise ValueError("Store.read takes a query that returns rows")
            return relation.to_arrow_table()
        finally:
            cursor.close()

    def memory_limit_bytes(self) -> int:
        """What DuckDB may take for its buffers; it holds more outside of them."""
        (text,) = self.read("SELECT current_setting('memory_limit') AS text")["text"].to_pylist()
        return size_bytes(text)

    def sizes(self) -> Sizes:
        """How large DuckDB believes its file and its log to be; 1 ms."""
        query = "SELECT block_size, total_blocks, used_blocks, wal_size FROM pragma_database_size()"
        (row,) = self.read(query).to_pylist()
        return Sizes(row["block_size"], row["total_blocks"], row["used_blocks"], size_bytes(row["wal_size"]))

    def checkpoint(self) -> None:
        """Bring everything committed into the database file."""
        cursor = self.cursor()
        try:
            cursor.execute("CHECKPOINT").fetchall()
        finally:
            cursor.close()

    def remove_unfinished_hot_files(self) -> None:
        """Files of landings that failed, once nobody can be writing them."""
        cursor = self.cursor()
        try:
            remove_unfinished(cursor, self.folder)
        finally:
            cursor.close()

    def refuse(self, reason: str) -> None:
        """From now on no transaction begins, with `reason`; an empty one ends that."""
        with self._writers:
            self._refusal = reason

    def wait_for_writers(self) -> bool:
        """Block until no transaction is under way; False when one lasts too long. After `refuse`."""
        with self._writers:
            return self._writers.wait_for(lambda: self._writer_count == 0, _WRITERS_TIMEOUT_S)

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection inside BEGIN … COMMIT; rolled back when the block raises."""
        with self._writers:
            if self._refusal:
                raise Unavailable(f"nothing is written ({self._refusal})")
            self._writer_count += 1
        try:
            cursor = self.cursor()
            try:
                cursor.execute("BEGIN TRANSACTION")
                try:
                    yield cursor
                except BaseException:
                    cursor.execute("ROLLBACK")
                    raise
                cursor.execute("COMMIT")
            finally:
                cursor.close()
        except BaseException:
            self._failed_count += 1
            raise
        finally:
            with self._writers:
                self._writer_count -= 1
                self._writers.notify_all()

    @contextmanager
    def view_transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The same for whoever makes views anew: two at once would be refused by DuckDB."""
        with self._views, self.transaction() as con:
            yield con

    def change(self, write: Callable[[duckdb.DuckDBPyConnection], Written]) -> Written:
        """Run `write` in a transaction, and again while another transaction updates the same rows.

        Raises:
            duckdb.TransactionException: they were still being updated at the last try.
        """
        for pause_s in _CHANGE_PAUSES_S:
            try:
                with self.transaction() as con:
                    return write(con)
            except duckdb.TransactionException:
                sleep(pause_s)
        with self.transaction() as con:
            return write(con)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A new connection to the same database; the caller closes it."""
        with self._root_guard:
            if self._closed:
                raise Unavailable("the store is closed", hint="the server is shutting down")
            return self._root.cursor()

    def _watched_files(self) -> DatabaseFiles:
        return DatabaseFiles(self.folder / DATABASE_FILE_NAME, self.sizes, lambda: self._failed_count)

    def reopen(self, timeout_s: float = REOPEN_TIMEOUT_S) -> None:
        """Open the database anew after DuckDB has closed it: what was committed is there, all else failed.

        Raises:
            duckdb.Error: it cannot be opened, or is still in use after `timeout_s`.
        """
        deadline_s = monotonic() + timeout_s
        with self._root_guard:
            while not self._closed:
                try:
                    self._root.close()
                    # While one cursor of the old database is open, this is the old database.
                    self._root = _open(self.folder, self.lake, self._memory_limit)
                    self._root.execute("SELECT 1").fetchall()
                    self.files = self._watched_files()  # DuckDB's handle is another now
                    return
                except duckdb.Error:
                    if monotonic() > deadline_s:
                        raise
                    sleep(_REOPEN_PAUSE_S)

    @property
    def newest_traces_batch_id(self) -> int:
        """The newest landed batch that holds spans; 0 before the first."""
        with self._landed:
            return self._newest_traces_batch_id

    def announce_landed(self, traces_batch_id: int) -> None:
        """Wake everyone in `wait_landed`; called by landing after its commit."""
        with self._landed:
            self._newest_traces_batch_id = max(self._newest_traces_batch_id, traces_batch_id)
            self._landed.notify_all()

    def wait_landed(self, after_batch_id: int, timeout_s: float) -> int:
        """Block until a traces batch newer than `after_batch_id` has landed, or the time is over.

        Returns:
            The newest landed traces batch id; not above `after_batch_id` when the time ran out.
        """
        deadline_s = monotonic() + timeout_s
        with self._landed:
            while self._newest_traces_batch_id <= after_batch_id and not self._closed:
                remaining_s = deadline_s - monotonic()
                if remaining_s <= 0:
                    break
                self._landed.wait(remaining_s)
            return self._newest_traces_batch_id

    def describe_owner(self, addresses: Mapping[str, str]) -> None:
        """Write for other processes where this folder is served, e.g. `{"api": "http://127.0.0.1:4320"}`."""
        self._folder_lock.describe(addresses)

    def share(self, path: Path) -> None:
        """Let others read a finished lake file, as the user's umask allows, if the lake lies outside the data
        folder: it is for other engines then."""
        share(path, self.lake, self.folder)

    def owner_fault(self) -> str:
        """What happened to the file that keeps other processes out; empty when nothing did."""
        return self._folder_lock.fault()

    def close(self) -> None:
        """Checkpoint, close and unlock. Cursors still open elsewhere keep the file until they close."""
        with self._root_guard:
            if self._closed:
                return
            self._closed = True
        with self._landed:
            self._landed.notify_all()
        try:
            self._root.close()
        except duckdb.Error as error:  # a query that cannot be interrupted: the file is whole all the same
            log.warning("the database is closed while it is in use (%s)", error)
        finally:
            self._lake_claim.release()
            self._folder_lock.release()
            UMASK.end()


def schema_texts() -> list[str]:
    """Every file of `collector/store/schema`, in the order of their names."""
    folder = resources.files("collector.store").joinpath("schema")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [f.read_text(encoding="utf-8") for f in files]


def _connect(
    folder: Path, given_lake: Path | None, memory_limit: str, new_database: bool
) -> tuple[duckdb.DuckDBPyConnection, Path, LakeClaim]:
    root = open_file(folder, _config(memory_limit), new_database=new_database)
    try:
        _prepare_session(root)
        is_new = not is_stamped(root)
        if is_new and not new_database:
            refuse_foreign_database(root, folder)
        root.execute("BEGIN TRANSACTION")
        migrate(root)
        for text in schema_texts():
            root.execute(text)
        lake = locate_lake(root, folder, given_lake)
        if is_new:
            set_aside(folder)
        open_files(root, folder)
        refresh_views(root, lake)
        stamp_version(root)
        root.execute("COMMIT")
        if is_new:  # the file alone, without its log, is then a database that landing can begin with
            root.execute("CHECKPOINT")
        ((collector_id,),) = root.execute("SELECT collector_id FROM lake_identity").fetchall()
        _confine(root, folder, lake)
        claim = LakeClaim(lake, collector_id)
    except duckdb.Error as error:
        root.close()
        raise damaged(folder / DATABASE_FILE_NAME, error) from error
    except BaseException:
        root.close()
        raise
    return root, lake, claim


def _open(folder: Path, lake: Path, memory_limit: str) -> duckdb.DuckDBPyConnection:
    """A database that this process has had open already."""
    root = open_file(folder, _config(memory_limit), new_database=False)
    try:
        _prepare_session(root)
        _confine(root, folder, lake)
    except BaseException:
        root.close()
        raise
    return root


def _config(memory_limit: str) -> Config:
    config: Config = {
        "python_enable_replacements": False,  # SQL must not see Python variables
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "checkpoint_threshold": CHECKPOINT_WAL_SIZE,
        # Full row groups are compressed and written at once instead of five together: with 410k spans in a
        # transaction 490 MB instead of 700, at the same CPU.
        "write_buffer_row_group_count": 1,
        # What queries have freed goes back within a second. Without it nine heavy ones in turn left
        # 2.8 GB: each took its 768 MiB anew.
        "allocator_background_threads": True,
    }
    if memory_limit:
        config["memory_limit"] = memory_limit
    return config


def _prepare_session(root: duckdb.DuckDBPyConnection) -> None:
    # Half of a short query over the lake is reading footers. A file that has changed is read again.
    root.execute("SET GLOBAL parquet_metadata_cache = true")
    root.execute("SET GLOBAL TimeZone = 'UTC'")  # what is stored is UTC, wherever the machine stands


def _confine(root: duckdb.DuckDBPyConnection, folder: Path, lake: Path) -> None:
    allowed = ", ".join(map(quoted, (folder, lake)))
    root.execute(f"SET allowed_directories = [{allowed}]")
    # Neither can be undone while the database is open: no query of anyone leaves the two folders.
    root.execute("SET enable_external_access = false")
    root.execute("SET lock_configuration = true")
