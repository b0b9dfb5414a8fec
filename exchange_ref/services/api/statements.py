"""The API's SQL statements by name, read from the files beside this one."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. `name` is its span's: operation and table."""

    operation: str
    table: str
    sql: str

    @property
    def name(self) -> str:
        return f"{self.operation} {self.table}"


def load_sql(name: str) -> str:
    path = files("exchange_ref.services.api").joinpath("sql", f"{name}.sql")
    return path.read_text(encoding="utf-8").strip()


def _statement(operation: str, table: str) -> Statement:
    return Statement(operation, table, load_sql(f"{operation}_{table}".lower()))


SCHEMA_SQL = load_sql("schema")
# By a column of orders: what a database lacks that has no such column.
UPGRADES_SQL = {"time_in_force": load_sql("add_order_terms"), "stop_ticks": load_sql("add_stop_terms")}
SELECT_WALLETS = _statement("SELECT", "wallets")
SELECT_WALLET = Statement("SELECT", "wallets", load_sql("select_wallet"))
SELECT_ADDRESSES = _statement("SELECT", "addresses")
SELECT_CFD_TRADES = _statement("SELECT", "cfd_trades")
SELECT_CFD_TRADE = Statement("SELECT", "cfd_trades", load_sql("select_cfd_trade"))
SELECT_OPEN_ROWS = Statement("SELECT", "orders", load_sql("select_open_rows"))
SELECT_ORDERS = _statement("SELECT", "orders")
SELECT_OPEN_ORDERS = Statement("SELECT", "orders", load_sql("select_open_orders"))
SELECT_ALL_ORDERS = Statement("SELECT", "orders", load_sql("select_all_orders"))
SELECT_PAYMENT = Statement("SELECT", "payments", load_sql("select_payment"))
SELECT_PENDING_PAYMENTS = Statement("SELECT", "payments", load_sql("select_pending_payments"))
SELECT_PAYMENTS = _statement("SELECT", "payments")
SELECT_TRANSFERS = _statement("SELECT", "transfers")
INSERT_PAYMENTS = _statement("INSERT", "payments")
UPDATE_PAYMENTS = _statement("UPDATE", "payments")
INSERT_ADDRESSES = _statement("INSERT", "addresses")
INSERT_CFD_TRADES = _statement("INSERT", "cfd_trades")
INSERT_ORDERS = _statement("INSERT", "orders")
INSERT_TRANSFERS = _statement("INSERT", "transfers")
INSERT_WALLETS = _statement("INSERT", "wallets")
UPDATE_CFD_TRADES = _statement("UPDATE", "cfd_trades")
RESET_CFD_TRADES = Statement("UPDATE", "cfd_trades", load_sql("reset_cfd_trades"))
UPDATE_ORDERS = _statement("UPDATE", "orders")
UPDATE_TRANSFERS = _statement("UPDATE", "transfers")
UPDATE_WALLETS = _statement("UPDATE", "wallets")
STATEMENTS = {
    statement.name: statement
    for statement in (
        SELECT_WALLETS,
        SELECT_ADDRESSES,
        SELECT_CFD_TRADES,
        SELECT_ORDERS,
        SELECT_PAYMENTS,
        SELECT_TRANSFERS,
        INSERT_PAYMENTS,
        UPDATE_PAYMENTS,
        INSERT_ADDRESSES,
        INSERT_CFD_TRADES,
        INSERT_ORDERS,
        INSERT_TRANSFERS,
        INSERT_WALLETS,
        UPDATE_CFD_TRADES,
        UPDATE_ORDERS,
        UPDATE_TRANSFERS,
        UPDATE_WALLETS,
    )
}
