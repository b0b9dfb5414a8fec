"""From ratings in a real store, over HTTP, to files: the whole way of `spyhop export`."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import httpx2
import pytest
import typer
from typer.testing import CliRunner

from collector.client import Client
from collector.errors import InvalidInput, Unavailable
from datasets.commands import register
from datasets.errors import NothingToExport
from datasets.export import judging
from datasets.export import labelled as labelled_module
from datasets.export.labelled import Chosen, Database
from datasets.export.lesson import lesson_of
from datasets.export.run import write_export


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    register(made)
    made.callback()(lambda: None)  # keeps the command's name although it is the only one
    return made


def test_command(rated: Any, api_url: str, app: typer.Typer, tmp_path: Path) -> None:
    """Two of three ratings become rows while the server runs; no canary is in any file."""
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["export", "--format", "trl-sft", "--out", str(out), "--api", api_url])
    assert result.exit_code == 0, (result.output, result.exception)
    assert "2 training, 0 validation and 0 test rows" in result.output
    rows = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
    answers = [json.loads(row["messages"][-1]["content"]) for row in rows]
    causes = {tuple(cause["service"] for cause in answer["root_causes"]) for answer in answers}
    assert any(services[0] == "checkout" for services in causes)
    assert ("db",) in causes
    files = "".join(path.read_text() for path in out.iterdir())
    assert "canary" not in files


def test_prompt_is_the_live_one(rated: Any, api_url: str, tmp_path: Path) -> None:
    """A training row's prompt is what a configured model would have been asked."""
    from llm.narration.context import render_messages

    with Client(api_url, timeout_s=60) as client:
        write_export(client, "trl-sft", tmp_path / "out")
    rows = [json.loads(line) for line in (tmp_path / "out" / "train.jsonl").read_text().splitlines()]
    contexts = rated.read("SELECT context::VARCHAR AS context FROM explanations").to_pylist()
    live = [render_messages(json.loads(row["context"])) for row in contexts]
    assert all(row["messages"][:2] in live for row in rows)


def test_pages(rated: Any, api_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading in pages over HTTP gives what the store gives in one."""
    inside = Database.of_store(rated)
    heads = list(inside.heads())
    chosen = [Chosen.of(head) for head in heads]
    whole = list(inside.labelled(chosen))
    monkeypatch.setattr(labelled_module, "PAGE_ROWS", 1)
    monkeypatch.setattr(labelled_module, "HEAD_PAGE_ROWS", 1)
    with Client(api_url, timeout_s=60) as client:
        outside = Database.of_client(client)
        assert list(outside.heads()) == heads
        assert list(outside.labelled(chosen)) == whole
    assert len(whole) == 3


def test_nothing_rated(api_url: str, tmp_path: Path) -> None:
    """A server without ratings gives the error, not an empty export."""
    with Client(api_url, timeout_s=60) as client, pytest.raises(NothingToExport):
        write_export(client, "trl-sft", tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [(["--format", "csv"], InvalidInput), (["--format", "trl-sft", "--since", "soon"], InvalidInput),
     (["--format", "trl-sft", "--api", "http://127.0.0.1:9"], Unavailable)],
)  # fmt: skip
def test_wrong_use(
    api_url: str, app: typer.Typer, tmp_path: Path, arguments: list[str], error: type[Exception]
) -> None:
    """An unknown format, a time that is none and a server that is not there are named as such."""
    arguments = arguments if "--api" in arguments else [*arguments, "--api", api_url]
    result = CliRunner().invoke(app, ["export", "--out", str(tmp_path / "out"), *arguments])
    assert isinstance(result.exception, error)


def test_stats(rated: Any, api_url: str) -> None:
    """The statistics count explanations, ratings, corrections, and what could be exported."""
    stats = httpx2.get(f"{api_url}/api/monitor/training/stats", trust_env=False).json()
    assert stats["explanations"] == {"deterministic": 3}
    assert stats["feedback"] == {"total": 3, "up": 1, "down": 2, "partly_right": 0, "corrected": 1}
    assert stats["exportable"]["trl-sft"]["rows"] == 2
    assert stats["exportable"]["trl-sft"]["rejects"] == {"thumbs-down without a correction": 1}


def test_export_path(rated: Any, api_url: str) -> None:
    """The path gives the rows as JSON lines; an unknown format is 400 and names those that exist."""
    path = f"{api_url}/api/monitor/training/export"
    response = httpx2.get(path, params={"format": "trl-sft"}, trust_env=False)
    assert response.headers["content-type"].startswith("application/jsonl")
    assert [set(json.loads(line)) for line in response.text.splitlines()] == [{"messages"}, {"messages"}]
    wrong = httpx2.get(path, params={"format": "csv"}, trust_env=False)
    assert wrong.status_code == 400
    assert "trl-sft" in wrong.json()["error"]["message"]


def test_second_process(rated: Any, api_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export that a second process helps to judge is, byte for byte, the one that one process makes."""
    folders = []
    for worth in (1_000_000, 1):
        monkeypatch.setattr(judging, "WORTH_A_PROCESS", worth)
        monkeypatch.setattr(labelled_module, "PAGE_ROWS", 1)
        with Client(api_url, timeout_s=60) as client:
            write_export(client, "all", tmp_path / str(worth), clock_ns=lambda: 0)
        found = sorted((tmp_path / str(worth)).rglob("*.*"))
        folders.append({path.relative_to(tmp_path / str(worth)): path.read_bytes() for path in found})
    assert folders[0] == folders[1]
    assert len(folders[0]) > 30


def test_second_process_dies(rated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the second process is killed, this one judges what is left: nothing is missing or twice."""
    monkeypatch.setattr(labelled_module, "PAGE_ROWS", 1)
    source = Database.of_store(rated)
    chosen = [Chosen.of(head) for head in source.heads()] * 10
    judged = judging.judge_beside(source.pages(chosen))
    found = [next(judged)]
    for child in multiprocessing.active_children():
        child.kill()
    found += judged
    assert found == [(example, lesson_of(example)) for example in source.labelled(chosen)]
