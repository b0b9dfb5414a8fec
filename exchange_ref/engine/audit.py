"""The audit trail: every change of every balance, from the journal, which is append-only and has them all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exchange_ref.engine.engine import Engine
from exchange_ref.engine.journal import apply, read
from exchange_ref.engine.orders import BalanceChange, OrderRejected


def entries(path: Path) -> Iterator[dict[str, Any]]:
    """One entry for each balance that a command changed, the exchange's own accounts included, in units of
    1e-8. The changes of a command add up to what it brought in or paid out.

    Raises:
        FolderUnusable: the journal is damaged.
    """
    engine = Engine()
    changed: list[BalanceChange] = []
    engine.ledger.observer = changed.extend
    before: dict[tuple[str, str], tuple[int, int]] = {}
    for command in read(path, complete=False):
        sequence, op = command.pop("seq"), command.pop("op")
        at = command.pop("at", None)
        ids = [value for name, value in command.items() if name.endswith("_id") and name != "user_id"]
        try:
            apply(engine, op, command)
        except OrderRejected:  # as it was then: nothing has changed
            continue
        for row in changed:
            available, locked = before.get((row.user_id, row.asset), (0, 0))
            before[row.user_id, row.asset] = (row.available_units, row.locked_units)
            yield {
                "sequence": sequence,
                "unix_nano": at,
                "command": op,
                "id": ids[0] if ids else "",
                "user_id": row.user_id,
                "asset": row.asset,
                "available_change": row.available_units - available,
                "locked_change": row.locked_units - locked,
                "available_units": row.available_units,
                "locked_units": row.locked_units,
            }
        changed.clear()
