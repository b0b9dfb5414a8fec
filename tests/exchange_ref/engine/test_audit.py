from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from typer.testing import CliRunner

from exchange_ref.engine.audit import entries
from exchange_ref.engine.engine import Engine
from exchange_ref.engine.journal import Journal
from exchange_ref.engine.orders import Deposit, Side, Transfer
from spyhop import app


def test_the_audit_trail_ends_at_the_balances(tmp_path: Path, new_order) -> None:
    """Each change names its command and moment; all of a balance's changes add up to it, the exchange's own
    accounts included; a trade's changes add up to nothing; a refused command has none."""
    engine, journal = Engine(), Journal(tmp_path / "journal.jsonl", now_ns=lambda: 7)
    for user, asset in (("ann", "USD"), ("bob", "BTC")):
        deposit = Deposit(user, asset, 10**15, f"d-{user}", 5)
        journal.append(deposit)
        engine.deposit(deposit)
    for side, user in ((Side.SELL, "bob"), (Side.BUY, "ann")):
        order = new_order(side, 4_200_000, 10, user)
        journal.append(order)
        engine.submit(order)
    refused = Transfer("t", "eve", "ann", "t", "USD", 5)
    journal.append(refused)
    journal.close()
    trail = list(entries(tmp_path / "journal.jsonl"))
    sums: Counter[tuple[str, str, str]] = Counter()
    of_trade: Counter[str] = Counter()
    for entry in trail:
        for state in ("available", "locked"):
            sums[entry["user_id"], entry["asset"], state] += entry[f"{state}_change"]
            of_trade[entry["asset"]] += entry[f"{state}_change"] if entry["sequence"] == 4 else 0
    for row in engine.ledger.all_balances():
        assert sums[row.user_id, row.asset, "available"] == row.available_units
        assert sums[row.user_id, row.asset, "locked"] == row.locked_units
    assert set(of_trade.values()) == {0}
    assert {entry["sequence"] for entry in trail} == {1, 2, 3, 4}
    assert {entry["unix_nano"] for entry in trail} == {7}
    printed = CliRunner().invoke(app, ["exchange", "audit", "--data", str(tmp_path), "--user", "ann"])
    assert [json.loads(line) for line in printed.stdout.splitlines()] == [
        entry for entry in trail if entry["user_id"] == "ann"
    ]


def test_without_a_journal_it_says_what_to_give(tmp_path: Path) -> None:
    """A folder that is no exchange's is wrong use."""
    result = CliRunner().invoke(app, ["exchange", "audit", "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert "journal.jsonl does not exist; give the exchange's folder with --data" in result.stderr
