from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange_ref.errors import FolderUnusable
from exchange_ref.services.api.backends import Sqlite
from exchange_ref.services.api.database import Database
from exchange_ref.services.api.statements import (
    INSERT_WALLETS,
    SELECT_ORDERS,
    SELECT_WALLETS,
    STATEMENTS,
    UPDATE_WALLETS,
)
from tests.pace import check


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(Sqlite(tmp_path / "exchange.db"))
    yield opened
    opened.close()


def balance(rows: list[tuple[object, ...]]) -> tuple[object, ...]:
    (row,) = rows
    return row


def test_an_older_version_never_overwrites_a_newer(database: Database) -> None:
    """Updates that arrive out of order leave the newest balance."""

    async def scenario() -> tuple[object, ...]:
        await database.write((INSERT_WALLETS, [("ann", "USD")]))
        for available, version in ((200, 2), (100, 1)):
            await database.write((UPDATE_WALLETS, [(available, 0, version, "ann", "USD", version)]))
        return balance(await database.read(SELECT_WALLETS, ("ann",)))

    assert asyncio.run(scenario()) == ("USD", 200, 0)


def test_a_failed_write_changes_nothing(database: Database) -> None:
    """When one step of a transaction fails, its other steps are undone and the next write works."""

    async def scenario() -> list[tuple[object, ...]]:
        with pytest.raises(sqlite3.Error):
            await database.write((INSERT_WALLETS, [("ann", "USD")]), (UPDATE_WALLETS, [("too", "few")]))
        before = await database.read(SELECT_WALLETS, ("ann",))
        await database.write((INSERT_WALLETS, [("ann", "BTC")]))
        return before + await database.read(SELECT_WALLETS, ("ann",))

    assert asyncio.run(scenario()) == [("BTC", 0, 0)]


def test_slow_reads_run_side_by_side(database: Database) -> None:
    """Ten reads that each stall 100 ms inside the engine take far less than a second together."""

    def stall(_: str):
        pending = [0.1]

        def inside() -> int:
            if pending:
                time.sleep(pending.pop())
            return 0

        return inside

    async def scenario() -> float:
        database.progress_hook = stall
        started = time.perf_counter()
        await asyncio.gather(*(database.read(SELECT_WALLETS, ("ann",)) for _ in range(10)))
        return time.perf_counter() - started

    tried_s = [asyncio.run(scenario()) for _ in range(3)]  # a machine that stalls makes one of them longer
    assert min(tried_s) >= 0.1
    check(min(tried_s), 0.6)


def test_every_statement_is_a_span_name() -> None:
    """A statement's text begins with the operation its span is named after, and names its table."""
    for name, statement in STATEMENTS.items():
        assert name == f"{statement.operation} {statement.table}"
        assert statement.sql.startswith(statement.operation)
        assert statement.table in statement.sql


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """The error names the file and the way out."""
    path = tmp_path / "exchange.db"
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(FolderUnusable, match=r"exchange\.db.*--data"):
        Database(Sqlite(path))


def test_a_database_of_an_earlier_version_gets_its_columns(tmp_path: Path) -> None:
    """Orders from before there was a time in force read as what they were, at each start."""
    path = tmp_path / "exchange.db"
    old = sqlite3.connect(path)
    old.execute(
        "CREATE TABLE orders (order_id TEXT PRIMARY KEY, user_id TEXT NOT NULL,"
        " client_order_id TEXT NOT NULL, pair TEXT NOT NULL, side TEXT NOT NULL, type TEXT NOT NULL,"
        " price_ticks INTEGER NOT NULL,"
        " quantity_lots INTEGER NOT NULL, filled_lots INTEGER NOT NULL DEFAULT 0, status TEXT NOT NULL,"
        " created_unix_nano INTEGER NOT NULL, UNIQUE (user_id, client_order_id)) STRICT, WITHOUT ROWID"
    )
    old.execute(
        "INSERT INTO orders VALUES ('1', 'ann', 'c', 'BTC/USD', 'BUY', 'LIMIT', 5, 7, 7, 'FILLED', 1)"
    )
    old.commit()
    old.close()
    for _ in range(2):
        opened = Database(Sqlite(path))
        ((*_, kind, ends, paid, stop, triggered),) = asyncio.run(opened.read(SELECT_ORDERS, ("1",)))
        opened.close()
        assert (kind, ends, paid, stop, triggered) == ("GTD", 30_000_000_001, 0, 0, 0)
