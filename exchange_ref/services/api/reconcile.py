"""Brings rows of orders and transfers up to the journal after a crash between the two."""

from __future__ import annotations

from exchange_ref.engine.engine import Engine
from exchange_ref.engine.markets import order_change
from exchange_ref.engine.orders import OrderChange, Result, Status
from exchange_ref.services.api.database import Database
from exchange_ref.services.api.statements import SELECT_OPEN_ROWS, UPDATE_ORDERS, UPDATE_TRANSFERS
from exchange_ref.services.api.traced_database import order_update
from exchange_ref.services.api.transfers import transfer_status


class Standing:
    """How each order and each transfer of a journal stands, from the results of its commands in order."""

    def __init__(self) -> None:
        self._orders: dict[str, OrderChange] = {}
        self._transfers: dict[str, str] = {}

    def take(self, op: str, result: Result) -> None:
        """
        Args:
            op: the journal's word for the command.
        """
        if op == "transfer":
            self._transfers[result.order_id] = transfer_status(result)
        for change in result.orders:
            self._orders[change.order_id] = change

    def take_open(self, engine: Engine) -> None:
        """Orders that are open in an engine, of which the commands taken here may be the newest alone."""
        for symbol, book in engine.books.items():
            for order in (*book.resting_orders(), *engine.stops[symbol].waiting_orders()):
                status = Status.PARTIALLY_FILLED if order.filled_lots else Status.NEW
                self._orders.setdefault(order.order_id, order_change(order, status))

    async def reconcile(self, database: Database) -> bool:
        """Bring rows that still count as open to where they stand; returns whether all were known.

        A row that the journal does not know stays as it is: its command may lie in the broker.
        """
        rows = await database.read(SELECT_OPEN_ROWS, ())
        ids = [str(row[0]) for row in rows]
        orders = [order_update(change) for change in map(self._orders.get, ids) if change is not None]
        transfers = [(self._transfers[one], one) for one in ids if one in self._transfers]
        await database.write((UPDATE_ORDERS, orders), (UPDATE_TRANSFERS, transfers))
        return len(orders) + len(transfers) == len(ids)
