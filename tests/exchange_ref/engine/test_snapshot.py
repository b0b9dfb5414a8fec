from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from exchange_ref.engine.engine import Engine
from exchange_ref.engine.journal import apply, read, replay
from exchange_ref.engine.snapshot import KEPT, Snapshots
from tests.exchange_ref.engine.state import state_of

STOP = {"type": "STOP_LOSS", "stop_price": "90", "price": None}


@pytest.fixture(scope="module")
def lived(start_exchange, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an exchange with two snapshots and a few commands behind each."""
    folder = tmp_path_factory.mktemp("lived")

    async def main() -> None:
        async with start_exchange(folder) as running:
            for number in range(30):
                order = {
                    "client_order_id": f"{number}",
                    "pair": "SOL/USD",
                    "side": "BUY" if number % 2 else "SELL",
                    "type": "LIMIT",
                    "quantity": 1 + number % 3,
                    "price": f"{95 + (number * 7) % 5}",
                } | (STOP if number % 10 == 4 else {})
                user = {"x-user-id": f"trader-0{1 + number % 3}"}
                await running.client.request("POST", "/api/orders", user, json.dumps(order).encode())
                if number in (12, 24):
                    await running.exchange.snapshots.take()

    asyncio.run(main())
    return folder


def copied(lived: Path, tmp_path: Path) -> tuple[Path, list[Path]]:
    """A journal and its snapshots, the newest first, to be damaged."""
    for path in (lived / "journal.jsonl", *(lived / "snapshots").iterdir()):
        copy = tmp_path / path.relative_to(lived)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return tmp_path / "journal.jsonl", sorted((tmp_path / "snapshots").glob("*.kx"), reverse=True)


def recovered(journal: Path, snapshots: Path) -> tuple[int, Engine]:
    """The sequence number of the snapshot that was used, and the engine at the journal's end."""
    engine = Engine()
    after, from_byte = Snapshots(snapshots).load(journal, engine)
    replay(journal, engine, after=after, from_byte=from_byte)
    return after, engine


def test_a_snapshot_and_the_journals_end_are_all_of_the_journal(lived: Path) -> None:
    """From each snapshot the engine is the one that a full replay gives, remembered results included."""
    journal, folder = lived / "journal.jsonl", lived / "snapshots"
    whole = Engine()
    last = replay(journal, whole)
    after, engine = recovered(journal, folder)
    assert 0 < after < last
    assert state_of(engine) == state_of(whole)
    first = next(command for command in read(journal) if command["op"] == "submit")
    del first["seq"], first["op"], first["at"]
    results = [apply(one, "submit", first) for one in (engine, whole)]
    assert results[0] == results[1]
    assert results[0].repeated


def flip(path: Path, at: Callable[[int], int]) -> None:
    data = bytearray(path.read_bytes())
    data[at(len(data))] ^= 4
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a bit of the state": lambda path: flip(path, lambda size: size * 2 // 3),
    "the end is missing": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "the header's first bit": lambda path: flip(path, lambda _: 0),
    "another sequence number": lambda path: _edit(path, "sequence"),
    "another place in the journal": lambda path: _edit(path, "journal_bytes"),
    "another version": lambda path: _edit(path, "format"),
    "empty": lambda path: path.write_bytes(b""),
}


def _edit(path: Path, field: str) -> None:
    line, _, packed = path.read_bytes().partition(b"\n")
    header = json.loads(line)
    header[field] = header[field] + 1 if field != "format" else "0"
    path.write_bytes(json.dumps(header).encode() + b"\n" + packed)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_snapshot_is_passed_over(lived: Path, tmp_path: Path, damage: str) -> None:
    """The one before it is used, and with that one damaged too all of the journal; the engine is the same."""
    journal, (newest, older) = copied(lived, tmp_path)
    whole = Engine()
    replay(journal, whole)
    DAMAGE[damage](newest)
    after, engine = recovered(journal, newest.parent)
    assert after == int(older.stem)
    assert state_of(engine) == state_of(whole)
    DAMAGE[damage](older)
    after, engine = recovered(journal, newest.parent)
    assert after == 0
    assert state_of(engine) == state_of(whole)


def test_a_snapshot_of_another_journal_is_not_used(lived: Path, tmp_path: Path) -> None:
    """Where the journal was cut back behind a snapshot, or is another one, the snapshot is passed over."""
    journal, (newest, older) = copied(lived, tmp_path)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: int(older.stem)]))
    assert recovered(journal, newest.parent)[0] == int(older.stem)
    other = b"".join(lines).replace(b"trader-01", b"trader-09")
    journal.write_bytes(re.sub(rb',"crc":\d+', b"", other))  # as lines of before had none
    assert recovered(journal, newest.parent)[0] == 0


def test_state_that_was_changed_is_seen(lived: Path, tmp_path: Path) -> None:
    """Packed anew with one digit of one balance changed, the checksum tells."""
    journal, (newest, _) = copied(lived, tmp_path)
    line, _, packed = newest.read_bytes().partition(b"\n")
    state = gzip.decompress(packed)
    assert b"trader-01" in state
    newest.write_bytes(line + b"\n" + gzip.compress(state.replace(b"trader-01", b"trader-09", 1)))
    assert recovered(journal, newest.parent)[0] != int(newest.stem)


def test_a_restart_uses_the_snapshot_and_ten_are_kept(start_exchange, tmp_path: Path) -> None:
    """After a restart from a snapshot wallets and open orders read as before; old snapshots are deleted."""

    async def main() -> tuple[list[object], list[object], int]:
        seen: list[list[object]] = []
        names: Counter[tuple[str, bool]] = Counter()
        for start in range(2):
            async with start_exchange(tmp_path / "exchange") as running:

                async def call(method: str, path: str, body: object = None) -> object:
                    sent = json.dumps(body).encode() if body else b""
                    answer = await running.client.request(
                        method, f"/api/{path}", {"x-user-id": "trader-01"}, sent
                    )
                    return json.loads(answer.body)

                for number in range(KEPT + 2 if not start else 0):
                    order = {
                        "client_order_id": f"{number}",
                        "pair": "SOL/USD",
                        "side": "BUY",
                        "type": "LIMIT",
                    }
                    await call("POST", "orders", order | {"quantity": 1, "price": "90"})
                    await running.exchange.snapshots.take()
                seen.append([await call("GET", "wallet"), await call("GET", "open-orders")])
                names.update(
                    (span.name, span.parent is None)
                    for trace in running.traces().values()
                    for span in trace
                    if span.name.startswith("snapshot.")
                )
        # each is a trace of its own
        parts = [("snapshot.take", True), ("snapshot.copy", False), ("snapshot.write", False)]
        assert names == dict.fromkeys(parts, KEPT + 2)
        return seen[0], seen[1], len(list((tmp_path / "exchange/snapshots").glob("*.kx")))

    before, after, kept = asyncio.run(main())
    assert before == after
    assert kept == KEPT
