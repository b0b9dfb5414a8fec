"""Lines to hot files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from collector.store import hot
from collector.store.store import Store
from tests.collector.landing.hot.line import Line


@pytest.fixture
def line(
    store: Store,
    make_request: Callable[..., Any],
    any_value: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Line]:
    monkeypatch.setattr(hot, "HOUR_ROWS_MIN", 2)
    made = Line(store, make_request, any_value)
    yield made
    made.spool.close()
    made.store.close()


@pytest.fixture
def make_lines(
    make_request: Callable[..., Any], any_value: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Line]]:
    made: list[Line] = []

    def make() -> Line:
        made.append(Line(Store.open(tmp_path_factory.mktemp("line")), make_request, any_value))
        return made[-1]

    yield make
    for each in made:
        each.spool.close()
        each.store.close()
