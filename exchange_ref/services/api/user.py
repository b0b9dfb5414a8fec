"""The user of a request."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import Depends, Header, Request

from exchange_ref.engine.orders import OrderRejected

GATEWAY_HEADER = "x-gateway-token"


async def _user(
    request: Request,
    user_id: Annotated[str, Header(alias="x-user-id", max_length=64)] = "",
    gateway_token: Annotated[str, Header(alias=GATEWAY_HEADER)] = "",
) -> str:
    """The user whom the gateway has let in. Nobody else is asked who they are."""
    expected: str = request.app.state.gateway_token
    if not hmac.compare_digest(gateway_token.encode(), expected.encode()):
        raise OrderRejected("unauthorized", "users are let in by the gateway alone; ask there")
    if not user_id:
        raise OrderRejected("unauthorized", "name the user of this request in x-user-id")
    return user_id


UserId = Annotated[str, Depends(_user)]
