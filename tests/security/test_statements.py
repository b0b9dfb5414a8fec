from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx2
import pytest

from collector.cli.shell import open_source
from collector.client import Client
from collector.errors import InvalidInput, SpyhopError, Timeout, TooLarge
from collector.server import Server
from collector.store.store import Store
from tests.pace import check, patience_s, within_s
from tests.security.statements import HEAVY_TEXTS, HEAVY_VALUES, refused

SECRET = "a secret that is nobody's business"


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file outside of every data folder."""
    path = tmp_path_factory.mktemp("outside") / "canary.csv"
    path.write_text(SECRET)
    return path


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory,
    start_running: Callable[[Server], Any],
    make_settings: Callable[..., Any],
) -> Iterator[Any]:
    # Files are compared before and after: the server lists its lake's files by itself after a minute.
    settings = make_settings(
        tmp_path_factory.mktemp("served"), sql_timeout_s=2.0, sql_check_s=1.0, seal_interval_s=3_600
    )
    started = start_running(Server(settings))
    yield started
    started.stop()


def files_of(folder: Path) -> dict[str, str]:
    """Every file below, with a digest of what it holds."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_refused_over_http(served: Any, canary: Path) -> None:
    """No statement but a query is run over HTTP: no file is written or read, and the server stays."""
    served.client.sql("SELECT 1")
    before = files_of(served.store.folder)
    for statement in refused(served.store.folder, canary):
        answer = served.api.post("/api/sql", json={"query": statement}, timeout=30)
        assert 400 <= answer.status_code < 500, (statement, answer.text)
        assert SECRET not in answer.text, statement
    assert files_of(served.store.folder) == before
    assert not [name for name in ("x.csv", "export") if Path(name).exists()]
    assert served.client.sql("SELECT batch_id FROM landing_position")["batch_id"].to_list() == [0]


def test_refused_in_a_folder(tmp_path: Path, canary: Path) -> None:
    """The same holds for `spyhop sql --data`, which has no server in between."""
    Store.open(tmp_path / "data").close()
    with open_source(None, tmp_path / "data") as source:
        source.run("SELECT 1", None)
        before = files_of(tmp_path)
        for statement in refused(tmp_path / "data", canary):
            with pytest.raises(InvalidInput) as caught:
                source.run(statement, None)
            assert SECRET not in str(caught.value)
        assert files_of(tmp_path) == before


@pytest.mark.parametrize("expression", HEAVY_VALUES)
@pytest.mark.parametrize("source", ["", " FROM landing_position"], ids=["alone", "from a table"])
def test_heavy_values(served: Any, expression: str, source: str) -> None:
    """Queries that would end DuckDB, or never end, are answered in time, and the server goes on."""
    check_refused_in_time(served, f"SELECT {expression} AS x{source}")


@pytest.mark.parametrize("expression", HEAVY_TEXTS, ids=[text[:40] for text in HEAVY_TEXTS])
def test_heavy_texts(served: Any, expression: str) -> None:
    """A short text that takes minutes to plan is answered in time, and the server goes on."""
    check_refused_in_time(served, f"SELECT {expression} AS x")


def check_refused_in_time(served: Any, query: str) -> None:
    with Client(served.addresses["api"], timeout_s=60) as patient:
        started_s = monotonic()
        with pytest.raises((InvalidInput, Timeout, TooLarge)):
            patient.sql(query)
        # 3 s by its settings, and a busy machine; without limits minutes, or for ever.
        check(monotonic() - started_s, 25)
        assert patient.sql("SELECT count(*) AS n FROM landing_position")["n"].to_list() == [1]


def test_places(served: Any) -> None:
    """More queries than places are told to come again, while health is answered at once."""
    endless = "SELECT count(*) FROM range(10_000_000) a, range(10_000_000) b WHERE hash(a.range, b.range) = 1"
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(served.api.post("/api/sql", json={"query": endless}, timeout=30).status_code)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    sleep(0.5)
    with within_s(1):
        assert served.api.get("/healthz").status_code == 200
    for thread in threads:
        thread.join()
    assert set(statuses) == {503, 504}
    assert statuses.count(504) <= served.server.settings.sql_places


def test_bytes_are_bounded(
    tmp_path: Path, start_running: Callable[[Server], Any], make_settings: Callable[..., Any]
) -> None:
    """A result is cut at the limit of bytes, and says so; a single row beyond it is refused."""
    running = start_running(Server(make_settings(tmp_path / "small", sql_limit_bytes=1_000_000)))
    try:
        for source in ("range(100000) AS r(n)", "landing_position, range(100000) AS r(n)"):
            frame, is_cut = running.client.sql_page(f"SELECT repeat('x', 1000) || n AS x FROM {source}")
            assert is_cut
            assert 500 < frame.height < 1100
        with pytest.raises(TooLarge, match="one row of the result is larger than 1,000,000 bytes"):
            running.client.sql("SELECT repeat('x', 2000000) AS x FROM landing_position")
    finally:
        running.stop()


@pytest.mark.parametrize(
    "body",
    [
        {"query": "SELECT '" + "x" * 70_000 + "'"},
        {"query": "SELECT \x00"},
        {
            "query": "SELECT ?",
            "params": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],
        },
        {"query": "SELECT ?", "params": [{"a": {"b": [1] * 20_000}}]},
        {"query": "SELECT ?", "params": [10**400]},
        {"query": "SELECT ?", "params": []},
    ],
    ids=["text", "null byte", "deep", "many", "number", "none"],
)
def test_bad_requests(served: Any, body: dict[str, Any]) -> None:
    """Texts and parameters out of bounds get an error that says so, and are no failure of the server."""
    answer = served.api.post("/api/sql", json=body)
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]["message"]


def test_deep_results(served: Any) -> None:
    """JSON of any depth comes out as it is: nobody on the way recurses."""
    answer = served.api.post(
        "/api/sql", json={"query": "SELECT (repeat('[', 100000) || repeat(']', 100000))::JSON AS j"}
    )
    assert answer.status_code == 200
    assert "[" * 100_000 in answer.text


def test_no_process_stays(
    tmp_path: Path, start_running: Callable[[Server], Any], make_settings: Callable[..., Any]
) -> None:
    """The processes that check queries end with the server."""
    others = checking_processes()
    running = start_running(Server(make_settings(tmp_path / "ending")))
    running.client.sql("SELECT 1")
    children = checking_processes() - others
    assert children
    running.stop()
    deadline_s = monotonic() + patience_s(5)
    while children & checking_processes():
        assert monotonic() < deadline_s, "a process stays"
        sleep(0.05)


def checking_processes() -> set[int]:
    """Ids of the processes that check this process's queries."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = f"PPid:\t{os.getpid()}\n" in (folder / "status").read_text()
            if is_ours and "collector.sql.child" in (folder / "cmdline").read_text():
                found.add(int(folder.name))
        except OSError:
            continue
    return found


def test_error_names(served: Any) -> None:
    """The message says what was refused and what to write instead."""
    with pytest.raises(SpyhopError, match=r"COPY is refused: this access is read-only"):
        served.client.sql("EXPLAIN ANALYZE WITH x AS (COPY (SELECT 1 a) TO 'x.csv') SELECT 1")
    with pytest.raises(SpyhopError, match=r"did you mean spans\?"):
        served.client.sql("FROM span")


def test_clients_that_leave(
    tmp_path: Path, start_running: Callable[[Server], Any], make_settings: Callable[..., Any]
) -> None:
    """A query whose client has gone is stopped, in the child and in the server, and its place is free."""
    running = start_running(Server(make_settings(tmp_path / "left", sql_timeout_s=600.0, sql_places=2)))
    endless = (
        "SELECT count(*) FROM range(10_000_000) a, range(10_000_000) b{} WHERE hash(a.range, b.range) = 1"
    )

    def leave(source: str) -> None:
        with pytest.raises(httpx2.TimeoutException):
            running.api.post("/api/sql", json={"query": endless.format(source)}, timeout=1)

    try:
        threads = [threading.Thread(target=leave, args=[source]) for source in ("", ", landing_position")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        deadline_s = monotonic() + patience_s(30)
        for source in ("", " FROM landing_position"):
            query = {"query": f"SELECT 1{source}"}
            while running.api.post("/api/sql", json=query, timeout=60).status_code == 503:
                assert monotonic() < deadline_s, "queries of clients that have gone keep their places"
    finally:
        running.stop()
