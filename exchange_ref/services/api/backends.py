"""The two databases that the API's statements run on: SQLite in the data folder, or PostgreSQL by URL.

Statements are written once, as SQLite takes them. PostgreSQL gets them with its own placeholders.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from exchange_ref.errors import FolderUnusable, InvalidUse
from exchange_ref.services.api.statements import SCHEMA_SQL, UPGRADES_SQL

if TYPE_CHECKING:
    import psycopg

POSTGRES_SCHEMES: Final = ("postgresql", "postgres")
CONNECT_TIMEOUT_S: Final = 5
# Statements whose text differs by more than placeholders.
_POSTGRES_WORDS: Final = (
    ("json_each(?1)", "json_array_elements_text(CAST(?1 AS json))"),
    (" STRICT, WITHOUT ROWID", ""),
    (" STRICT", ""),
    (" INTEGER", " BIGINT"),
)


class Backend(Protocol):
    """`errors` are those of the database; `begin` opens a transaction that writes, `lock` keeps other writers
    out once it is open."""

    system: str
    attributes: dict[str, str | int]
    errors: tuple[type[Exception], ...]
    begin: str
    lock: str

    def connect(self) -> Any:
        """A new connection without a transaction. Any thread may use it, one at a time."""

    def prepare(self, connection: Any) -> None:
        """Make the tables, or add what older ones lack."""

    def text(self, sql: str) -> str:
        """A statement as it is sent."""

    def usable(self, connection: Any) -> bool:
        """Whether the connection still works, as far as is known."""

    def run(self, connection: Any, run: Callable[[], Any], callback: Callable[[], int] | None) -> Any:
        """`run` a statement, with a callback inside it (SQLite), or before it."""


class Sqlite:
    system = "sqlite"
    errors: tuple[type[Exception], ...] = (sqlite3.Error,)
    begin = "BEGIN IMMEDIATE"
    lock = "UPDATE wallets SET version = version"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.attributes: dict[str, str | int] = {}

    def connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5.0)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def prepare(self, connection: sqlite3.Connection) -> None:
        connection.executescript(SCHEMA_SQL)
        columns = {row[1] for row in connection.execute("PRAGMA table_info(orders)")}
        for column, upgrade in UPGRADES_SQL.items():
            if column not in columns:  # all of it or nothing
                connection.executescript(f"BEGIN IMMEDIATE;\n{upgrade}\nCOMMIT;")

    def text(self, sql: str) -> str:
        return sql

    def usable(self, connection: sqlite3.Connection) -> bool:
        return True

    def run(
        self, connection: sqlite3.Connection, run: Callable[[], Any], callback: Callable[[], int] | None
    ) -> Any:
        if callback is None:
            return run()
        connection.set_progress_handler(callback, 1)
        try:
            return run()
        finally:
            connection.set_progress_handler(None, 1)

    def unusable(self, error: Exception) -> Exception:
        return FolderUnusable(f"cannot open the database {self.path}: {error}; choose another --data folder")


class Postgres:
    system = "postgresql"
    begin = "BEGIN"
    lock = "LOCK TABLE wallets, orders IN EXCLUSIVE MODE"

    def __init__(self, url: str) -> None:
        import psycopg  # noqa: PLC0415 - only who uses it waits for it

        self._url = url
        self._psycopg = psycopg
        self.errors: tuple[type[Exception], ...] = (psycopg.Error,)
        parts = urlsplit(url)
        try:
            port = parts.port or 5432
        except ValueError as error:
            raise InvalidUse(f"--database has no port that can be: {error}; write HOST:5432") from None
        self.attributes: dict[str, str | int] = {
            "server.address": parts.hostname or "localhost",
            "server.port": port,
        }

    def connect(self) -> psycopg.Connection:
        return self._psycopg.connect(self._url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)

    def prepare(self, connection: psycopg.Connection) -> None:
        connection.execute(self.text(SCHEMA_SQL).encode())

    def text(self, sql: str) -> str:
        return _for_postgres(sql)

    def usable(self, connection: psycopg.Connection) -> bool:
        return not connection.closed

    def run(
        self, connection: psycopg.Connection, run: Callable[[], Any], callback: Callable[[], int] | None
    ) -> Any:
        if callback is not None:
            callback()
        return run()

    def unusable(self, error: Exception) -> Exception:
        where = ":".join(str(part) for part in self.attributes.values())
        said = " ".join(str(error).split())
        return InvalidUse(f"cannot use PostgreSQL at {where}: {said}; check --database")


def open_backend(url: str, path: Path) -> Sqlite | Postgres:
    """
    Args:
        url: empty for SQLite in the file `path`.

    Raises:
        InvalidUse: neither.
    """
    if not url:
        return Sqlite(path)
    scheme = url.partition("://")[0]
    if scheme not in POSTGRES_SCHEMES:
        raise InvalidUse(
            f"--database begins with {scheme[:20]!r}; write postgresql://USER@HOST:PORT/NAME, "
            "or nothing for SQLite"
        )
    return Postgres(url)


def parameters_of(sql: str, parameters: Sequence[Any]) -> Any:
    """Parameters as a translated statement takes them: by number where it numbers them."""
    if "%(p1)s" not in sql:
        return parameters
    return {f"p{number}": value for number, value in enumerate(parameters, start=1)}


@cache
def _for_postgres(sql: str) -> str:
    """
    >>> _for_postgres("SELECT a FROM t WHERE b = ?1 OR c = ?1"), _for_postgres("INSERT INTO t VALUES (?, ?)")
    ('SELECT a FROM t WHERE b = %(p1)s OR c = %(p1)s', 'INSERT INTO t VALUES (%s, %s)')
    """
    for word, other in _POSTGRES_WORDS:
        sql = sql.replace(word, other)
    return re.sub(r"\?(\d*)", lambda found: f"%(p{found[1]})s" if found[1] else "%s", sql)
