from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from collector.store.store import Store


@pytest.fixture
def landed(store: Store) -> Callable[..., list[dict[str, Any]]]:
    """`landed(tables, target, select, order=…)`: rows as DuckDB returns them after an insert."""

    def insert(
        tables: list[pa.Table], target: str, select: str, *, order: str = "rowid"
    ) -> list[dict[str, Any]]:
        with store.transaction() as con:
            for table in tables:
                con.register("decoded", table)
                con.execute(f"INSERT INTO {target} BY NAME SELECT 1 AS batch_id, * FROM decoded")
            con.execute(
                f'{select} FROM {target} ORDER BY "{order}"'
                if order != "rowid"
                else f"{select} FROM {target} ORDER BY rowid"
            )
            names = [column[0] for column in con.description or []]
            return [dict(zip(names, row, strict=True)) for row in con.fetchall()]

    return insert
