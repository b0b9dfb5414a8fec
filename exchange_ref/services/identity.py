"""Who asks: a user with an access token, or a load generator that may speak for any trader."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from exchange_ref.accounts.tokens import AccessTokens, BadToken
from exchange_ref.services.rate_limit import RateLimit

ORDERS_PER_S: Final = 10.0
DATA_PER_S: Final = 100.0
LOGIN: Final = "log in (POST /api/auth/login) and send Authorization: Bearer ACCESS_TOKEN"


class Refused(Exception):
    def __init__(self, code: str, message: str, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = dict(details or {})


@dataclass(frozen=True, slots=True)
class Caller:
    """`user_id` is empty for a stranger. `key` is what limits count by; empty for one without limits."""

    user_id: str = ""
    session_id: str = ""
    key: str = ""


class Doorman:
    """
    Args:
        trusted: bearer tokens of those who name their user in `x-user-id`.
    """

    def __init__(self, tokens: AccessTokens, trusted: Sequence[str]) -> None:
        self.tokens = tokens
        self._trusted = [f"Bearer {token}".encode() for token in trusted if token]
        self._orders = RateLimit(ORDERS_PER_S)
        self._data = RateLimit(DATA_PER_S)

    def identify(self, headers: Mapping[bytes, bytes], host: str) -> Caller:
        """
        Raises:
            Refused: a token that is not good, or a name without a token.
        """
        authorization = headers.get(b"authorization", b"")
        named = headers.get(b"x-user-id", b"").decode("latin-1")
        if authorization:
            if any(hmac.compare_digest(authorization, trusted) for trusted in self._trusted):
                return Caller(named)
            scheme, _, token = authorization.decode("latin-1").partition(" ")
            if scheme.lower() != "bearer":
                raise Refused("unauthorized", f"{scheme!r} is no way to log in here; {LOGIN}")
            return self.caller_of(token.strip())
        if named:
            raise Refused("unauthorized", f"x-user-id alone names nobody; {LOGIN}")
        return Caller(key=host)

    def caller_of(self, token: str) -> Caller:
        """
        Raises:
            Refused: the access token is not good.
        """
        try:
            identity = self.tokens.read(token)
        except BadToken as error:
            raise Refused("unauthorized", str(error)) from None
        return Caller(identity.user_id, identity.session_id, identity.user_id)

    def admit(self, caller: Caller, *, is_order: bool) -> None:
        """Count a request.

        Raises:
            Refused: there were too many in the last second.
        """
        if not caller.key:
            return
        limit = self._orders if is_order else self._data
        wait_s = limit.take(caller.key, time.monotonic())
        if wait_s:
            what = "orders, logins or other writes" if is_order else "requests"
            raise Refused(
                "rate_limited",
                f"more than {limit.rate_per_s:g} {what} a second; wait {wait_s:.2f} s and try again",
                {"retry_after_s": round(wait_s, 3)},
            )
