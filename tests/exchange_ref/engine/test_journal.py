from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_ref.engine.engine import Engine
from exchange_ref.engine.journal import (
    Journal,
    JournalUnwritable,
    read,
    replay,
)
from exchange_ref.engine.messages import fields_of
from exchange_ref.engine.orders import Cancel, Deposit, OrderRejected, Side
from exchange_ref.errors import FolderUnusable


@pytest.fixture
def journalled(tmp_path: Path, new_order) -> tuple[Path, Engine]:
    """A journal of two deposits and twenty orders, and the engine that took them."""
    engine, path = Engine(), tmp_path / "journal.jsonl"
    journal = Journal(path)
    for user, asset, units in (("ann", "USD", 10**15), ("bob", "BTC", 10**12)):
        deposit = Deposit(user, asset, units)
        journal.append(deposit)
        engine.deposit(deposit)
    for number in range(20):
        side, user = (Side.BUY, "ann") if number % 3 else (Side.SELL, "bob")
        order = new_order(side, 4_200_000 + number % 5, 10 + number, user)
        journal.append(order)
        engine.submit(order)
    journal.close()
    return path, engine


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a journal of 22 commands."""
    path = tmp_path_factory.mktemp("lived") / "journal.jsonl"
    journal = Journal(path)
    for number in range(22):
        journal.append(Deposit(f"user-{number}", "USD", 10**number + 7))
    journal.close()
    return path.read_bytes()


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


@given(position=st.integers(0, 10**6), bit=st.integers(0, 7), within=st.sampled_from([1, 2, 22]))
def test_a_flipped_bit_is_never_taken(lived: bytes, position: int, bit: int, within: int) -> None:
    """Wherever it flips, in the last lines or in any, the journal is refused: no other command is executed,
    and none that was acknowledged is left out."""
    begin = len(b"".join(lived.splitlines(keepends=True)[:-within]))
    damaged = bytearray(lived)
    damaged[begin + position % (len(lived) - begin)] ^= 1 << bit
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        path.write_bytes(damaged)
        with pytest.raises(FolderUnusable, match=r"line \d+ of"):
            list(read(path))
        assert path.read_bytes() == damaged


@given(cut=st.integers(1, 10**6))
def test_a_torn_tail_loses_its_line_alone(lived: bytes, cut: int) -> None:
    """Cut off anywhere, all lines before it are read."""
    left = lived[: -(1 + cut % (len(lived) - 1))]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        path.write_bytes(left)
        assert len(list(read(path))) == left.count(b"\n")
        assert path.read_bytes() == left[: left.rfind(b"\n") + 1]


def test_no_journal_is_an_empty_one(tmp_path: Path) -> None:
    """A first start replays nothing."""
    assert replay(tmp_path / "none.jsonl", Engine()) == 0


FULL_DISK = """
import json, resource, signal, sys
from pathlib import Path
from exchange_ref.engine.journal import Journal, JournalUnwritable
from exchange_ref.engine.orders import Deposit
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
journal = Journal(path, now_ns=lambda: 5)
journal.append(Deposit("ann", "USD", 1))
whole = path.read_bytes()
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, hard))
refused = 0
for _ in range(3):
    try:
        journal.append(Deposit("x" * 100, "USD", 2))
    except JournalUnwritable as error:
        refused += 1
    assert path.read_bytes() == whole
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
journal.append(Deposit("ann", "USD", 3))
journal.close()
print(json.dumps({"refused": refused, "text": path.read_text()}))
"""


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path: Path) -> None:
    """A write that the disk takes in part is cut back and raises; with room the next line follows."""
    answer = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "journal.jsonl")],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(answer.stdout)
    assert told["refused"] == 3
    lines = [json.loads(line) for line in told["text"].splitlines()]
    assert [(line["seq"], line["at"], line["units"]) for line in lines] == [(1, 5, 1), (2, 5, 3)]


def test_what_cannot_be_cut_back_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """A device without room and without a length, as /dev/full is, refuses each command by name."""
    journal = Journal(Path("/dev/full"))
    for _ in range(2):
        with pytest.raises(JournalUnwritable, match="/dev/full cannot be written"):
            journal.append(Deposit("ann", "USD", 1))
    assert journal.sequence == 0
    assert "cannot be cut off" in caplog.text


def test_a_rejected_command_is_rejected_again(tmp_path: Path) -> None:
    """A command that was written and then rejected changes nothing at a start either."""
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(Cancel("none", "ann", "BTC/USD"))
    journal.append(Deposit("ann", "USD", 5))
    journal.close()
    engine = Engine()
    with pytest.raises(OrderRejected):
        engine.cancel(Cancel("none", "ann", "BTC/USD"))
    assert replay(path, engine) == 2
    assert engine.ledger.balance("ann", "USD").available_units == 5


def test_orders_of_older_journals_rest_for_30_s(tmp_path: Path, new_order) -> None:
    """A line without a time in force is an order that rested for 30 s, as it did when it was written."""
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(Deposit("ann", "USD", 10**15))
    lines: list[str] = []
    for created_s in (0, 29, 31):
        command = fields_of(new_order(Side.BUY, 4_200_000, 1, created_s=created_s))
        for name in ("time_in_force", "expires_unix_nano", "self_trade"):
            del command[name]
        lines.append(json.dumps({"seq": len(lines) + 2, "op": "submit", **command}))
    journal.close()
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
    engine = Engine()
    assert replay(path, engine) == 4
    assert [order.order_id for order in engine.books["BTC/USD"].resting_orders()] == ["2", "3"]
