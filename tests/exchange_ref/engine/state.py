"""What two engines have to share to be the same."""

from __future__ import annotations

from dataclasses import asdict

from exchange_ref.engine.engine import Engine


def state_of(engine: Engine) -> object:
    """All that the engine's next answers depend on, as plain values."""
    return (
        sorted(engine.ledger.all_balances()),
        [asdict(order) for book in engine.books.values() for order in book.resting_orders()],
        [asdict(order) for stops in engine.stops.values() for order in stops.waiting_orders()],
        [(tape.count, tape.last_ticks, tape.minutes, list(tape.trades)) for tape in engine.tapes.values()],
        engine.withdrawals,
        engine.desk.trades(),
    )
