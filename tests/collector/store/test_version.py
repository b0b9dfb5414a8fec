from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from collector.errors import DataFolderUnusable
from collector.store.store import Store
from collector.store.version import SCHEMA_VERSION, STEPS, migrate, migration_scripts

NEXT = {**STEPS, SCHEMA_VERSION + 1: "sizes are bytes"}


@pytest.fixture
def old_folder(tmp_path: Path) -> Path:
    """A data folder as version 1 left it, with a landed batch."""
    store = Store.open(tmp_path)
    with store.transaction() as con:
        con.execute("DROP TABLE lake_files")
        con.execute("DROP TABLE lake_identity")
        con.execute("DROP VIEW feedback")
        con.execute("DROP TABLE feedback_events")
        con.execute("UPDATE schema_version SET version = 1, reason = ?", [STEPS[1]])
        con.execute("UPDATE landing_position SET batch_id = 7")
        for table in ("baseline_sketches", "baselines", "anomalies", "incidents"):
            con.execute(f"DROP TABLE {table}")
    store.close()
    return tmp_path


def versions(con: duckdb.DuckDBPyConnection) -> list[int]:
    return [row[0] for row in con.execute("SELECT version FROM schema_version ORDER BY 1").fetchall()]


def test_old_folder_is_brought_up(old_folder: Path) -> None:
    """A folder of version 1 opens with its rows, and records every step it took."""
    store = Store.open(old_folder)
    assert store.read("SELECT batch_id FROM landing_position")["batch_id"].to_pylist() == [7]
    assert store.read("SELECT count(*) AS n FROM lake_files")["n"].to_pylist() == [0]
    cursor = store.cursor()
    assert versions(cursor) == list(range(1, SCHEMA_VERSION + 1))
    cursor.close()
    store.close()


def test_old_feedback_is_the_first_revision(old_folder: Path) -> None:
    """Verdicts of a file that overwrote them are kept as each rater's first word."""
    con = duckdb.connect(str(old_folder / "spyhop.duckdb"))
    con.execute("CREATE TABLE feedback (feedback_id VARCHAR, explanation_id VARCHAR, created_at TIMESTAMP_NS,"
                "updated_at TIMESTAMP_NS, rater VARCHAR, rating VARCHAR, correction JSON, comment VARCHAR)"
    )  # fmt: skip
    con.execute(
        "INSERT INTO feedback VALUES ('f1', 'e1', '2026-01-01', '2026-01-02', 'ann', 'down', '{}', 'no')"
    )
    con.close()
    store = Store.open(old_folder)
    columns = "feedback_id, rater, rating, verdict, comment, revision, error_tags, epoch_ns(updated_at) AS at"
    assert store.read(f"SELECT {columns} FROM feedback").to_pylist() == [
        {"feedback_id": "f1", "rater": "ann", "rating": "down", "verdict": "wrong", "comment": "no",
         "revision": 1, "error_tags": [], "at": 1_767_312_000_000_000_000}
    ]  # fmt: skip
    store.close()


def test_stored_words_are_the_present_ones(tmp_path: Path) -> None:
    """The gap and exclusive of a version 5 file become message wait and self time."""
    store = Store.open(tmp_path)
    with store.transaction() as con:
        con.execute("ALTER TABLE baselines RENAME self_time_p50_ns TO exclusive_p50_ns")
        for measure, bucket in (("exclusive", 1), ("gap", 2), ("duration", 3)):
            con.execute(
                "INSERT INTO baseline_sketches VALUES (?, 'a', 'b', 'SERVER', '', 0, false, ?, 1)",
                [measure, bucket],
            )
        con.execute(
            "INSERT INTO incidents SELECT 'i', 'gap', 'open', 3, 't', t, t, t, t, 1, 1, 'x', [],"
            """ '[{"kind": "exclusive_time", "evidence": [{"kind": "gap", "text": "a gap"}]}]'"""
            " FROM (SELECT now()::TIMESTAMP::TIMESTAMP_NS AS t)"
        )
        con.execute("UPDATE schema_version SET version = 5, reason = ?", [STEPS[5]])
    store.close()
    store = Store.open(tmp_path)
    measures = store.read("SELECT measure FROM baseline_sketches ORDER BY bucket")["measure"].to_pylist()
    assert measures == ["self_time", "message_wait", "duration"]
    assert store.read("SELECT kind, root_causes::VARCHAR AS causes FROM incidents").to_pylist() == [
        {
            "kind": "message_wait",
            "causes": '[{"kind": "self_time", "evidence": [{"kind": "message_wait", "text": "a gap"}]}]',
        }
    ]
    assert store.read("SELECT self_time_p50_ns FROM baselines").num_rows == 0
    store.close()


def test_scripts_run_once(store: Store) -> None:
    """A step's script changes the table, and the next opening leaves it alone."""
    scripts = {SCHEMA_VERSION + 1: "ALTER TABLE lake_files RENAME size_bytes TO bytes; SELECT 1"}
    for _ in range(2):
        with store.transaction() as con:
            migrate(con, NEXT, scripts)
    assert store.read("SELECT sum(bytes) AS n FROM lake_files").num_rows == 1
    cursor = store.cursor()
    assert versions(cursor) == [SCHEMA_VERSION, SCHEMA_VERSION + 1]
    cursor.close()


def test_failed_step_changes_nothing(store: Store) -> None:
    """When a step fails, the file keeps its version and its tables; the error says so."""
    scripts = {SCHEMA_VERSION + 1: "ALTER TABLE lake_files RENAME size_bytes TO bytes; FROM gone"}

    def attempt() -> None:
        with store.transaction() as con:
            migrate(con, NEXT, scripts)

    with pytest.raises(DataFolderUnusable, match=r"cannot be brought to version \d+ .*gone.*nothing of it"):
        attempt()
    assert store.read("SELECT sum(size_bytes) AS n FROM lake_files").num_rows == 1
    cursor = store.cursor()
    assert versions(cursor) == [SCHEMA_VERSION]
    cursor.close()


def test_scripts_belong_to_steps() -> None:
    """Every migration file is of a step that is named."""
    assert set(migration_scripts()) <= set(STEPS)
