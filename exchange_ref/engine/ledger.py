"""Balances: available and locked integer units of each asset for each user.

Only `deposit` creates units and `pay_out` ends them; everything else moves them, fees included, so the sum of
an asset over all users and the exchange's own accounts equals its deposits less its withdrawals at all times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from exchange_ref.engine.instruments import MAX_UNITS, UNITS_PER_ASSET
from exchange_ref.engine.orders import BalanceChange, OrderRejected

FEE_ACCOUNT = "exchange-fees"
# The other side of contracts for difference, and what makes good to it the losses beyond a margin.
HOUSE_ACCOUNT = "cfd-house"
INSURANCE_ACCOUNT = "cfd-insurance"
OWN_ACCOUNTS = frozenset({FEE_ACCOUNT, HOUSE_ACCOUNT, INSURANCE_ACCOUNT})
PARTS_PER_MILLION = 1_000_000
TAKER_FEE_PPM = 1_000  # 0.1%
MAKER_FEE_PPM = 500  # 0.05%
DEPOSIT_FEE_PPM = 5_000  # 0.5%
WITHDRAWAL_FEE_PPM = 1_000  # 0.1%


@dataclass(slots=True)
class Balance:
    available_units: int = 0
    locked_units: int = 0
    version: int = 0


def fee_units(amount_units: int, rate_ppm: int) -> int:
    """The fee on `amount_units`, rounded up to a whole unit: the exchange never loses a fraction.

    >>> fee_units(1_000_000, 1_000), fee_units(1, 500), fee_units(0, 500)
    (1000, 1, 0)
    """
    return -(-amount_units * rate_ppm // PARTS_PER_MILLION)


class Ledger:
    """`observer` is told all changes of each command, if there is one."""

    __slots__ = ("_balances", "_changed", "_deposited", "observer")

    def __init__(self) -> None:
        self.observer: Callable[[list[BalanceChange]], None] | None = None
        self._balances: dict[tuple[str, str], Balance] = {}
        self._changed: dict[tuple[str, str], Balance] = {}
        self._deposited: dict[str, int] = {}

    def balance(self, user_id: str, asset: str) -> Balance:
        """A copy of the balance of `asset`; zero for an unknown user."""
        held = self._balances.get((user_id, asset))
        return Balance(held.available_units, held.locked_units, held.version) if held else Balance()

    def row(self, user_id: str, asset: str) -> BalanceChange:
        """The same as a row."""
        return _row((user_id, asset), self.balance(user_id, asset))

    def all_balances(self) -> list[BalanceChange]:
        return [_row(key, balance) for key, balance in self._balances.items()]

    def deposited_units(self, asset: str) -> int:
        """What was deposited and not withdrawn."""
        return self._deposited.get(asset, 0)

    def deposit(self, user_id: str, asset: str, units: int) -> None:
        if units <= 0:
            raise OrderRejected("invalid_order", f"a deposit must be above zero, not {units} units")
        total = self._deposited.get(asset, 0) + units
        if total > MAX_UNITS:
            raise OrderRejected(
                "invalid_order", f"the deposit would lift all {asset} beyond {MAX_UNITS} units"
            )
        self._deposited[asset] = total
        self._touch(user_id, asset).available_units += units

    def pay_out(self, user_id: str, asset: str, units: int) -> None:
        """Let locked units leave the exchange."""
        self.pay_locked(user_id, asset, units)
        self._deposited[asset] -= units

    def lock(self, user_id: str, asset: str, units: int) -> None:
        """Move units from available to locked.

        Raises:
            OrderRejected: fewer are available; nothing has moved.
        """
        held = self._balances.get((user_id, asset))
        available = held.available_units if held else 0
        if available < units:
            raise insufficient_funds(asset, units, available)
        balance = self._touch(user_id, asset)
        balance.available_units -= units
        balance.locked_units += units

    def unlock(self, user_id: str, asset: str, units: int) -> None:
        if not units:
            return
        balance = self._touch(user_id, asset)
        balance.locked_units -= units
        balance.available_units += units
        assert balance.locked_units >= 0

    def pay_locked(self, user_id: str, asset: str, units: int) -> None:
        balance = self._touch(user_id, asset)
        balance.locked_units -= units
        assert balance.locked_units >= 0

    def pay_available(self, user_id: str, asset: str, units: int) -> None:
        balance = self._touch(user_id, asset)
        balance.available_units -= units
        assert balance.available_units >= 0

    def receive(self, user_id: str, asset: str, units: int, rate_ppm: int) -> None:
        """Credit what a trade brings, less the fee, which goes to the exchange."""
        fee = fee_units(units, rate_ppm)
        self._touch(user_id, asset).available_units += units - fee
        if fee:
            self._touch(FEE_ACCOUNT, asset).available_units += fee

    def move(self, user_id: str, to_user_id: str, asset: str, units: int) -> None:
        """Hand available units over to another user.

        Raises:
            OrderRejected: not above zero, or fewer are available; nothing has moved.
        """
        if units <= 0:
            raise OrderRejected("invalid_transfer", f"a transfer must be above zero, not {units} units")
        held = self._balances.get((user_id, asset))
        available = held.available_units if held else 0
        if available < units:
            raise insufficient_funds(asset, units, available)
        self._touch(user_id, asset).available_units -= units
        self._touch(to_user_id, asset).available_units += units

    def take_changes(self) -> tuple[BalanceChange, ...]:
        """The rows that changed since the last call. The exchange's own accounts are left out: single rows
        that every trade changes, and nobody's wallets."""
        if self.observer is not None:
            self.observer([_row(key, balance) for key, balance in self._changed.items()])
        changed, self._changed = self._changed, {}
        return tuple([_row(key, balance) for key, balance in changed.items() if key[0] not in OWN_ACCOUNTS])

    def _touch(self, user_id: str, asset: str) -> Balance:
        key = (user_id, asset)
        balance = self._changed.get(key)
        if balance is None:
            balance = self._balances.get(key)
            if balance is None:
                balance = self._balances[key] = Balance()
            balance.version += 1
            self._changed[key] = balance
        return balance


def insufficient_funds(asset: str, needed_units: int, available_units: int) -> OrderRejected:
    """The same words from the ledger and from the check before it."""
    needed, available = needed_units / UNITS_PER_ASSET, available_units / UNITS_PER_ASSET
    return OrderRejected(
        "insufficient_funds",
        f"{needed:g} {asset} are needed and {available:g} are available",
        {"asset": asset, "needed": needed, "available": available},
    )


def _row(key: tuple[str, str], balance: Balance) -> BalanceChange:
    return BalanceChange(*key, balance.available_units, balance.locked_units, balance.version)
