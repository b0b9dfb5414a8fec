from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import typer
from typer.testing import CliRunner

from collector.commands import register
from collector.errors import DataFolderInUse, DataFolderUnusable, InvalidInput, RefusedQuery
from collector.store.store import Store


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    made = typer.Typer()
    register(made)
    made.callback()(lambda: None)  # keeps `sql` a subcommand although it is the only one
    return made


def run(app: typer.Typer, *arguments: object, text: str | None = None) -> str:
    result = CliRunner().invoke(app, ["sql", *map(str, arguments)], input=text)
    if result.exception is not None:
        raise result.exception
    return result.output


QUERY = "SELECT range AS n, 'x' || range AS name, make_timestamp_ns(range) AS t FROM range(2)"


def test_table(app: typer.Typer, shared: Any) -> None:
    """Without a format, rows are an aligned table."""
    lines = run(app, QUERY, "--api", shared.addresses["api"]).splitlines()
    assert [part.strip() for part in lines[0].split("┃")] == ["n", "name", "t"]
    assert "1970-01-01T00:00:00.000000001Z" in lines[3]


def test_long_values_are_cut_in_tables_only(app: typer.Typer, shared: Any) -> None:
    """A value of 1,000 characters does not push the others out of sight, and standard error says so."""
    arguments = ["sql", "SELECT repeat('x', 1000) AS long, 7 AS n", "--api", shared.addresses["api"]]
    table = CliRunner().invoke(app, arguments)
    assert max(map(len, table.stdout.splitlines())) < 100
    assert table.stderr == "1 long values are cut at …; --format json or csv shows them whole\n"
    assert "x" * 1000 in CliRunner().invoke(app, [*arguments, "--format", "csv"]).stdout


def test_json_and_csv(app: typer.Typer, shared: Any) -> None:
    """JSON is a list of objects, CSV has a header."""
    api = shared.addresses["api"]
    assert json.loads(run(app, QUERY, "--format", "json", "--api", api))[1] == {
        "n": 1,
        "name": "x1",
        "t": "1970-01-01T00:00:00.000000001Z",
    }
    assert run(app, "SELECT 1 AS a, 'b' AS c", "--format", "csv", "--api", api) == '"a","c"\n1,"b"\n'


def test_arrow(app: typer.Typer, shared: Any) -> None:
    """Arrow is a stream on standard output."""
    result = CliRunner().invoke(app, ["sql", QUERY, "--format", "arrow", "--api", shared.addresses["api"]])
    assert pa.ipc.open_stream(result.stdout_bytes).read_all()["n"].to_pylist() == [0, 1]


def test_cut_rows_are_told(app: typer.Typer, shared: Any) -> None:
    """Rows beyond the limit are left out, and standard error says so."""
    arguments = ["sql", "FROM range(10)", "--limit", "3", "--format", "csv", "--api", shared.addresses["api"]]
    result = CliRunner().invoke(app, arguments)
    assert result.stdout.splitlines() == ['"range"', "0", "1", "2"]
    assert result.stderr == "only the first 3 rows; see more with --limit\n"


def test_data_folder_of_a_running_server(app: typer.Typer, shared: Any) -> None:
    """A folder that a server owns is read through that server."""
    folder = shared.store.folder
    assert json.loads(run(app, QUERY, "--format", "json", "--data", folder))[1]["name"] == "x1"


def test_data_folder(app: typer.Typer, store: Store) -> None:
    """A folder is read directly when nobody owns it; a process that serves nothing is named."""
    with pytest.raises(DataFolderInUse):
        run(app, QUERY, "--data", store.folder)
    store.close()
    assert json.loads(
        run(app, "SELECT count(*) AS n FROM spans", "--format", "json", "--data", store.folder)
    ) == [{"n": 0}]


def test_shell(app: typer.Typer, shared: Any) -> None:
    """The shell reads statements over several lines, describes tables, and goes on after a mistake."""
    output = run(
        app,
        "--api",
        shared.addresses["api"],
        text="SELECT 40 +\n2 AS answer;\nFROM nowhere;\n\\d spans\n\\d\nSELECT 'last' AS l",
    )
    assert "42" in output
    assert "nowhere does not exist" in output
    assert "parent_span_id" in output
    assert "otel_traces" in output
    assert "last" in output


def test_mistakes(app: typer.Typer, shared: Any, tmp_path: Path) -> None:
    """Refused SQL, a folder without data and two sources have different errors."""
    with pytest.raises(RefusedQuery):
        run(app, "DELETE FROM spans", "--api", shared.addresses["api"])
    with pytest.raises(DataFolderUnusable, match="holds no"):
        run(app, QUERY, "--data", tmp_path)
    with pytest.raises(InvalidInput, match="exclude each other"):
        run(app, QUERY, "--data", tmp_path, "--api", "x")
