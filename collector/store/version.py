"""Checks the version of the database file before anything else touches it, and upgrades the file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

import duckdb

from collector.errors import DataFolderUnusable

# One line of why for each step. A step that changes tables has `migrations/NNN.sql`; new tables need none,
# since `schema/` makes what is missing.
STEPS: dict[int, str] = {
    1: "first layout: spans, logs, metrics, landing position",
    2: "the Parquet lake: lake_files, lake_identity",
    3: "a lake outside the data folder, which several collectors share: lake_folder, paths within the lake",
    4: "rows with rare attribute keys in …_packed, which an older Spyhop would neither show nor seal",
    5: "feedback is append-only: feedback_events, and the view feedback with the latest word",
    6: "one word for one thing: self_time and message_wait instead of exclusive and gap",
    7: "lake files with times in microseconds, which other engines read: file_format",
    8: "hot files of spans, which an older Spyhop would not show: hot_files",
    9: "hot files of logs, which an older Spyhop could not seal",
}
SCHEMA_VERSION = max(STEPS)
OLDEST_VERSION = 1  # files older than that are refused


def migrate(
    con: duckdb.DuckDBPyConnection,
    steps: Mapping[int, str] = STEPS,
    scripts: Mapping[int, str] | None = None,
) -> None:
    """Take every step between the file's version and the present one, inside the caller's transaction.

    Args:
        scripts: the SQL of the steps that have some; the files of `migrations/` when None.

    Raises:
        DataFolderUnusable: the file was written by a newer Spyhop, or one too old, or a step fails on it.
    """
    found, present = _found_version(con), max(steps)
    if found is None or found == present:
        return
    if found > present or found < OLDEST_VERSION:
        age = "a newer" if found > present else "a much older"
        raise DataFolderUnusable(
            f"the data folder has schema version {found}, written by {age} Spyhop;"
            f" this one reads {OLDEST_VERSION} to {present}",
            hint="run the Spyhop that wrote it, or choose another folder with --data DIR",
            details={"found": found, "expected": present},
        )
    scripts = migration_scripts() if scripts is None else scripts
    for version in range(found + 1, present + 1):
        try:
            con.execute(scripts.get(version, ""))
        except duckdb.Error as error:
            raise DataFolderUnusable(
                f"the data folder of schema version {found} cannot be brought to version {version}"
                f" ({str(error).splitlines()[0]}); nothing of it was changed",
                hint="choose another folder with --data DIR, and report this",
            ) from error
        _stamp(con, version, steps[version])


def stamp_version(con: duckdb.DuckDBPyConnection) -> None:
    """Record the present version in a file that has none."""
    if _found_version(con) is None:
        _stamp(con, SCHEMA_VERSION, STEPS[SCHEMA_VERSION])


def is_stamped(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether a Spyhop has written this file before."""
    return _found_version(con) is not None


def migration_scripts() -> dict[int, str]:
    """`{version: SQL}` from `migrations/NNN.sql`."""
    folder = resources.files("collector.store").joinpath("migrations")
    if not folder.is_dir():
        return {}
    return {
        int(file.name.removesuffix(".sql")): file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }


def _found_version(con: duckdb.DuckDBPyConnection) -> int | None:
    (exists,) = con.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'schema_version'"
    ).fetchall()[0]
    if not exists:
        return None
    found: int | None = con.execute("SELECT max(version) FROM schema_version").fetchall()[0][0]
    return found


def _stamp(con: duckdb.DuckDBPyConnection, version: int, reason: str) -> None:
    con.execute("INSERT INTO schema_version SELECT ?, now()::TIMESTAMP::TIMESTAMP_NS, ?", [version, reason])
