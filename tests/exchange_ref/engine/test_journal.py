from __future__ import annotations

from pathlib import Path

import pytest

from exchange_ref.engine.journal import Journal, deposit_command, read, replay, submit_command
from exchange_ref.engine.matching import Engine
from exchange_ref.engine.orders import Side
from exchange_ref.errors import FolderUnusable


@pytest.fixture
def journalled(tmp_path: Path, new_order) -> tuple[Path, Engine]:
    """A journal of two deposits and twenty orders, and the engine that took them."""
    engine, path = Engine(), tmp_path / "journal.jsonl"
    journal = Journal(path)
    for user, asset, units in (("ann", "USD", 10**15), ("bob", "BTC", 10**12)):
        engine.deposit(user, asset, units)
        journal.append("deposit", deposit_command(user, asset, units))
    for number in range(20):
        side, user = (Side.BUY, "ann") if number % 3 else (Side.SELL, "bob")
        order = new_order(side, 4_200_000 + number % 5, 10 + number, user)
        command = submit_command(order)
        engine.submit(order)
        journal.append("submit", command)
    journal.close()
    return path, engine


def test_replay_rebuilds_balances_and_books(journalled: tuple[Path, Engine]) -> None:
    """A new engine fed with the journal equals the one that wrote it."""
    path, engine = journalled
    again = Engine()
    assert replay(path, again) == 22
    assert again.ledger.all_balances() == engine.ledger.all_balances()
    assert [order for book in again.books.values() for order in book.resting_orders()] == [
        order for book in engine.books.values() for order in book.resting_orders()
    ]


def test_a_cut_off_last_line_is_dropped(journalled: tuple[Path, Engine]) -> None:
    """A crash in the middle of a line loses that line only, and the next append starts clean."""
    path, _ = journalled
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"seq":23,"op":"sub')
    assert len(list(read(path))) == 22
    assert path.read_bytes() == whole


@pytest.mark.parametrize("damage", [b"nonsense\n", b'{"seq":7,"op":"deposit"}\n', b"[]\n"])
def test_damage_inside_is_refused(journalled: tuple[Path, Engine], damage: bytes) -> None:
    """A damaged or missing line names its number and is never skipped."""
    path, _ = journalled
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], damage, *lines[5:]]))
    with pytest.raises(FolderUnusable, match="line 5 of"):
        replay(path, Engine())


def test_no_journal_is_an_empty_one(tmp_path: Path) -> None:
    """A first start replays nothing."""
    assert replay(tmp_path / "none.jsonl", Engine()) == 0
