"""Real processes, started as a user starts them, and ended by their own ids."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.support import SPYHOP, DemoRun, Running, spyhop


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start `spyhop ARGUMENTS`; whatever still runs at the end of the test is ended."""
    started: list[Running] = []

    def run(*arguments: str, env: Mapping[str, str] | None = None) -> Running:
        output = tmp_path / f"output-{len(started)}.txt"
        with output.open("w") as sink:
            process = subprocess.Popen(
                [*SPYHOP, *arguments],
                stdout=sink,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            )
        started.append(Running(process, output))
        return started[-1]

    yield run
    for running in started:
        if running.process.poll() is None:
            running.process.terminate()
            try:
                running.process.wait(10)
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """The demo, run once for 45 s; its tests ask different things of the same run."""
    folder = tmp_path_factory.mktemp("demo") / "data"
    done = spyhop("demo", "--for", "45s", "--headless", "--json", "--data", str(folder), timeout_s=150)
    assert done.stdout.strip(), f"no report; standard error:\n{done.stderr}"
    return DemoRun(done.returncode, json.loads(done.stdout), done.stderr, folder)
