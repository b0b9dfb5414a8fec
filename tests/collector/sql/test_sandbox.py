"""Which process checks a query."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from collector.sql.sandbox import Reply, Sandbox
from tests.pace import patience_s

CALLS = 8


class Checks:
    """Stands for a process: each check waits until the test lets it pass."""

    start_s = 0.0

    def __init__(self) -> None:
        self.may_pass = threading.Event()
        self.asked: list[Mapping[str, Any]] = []

    def ask(self, request: Mapping[str, Any], timeout_s: float, is_gone: object) -> Reply:
        self.asked.append(request)
        assert self.may_pass.wait(timeout_s)
        return {}, None

    def close(self) -> None:
        self.may_pass.set()


@pytest.fixture
def made() -> list[Checks]:
    return []


def sandbox(made: list[Checks], start_s: float) -> Sandbox:
    def make() -> Checks:
        made.append(Checks())
        made[-1].start_s = start_s
        return made[-1]

    opened = Sandbox(make)  # type: ignore[arg-type] # what it uses of a process
    opened.warm_up()
    return opened


def test_simultaneous_queries_share_a_process(made: list[Checks]) -> None:
    """Where a start takes long, eight calls at once are checked by the one process that is there."""
    shared = sandbox(made, start_s=patience_s(60))
    with ThreadPoolExecutor(CALLS) as calls:
        answers = [calls.submit(shared.ask, {"call": call}, patience_s(60)) for call in range(CALLS)]
        made[0].may_pass.set()
        assert [answer.result(patience_s(60)) for answer in answers] == [({}, None)] * CALLS
    assert len(made) == 1
    assert len(made[0].asked) == CALLS


def test_a_query_that_lasts_holds_up_no_other(made: list[Checks]) -> None:
    """While one process is taken, the next call has its own after the time that a start takes."""
    shared = sandbox(made, start_s=0.01)
    with ThreadPoolExecutor(2) as calls:
        first = calls.submit(shared.ask, {"call": 1}, patience_s(60))
        second = calls.submit(shared.ask, {"call": 2}, patience_s(60))
        until_s = time.monotonic() + patience_s(60)
        while len(made) < 2 and time.monotonic() < until_s:
            time.sleep(0.01)
        assert len(made) == 2
        assert not first.done()
        assert not second.done()
        for checks in made:
            checks.may_pass.set()
        assert first.result(patience_s(60)) == second.result(patience_s(60)) == ({}, None)
    shared.close()
