"""Time-based one-time passwords (RFC 6238) as a second factor. A code works once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from hmac import compare_digest
from typing import Final

import pyotp
from opentelemetry.trace import Span

from exchange_ref.engine.orders import OrderRejected
from exchange_ref.services.api.statements import Statement, load_sql
from exchange_ref.services.api.traced_database import TracedDatabase

ISSUER: Final = "kx-exchange"
STEP_S: Final = 30
# A phone's clock may be a step off either way.
OFFSETS: Final = (-1, 0, 1)


def _statement(operation: str, name: str) -> Statement:
    return Statement(operation, "second_factors", load_sql(f"accounts/{name}"))


OFFER_FACTOR = _statement("INSERT", "offer_factor")
SELECT_FACTOR = _statement("SELECT", "select_factor")
USE_FACTOR = _statement("UPDATE", "use_factor")
END_FACTOR = _statement("DELETE", "end_factor")


class SecondFactor:
    """
    Args:
        now_ns: the clock, nanoseconds since 1970.
    """

    def __init__(self, traced: TracedDatabase, now_ns: Callable[[], int]) -> None:
        self._traced = traced
        self.now_ns = now_ns

    async def offer(self, user_id: str, email: str, server: Span) -> tuple[str, str]:
        """A new secret and its `otpauth://` address; it counts once a code of it was confirmed.

        Raises:
            OrderRejected: there is a second factor already.
        """
        secret = pyotp.random_base32()
        if not await self._traced.read(OFFER_FACTOR, (user_id, secret), server):
            raise OrderRejected("conflict", "a second factor is on; end it first: POST /api/auth/totp/off")
        return secret, pyotp.TOTP(secret, interval=STEP_S).provisioning_uri(name=email, issuer_name=ISSUER)

    async def confirm(self, user_id: str, code: str, server: Span) -> None:
        """From now on logins need a code.

        Raises:
            OrderRejected: nothing was offered, or the code is not its.
        """
        rows = await self._traced.read(SELECT_FACTOR, (user_id,), server)
        if not rows:
            raise OrderRejected("not_found", "no second factor was asked for: POST /api/auth/totp")
        await self._use(user_id, rows[0][0], code, server)

    async def check(self, user_id: str, code: str, server: Span) -> None:
        """
        Raises:
            OrderRejected: the user has a second factor, and `code` is not it or was used before.
        """
        rows = await self._traced.read(SELECT_FACTOR, (user_id,), server)
        if not rows or not rows[0][1]:
            return
        if not code:
            raise OrderRejected("totp_required", "send the code of your authenticator as totp too")
        await self._use(user_id, rows[0][0], code, server)

    async def end(self, user_id: str, server: Span) -> None:
        await self._traced.write(END_FACTOR, [(user_id,)], server)

    async def _use(self, user_id: str, secret: str, code: str, server: Span) -> None:
        now = datetime.fromtimestamp(self.now_ns() / 1e9, UTC)
        totp = pyotp.TOTP(secret, interval=STEP_S)
        for offset in OFFSETS:
            if compare_digest(totp.at(now, counter_offset=offset).encode(), code.encode()):
                step = int(now.timestamp()) // STEP_S + offset
                if await self._traced.read(USE_FACTOR, (user_id, step), server):
                    return
        raise OrderRejected("unauthorized", "the one-time code is wrong or was used; wait for the next")
