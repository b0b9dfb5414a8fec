"""The version of the database file: checked before anything else touches it."""

from __future__ import annotations

import duckdb

from collector.errors import DataFolderUnusable

# One line of why for each step. A step that changes tables gets a migration beside it.
STEPS: dict[int, str] = {
    1: "first layout: spans, logs, metrics, landing position",
}
SCHEMA_VERSION = max(STEPS)


def check_version(con: duckdb.DuckDBPyConnection) -> None:
    """Refuse a file of another version.

    Raises:
        DataFolderUnusable: the file was written by a newer or an older, no longer readable Spyhop.
    """
    (exists,) = con.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'schema_version'"
    ).fetchall()[0]
    if not exists:
        return
    (found,) = con.execute("SELECT max(version) FROM schema_version").fetchall()[0]
    if found is None or found == SCHEMA_VERSION:
        return
    age = "a newer" if found > SCHEMA_VERSION else "an older"
    raise DataFolderUnusable(
        f"the data folder has schema version {found}, written by {age} Spyhop;"
        f" this one reads {SCHEMA_VERSION}",
        hint="run the Spyhop that wrote it, or choose another folder with --data DIR",
        details={"found": found, "expected": SCHEMA_VERSION},
    )


def stamp_version(con: duckdb.DuckDBPyConnection) -> None:
    """Record the present version in a file that has none."""
    con.execute(
        "INSERT INTO schema_version SELECT ?, now()::TIMESTAMP::TIMESTAMP_NS, ?"
        " WHERE NOT EXISTS (FROM schema_version WHERE version = ?)",
        [SCHEMA_VERSION, STEPS[SCHEMA_VERSION], SCHEMA_VERSION],
    )
