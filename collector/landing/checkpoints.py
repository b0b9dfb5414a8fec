"""Deletes landed spool segments once a checkpoint has brought their rows into the database file.

Until then only DuckDB's log holds the rows. If that log is deleted, cut or damaged, the database returns to
its last checkpoint. The spool position is in the same transaction, so it returns as well: landing then
repeats the records that the spool has kept, and nothing acknowledged is lost.
"""

from __future__ import annotations

import logging

import duckdb

from collector.store.store import Store
from collector.wal.segment import Position
from collector.wal.spool import Spool

# DuckDB checkpoints by itself when its log has 64 MiB. Large landings bypass the log and go straight to the
# file: this bound then triggers a checkpoint.
KEPT_MAX_BYTES = 256 * 1024 * 1024

log = logging.getLogger(__name__)


class Checkpoints:
    """For the landing thread, after each of its commits."""

    def __init__(
        self, store: Store, spool: Spool, landed: Position, *, kept_max_bytes: int = KEPT_MAX_BYTES
    ) -> None:
        """
        Args:
            landed: the position the store has opened with.
            kept_max_bytes: landed segments beyond which a checkpoint is made for their sake.
        """
        self._store = store
        self._spool = spool
        self._kept_max_bytes = kept_max_bytes
        self._count = store.files.checkpoint_count()
        self._noted = landed
        if store.sizes().log_bytes == 0:  # nothing is in the log
            self._discard(landed)

    def landed(self, position: Position) -> None:
        """Everything before `position` is committed."""
        count = self._store.files.checkpoint_count()
        if count > self._count:  # a checkpoint since the last commit: the rows of that commit are in the file
            self._discard(self._noted)
        self._count, self._noted = count, position
        if self._spool.kept_bytes() > self._kept_max_bytes:
            self._force(position)

    def _force(self, position: Position) -> None:
        try:
            self._store.checkpoint()
        except duckdb.Error as error:
            log.warning("no checkpoint, the spool keeps what has landed: %s", str(error).partition("\n")[0])
            return
        self._discard(position)

    def _discard(self, position: Position) -> None:
        if self._store.files.fault() is None:  # else the rows are in a file that no restart will find
            self._spool.discard(position)
