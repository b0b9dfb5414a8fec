"""Withdrawals in three stages: reserved, then paid or given back. Over the ledger, deterministic."""

from __future__ import annotations

from exchange_ref.engine.ledger import FEE_ACCOUNT, Ledger
from exchange_ref.engine.orders import Status, Withdrawal, WithdrawalStage


def settle(withdrawal: Withdrawal, ledger: Ledger, reserved: dict[str, Withdrawal]) -> Status:
    """Do one stage.

    Args:
        reserved: withdrawals that are neither paid nor given back, by id.

    Raises:
        OrderRejected: too little money to reserve; nothing has changed.
    """
    user_id, asset = withdrawal.user_id, withdrawal.asset
    total_units = withdrawal.units + withdrawal.fee_units
    if withdrawal.stage is WithdrawalStage.RESERVE:
        ledger.lock(user_id, asset, total_units)
        reserved[withdrawal.withdrawal_id] = withdrawal
        return Status.NEW
    reserved.pop(withdrawal.withdrawal_id, None)
    if withdrawal.stage is WithdrawalStage.PAY:
        ledger.pay_out(user_id, asset, withdrawal.units)
        ledger.pay_locked(user_id, asset, withdrawal.fee_units)
        ledger.receive(FEE_ACCOUNT, asset, withdrawal.fee_units, 0)
        return Status.FILLED
    ledger.unlock(user_id, asset, total_units)
    return Status.CANCELED
