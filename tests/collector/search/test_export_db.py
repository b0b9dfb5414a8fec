"""`spyhop export-db` on the small shop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
from typer.testing import CliRunner

import spyhop
from collector.cli import export_db
from collector.cli.shell import open_source
from collector.search.times import LAST_NS, Range

START_NS = 1_790_000_000_000_000_000


def test_command(shop: Any, tmp_path: Path) -> None:
    """The file holds the rows of the range with all nanoseconds, attributes as JSON, in the oldest format.
    One that exists is left alone."""
    out = tmp_path / "copy.duckdb"

    def run(*words: str) -> Any:
        return CliRunner().invoke(spyhop.app, ["export-db", *words, "--api", shop.addresses["api"]])

    result = run(str(out))
    assert result.exit_code == 0, result.output
    assert "10 spans, 0 logs, 0 metrics, 3 anomalies, 0 incidents" in result.stdout
    assert out.read_bytes()[12] == 64  # the version of DuckDB 1.0's format
    with duckdb.connect(str(out), read_only=True) as con:
        (row,) = con.execute(
            "SELECT epoch_ns(start_time), duration_ns, attributes->>'order.id', events->0->>'name'"
            " FROM spans WHERE span_name = 'charge' AND status_code = 'ERROR'"
        ).fetchall()
        assert row == (START_NS + 1_002_000_000, 33_333_333, "9007199254740993", "exception")
        assert con.execute("SELECT count(*) FROM logs").fetchall() == [(0,)]
    before = out.read_bytes()
    again = run(str(out))
    assert again.exit_code == 2
    assert "exists" in again.stderr
    assert out.read_bytes() == before
    part = tmp_path / "part.duckdb"
    assert (
        "4 spans" in run(str(part), "--start", "2026-09-21T14:13:21Z", "--end", "2026-09-21T14:13:22Z").stdout
    )
    assert [path.name for path in tmp_path.iterdir() if "unfinished" in path.name] == []


def test_pages(shop: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """Pages that do not fit in one answer are asked for in halves, and no row is lost or doubled."""
    monkeypatch.setattr(export_db, "_PAGE_ROWS", 1)
    pages: list[int] = []
    out = tmp_path / "pages.duckdb"
    with open_source(shop.addresses["api"], None) as source:
        counts = export_db.export_db(
            source, out, Range(0, LAST_NS), export_db.TABLES[:1], lambda _, rows: pages.append(rows)
        )
    assert counts == {"spans": 10}
    assert len(pages) > 4
    with duckdb.connect(str(out), read_only=True) as con:
        assert con.execute("SELECT count(*), count(DISTINCT span_id) FROM spans").fetchall() == [(10, 10)]
