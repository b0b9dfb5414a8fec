import pytest

from exchange_ref.engine.ledger import FEE_ACCOUNT, MAKER_FEE_PPM, TAKER_FEE_PPM, Ledger, fee_units
from exchange_ref.engine.orders import BalanceChange, OrderRejected


@pytest.mark.parametrize(
    ("amount", "rate_ppm", "fee"),
    [
        (1_000_000, TAKER_FEE_PPM, 1_000),
        (1_000_000, MAKER_FEE_PPM, 500),
        (1, TAKER_FEE_PPM, 1),
        (1_001, 1_000, 2),
    ],
)
def test_fees_round_up(amount: int, rate_ppm: int, fee: int) -> None:
    """A fee is its share of the amount, rounded up to a whole unit."""
    assert fee_units(amount, rate_ppm) == fee


def test_locking_more_than_is_available_moves_nothing() -> None:
    """A refused lock says what is missing and leaves the balance and its version alone."""
    ledger = Ledger()
    ledger.deposit("ann", "USD", 100)
    before = ledger.balance("ann", "USD")
    with pytest.raises(OrderRejected, match="USD") as refusal:
        ledger.lock("ann", "USD", 101)
    assert refusal.value.code == "insufficient_funds"
    assert ledger.balance("ann", "USD") == before


def test_what_is_received_pays_its_fee_to_the_exchange() -> None:
    """The fee leaves the receiver and arrives at the fee account, unit for unit."""
    ledger = Ledger()
    ledger.receive("ann", "BTC", 10_000, TAKER_FEE_PPM)
    assert ledger.balance("ann", "BTC").available_units == 9_990
    assert ledger.balance(FEE_ACCOUNT, "BTC").available_units == 10


def test_changes_are_told_once() -> None:
    """Each change set names the final rows of wallets, with a version that grows by one a set."""
    ledger = Ledger()
    ledger.deposit("ann", "USD", 100)
    ledger.lock("ann", "USD", 30)
    assert ledger.take_changes() == (BalanceChange("ann", "USD", 70, 30, 1),)
    ledger.unlock("ann", "USD", 30)
    assert ledger.take_changes() == (BalanceChange("ann", "USD", 100, 0, 2),)
    assert ledger.take_changes() == ()


@pytest.mark.parametrize("units", [0, -5, 2**63])
def test_bad_deposits_are_refused(units: int) -> None:
    """A deposit must be above zero and fit the database's integers."""
    with pytest.raises(OrderRejected, match="deposit"):
        Ledger().deposit("ann", "USD", units)
