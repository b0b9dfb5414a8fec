"""The listing of a collector's files, for other collectors and engines: `_files/<collector>.parquet` in the
lake names the files that hold a collector's rows now, each row once.

A listing is replaced as a whole. A file leaves it when a compacted file has its rows, or when its time is
over. The file then stays on disk for two more minutes, so that a reader of the listing can still open it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from collector.store.durable import partial_of
from collector.store.file_columns import NANOSECONDS, WRITTEN_FORMAT
from collector.store.lake import quoted, refresh_shared_views
from collector.store.sqlfile import load_sql
from collector.store.store import Store

LISTING_FOLDER = "_files"  # Spark, Hive and DuckDB's globs over `traces/**` ignore it

log = logging.getLogger(__name__)


class Listing:
    """Publishes this collector's files and reads those of the others, when either has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = store.lake / LISTING_FOLDER
        cursor = store.cursor()
        ((self.collector_id,),) = cursor.execute("SELECT collector_id FROM lake_identity").fetchall()
        cursor.close()
        self._published: object = None
        self._seen: Mapping[str, int] | None = None  # modification times of the others' listings

    def publish(self) -> None:
        """Write the own listing anew if the files have changed since it was written."""
        query = load_sql("collector.lake.queries", "lake_listing")
        files = self._store.read(query)
        if self._published is not None and files.equals(self._published):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        target = self._folder / f"{self.collector_id}.parquet"
        partial = partial_of(target)
        cursor = self._store.cursor()
        try:
            cursor.execute(f"COPY ({query}) TO {quoted(partial)} (FORMAT parquet)").fetchall()
        finally:
            cursor.close()
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(target)
        self._store.share(target)
        self._published = files

    def take_in(self) -> bool:
        """Show the files of the others in `all_spans`, `all_logs`, `all_metrics`; whether they changed."""
        listings = {
            path.stem: path.stat().st_mtime_ns
            for path in self._folder.glob("*.parquet")
            if path.stem != self.collector_id
        }
        if listings == self._seen:
            return False
        with self._store.view_transaction() as con:
            con.execute("DELETE FROM lake_foreign_files")
            for collector_id in sorted(listings):
                self._take_in_one(con, self._folder / f"{collector_id}.parquet")
            refresh_shared_views(con, self._store.lake)
        self._seen = listings
        return True

    def _take_in_one(self, con: duckdb.DuckDBPyConnection, path: Path) -> None:
        try:
            files = _listed_files(con, path)
        except duckdb.Error as error:  # a file of another collector: only its rows are missing here
            log.warning("%s cannot be read: %s", path, str(error).partition("\n")[0])
            return
        newer = pc.greater(files["file_format"], WRITTEN_FORMAT)
        if pc.any(newer).as_py():
            log.warning("%s lists files that a newer Spyhop wrote: their rows are missing here", path)
            files = files.filter(pc.invert(newer))
        con.register("listed", files)
        con.execute("INSERT INTO lake_foreign_files BY NAME FROM listed")
        con.unregister("listed")


def _listed_files(con: duckdb.DuckDBPyConnection, path: Path) -> pa.Table:
    described = con.sql(f"FROM read_parquet({quoted(path)})").columns
    is_stated = "file_format" in described
    query = load_sql("collector.lake.queries", "foreign_files").format(
        listing=quoted(path), file_format="file_format" if is_stated else NANOSECONDS
    )
    return con.sql(query).to_arrow_table()
