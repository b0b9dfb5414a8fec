"""Access tokens: JWTs that name a user and a session, signed with a key of the data folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jwt

ISSUER: Final = "kx-exchange"
ACCESS_TTL_S: Final = 900
ALGORITHM: Final = "HS256"
KEY_BYTES: Final = 32


class BadToken(Exception):
    """The message says what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    user_id: str
    session_id: str


class AccessTokens:
    """
    Args:
        now_ns: the clock, nanoseconds since 1970.

    `end` lets tokens of a session count no more, although they have not expired.
    """

    def __init__(self, key: bytes, now_ns: Callable[[], int]) -> None:
        self._key = key
        self._now_ns = now_ns
        self._ended: dict[str, int] = {}

    def issue(self, identity: Identity) -> str:
        now_s = self._now_ns() // 10**9
        claims = {"iss": ISSUER, "sub": identity.user_id, "sid": identity.session_id, "iat": now_s}
        return jwt.encode({**claims, "exp": now_s + ACCESS_TTL_S}, self._key, ALGORITHM)

    def end(self, session_id: str) -> None:
        now_s = self._now_ns() // 10**9
        self._ended = {one: until_s for one, until_s in self._ended.items() if until_s > now_s}
        self._ended[session_id] = now_s + ACCESS_TTL_S

    def read(self, token: str) -> Identity:
        """
        Raises:
            BadToken: not one of ours, expired, or of a session that has ended.
        """
        try:
            claims = jwt.decode(
                token,
                self._key,
                [ALGORITHM],
                issuer=ISSUER,
                options={"require": ["sub", "sid", "exp"], "verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError:
            raise BadToken("the access token is not valid; POST /api/auth/login gives one") from None
        if claims["exp"] <= self._now_ns() // 10**9:
            raise BadToken("the access token has expired; POST /api/auth/refresh gives a new one")
        if claims["sid"] in self._ended:
            raise BadToken("the session has ended; log in again: POST /api/auth/login")
        return Identity(claims["sub"], claims["sid"])


def load_key(path: Path) -> bytes:
    """The key in a file that only its owner reads; made at the first start."""
    if not path.exists() or path.stat().st_size != KEY_BYTES:
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        fresh.replace(path)
    return path.read_bytes()
