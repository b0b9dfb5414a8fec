"""Wallets of the API: rows that follow the matcher's ledger, and addresses."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable

from opentelemetry.trace import Span

from exchange_ref.engine.instruments import ASSETS
from exchange_ref.engine.ledger import insufficient_funds
from exchange_ref.engine.messages import encode_command
from exchange_ref.engine.orders import Deposit, OrderRejected, Result
from exchange_ref.services.addresses import address_of, is_address
from exchange_ref.services.api.database import Database
from exchange_ref.services.api.matcher_client import MatcherClient
from exchange_ref.services.api.statements import (
    INSERT_ADDRESSES,
    INSERT_WALLETS,
    SELECT_ADDRESSES,
    SELECT_WALLETS,
    UPDATE_WALLETS,
)
from exchange_ref.services.api.traced_database import TracedDatabase

# (asset, available units, locked units) of each wallet of a user.
WalletRows = list[tuple[str, int, int]]


class Wallets:
    """`fetch` is how the rows of a user are read; one statement for all of them unless replaced."""

    def __init__(self, database: Database, traced: TracedDatabase, matcher: MatcherClient) -> None:
        self._database = database
        self.matcher = matcher
        self.traced = traced
        self.fetch: Callable[[str, Span], Awaitable[WalletRows]] = self._fetch_all

    async def read(self, user_id: str, server: Span) -> WalletRows:
        return await self.fetch(user_id, server)

    async def check_funds(self, user_id: str, asset: str, units: int, server: Span) -> None:
        """Turn away what can surely not be paid. The ledger decides; these rows may be a moment old.

        Raises:
            OrderRejected: less than `units` is available.
        """
        available = {asset: available for asset, available, _ in await self.read(user_id, server)}
        if available.get(asset, 0) < units:
            raise insufficient_funds(asset, units, available.get(asset, 0))

    async def user_of(self, address: str, server: Span) -> str:
        """Who receives at `address`.

        Raises:
            OrderRejected: it is mistyped, or nobody's.
        """
        if not is_address(address):
            raise OrderRejected(
                "invalid_transfer", f"{address!r} is not a kx1 address; check it for a typing error"
            )
        rows = await self.traced.read(SELECT_ADDRESSES, (address,), server)
        if not rows:
            raise OrderRejected("not_found", f"nobody receives at {address}")
        return str(rows[0][0])

    async def deposit(self, user_id: str, asset: str, units: int) -> None:
        """The on-ramp: credit money from outside. Not an HTTP path and not traced.

        Raises:
            OrderRejected: not above zero, or more than the ledger can hold.
        """
        deposit = Deposit(user_id, asset, units, uuid.uuid4().hex)
        await self.store(await self.matcher.execute_untraced(encode_command(deposit)))

    async def store(self, result: Result) -> None:
        """Write wallet rows, rows of zero for the user's other assets so that later updates find them, and
        the user's address."""
        users = {row.user_id for row in result.balances}
        changes = [
            (row.available_units, row.locked_units, row.version, row.user_id, row.asset, row.version)
            for row in result.balances
        ]
        await self._database.write(
            (INSERT_ADDRESSES, [(address_of(user), user) for user in users]),
            (INSERT_WALLETS, [(user, asset) for user in users for asset in ASSETS]),
            (UPDATE_WALLETS, changes),
        )

    async def create(self, user_id: str, server: Span) -> None:
        """Make the user somebody who can be paid; who is it already stays it."""
        await self.traced.write(INSERT_ADDRESSES, [(address_of(user_id), user_id)], server)
        await self.traced.write(INSERT_WALLETS, [(user_id, asset) for asset in ASSETS], server)

    async def _fetch_all(self, user_id: str, server: Span) -> WalletRows:
        rows = await self.traced.read(SELECT_WALLETS, (user_id,), server)
        return [(asset, available, locked) for asset, available, locked in rows]
