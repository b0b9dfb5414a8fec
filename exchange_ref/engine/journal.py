"""The append-only journal: one JSON line for each command the engine took, in the order it took them.

The engine is deterministic, so replaying the lines rebuilds books and balances exactly. Lines reach the
operating system before a reply leaves, so they outlive the process; they are synced to the disk at close.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from exchange_ref.cfd.words import CloseTrade, OpenTrade
from exchange_ref.engine.matching import Engine
from exchange_ref.engine.messages import close_trade, open_trade
from exchange_ref.engine.orders import Cancel, Order, OrderType, Side, Transfer
from exchange_ref.errors import FolderUnusable


class Journal:
    """Lines `{"seq", "op", …}`, `seq` counting from 1 without gaps."""

    def __init__(self, path: Path, *, last_sequence: int = 0) -> None:
        self._file_descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.path = path
        self.sequence = last_sequence

    def append(self, op: str, command: Mapping[str, object]) -> int:
        """Write one command; returns the bytes written."""
        self.sequence += 1
        line = json.dumps({"seq": self.sequence, "op": op, **command}, separators=(",", ":")) + "\n"
        return os.write(self._file_descriptor, line.encode())

    def close(self) -> None:
        os.fsync(self._file_descriptor)
        os.close(self._file_descriptor)


def submit_command(order: Order) -> dict[str, object]:
    """The journal's form of an order, before it was executed."""
    command = asdict(order)
    del command["remaining_lots"]
    return command


def cancel_command(cancel: Cancel) -> dict[str, object]:
    return asdict(cancel)


def transfer_command(transfer: Transfer) -> dict[str, object]:
    return asdict(transfer)


def cfd_command(command: OpenTrade | CloseTrade) -> dict[str, object]:
    return asdict(command)


def deposit_command(user_id: str, asset: str, units: int, deposit_id: str = "") -> dict[str, object]:
    return {"user_id": user_id, "asset": asset, "units": units, "deposit_id": deposit_id}


def read(path: Path, *, complete: bool = True) -> Iterator[dict[str, Any]]:
    """The commands of a journal, oldest first. A last line cut off by a crash is removed from the file.

    Args:
        complete: nobody writes it meanwhile; else the file is left as it is.

    Raises:
        FolderUnusable: a line that is not the last is damaged, or the numbering has a gap.
    """
    if not path.exists():
        return
    end = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                command: dict[str, Any] = json.loads(line)
                whole = command["seq"] == number
            except (ValueError, KeyError, TypeError):
                whole = False
            if not whole:
                raise FolderUnusable(
                    f"line {number} of {path} is damaged; move the folder away to start afresh"
                )
            end += len(line)
            yield command
    if complete:
        os.truncate(path, end)


def replay(path: Path, engine: Engine, *, after: int = 0, complete: bool = True) -> int:
    """Apply a journal to an engine; returns the last sequence number, 0 for none.

    Args:
        after: the engine has taken the commands up to this one.
    """
    sequence = after
    for command in read(path, complete=complete):
        if command["seq"] <= after:
            continue
        sequence = command.pop("seq")
        op = command.pop("op")
        if op == "deposit":
            engine.deposit(**command)
        elif op == "cancel":
            engine.cancel(command["user_id"], command["symbol"], command["order_id"])
        elif op == "transfer":
            engine.transfer(Transfer(**command))
        elif op == "cfd_open":
            engine.open_trade(open_trade(command))
        elif op == "cfd_close":
            engine.close_trade(close_trade(command))
        else:
            engine.submit(
                Order(**{**command, "side": Side(command["side"]), "type": OrderType(command["type"])})
            )
    return sequence
