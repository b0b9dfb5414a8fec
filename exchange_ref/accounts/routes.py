"""The HTTP paths of accounts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from exchange_ref.accounts.service import CODE_TTL_S, AccountService, Tokens
from exchange_ref.accounts.tokens import ACCESS_TTL_S
from exchange_ref.services.api.server_spans import SPAN_KEY
from exchange_ref.services.api.user import UserId

AUTH_PATH = "/api/v1/auth"
Email = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, to_lower=True, max_length=254, pattern=r"^[^@\s]{1,64}@[^@\s]+\.[^@\s.]+$"
    ),
]


class Credentials(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: Email
    password: str = Field(max_length=128)


class Login(Credentials):
    totp: str = Field(default="", pattern=r"^(\d{6})?$", description="Of the second factor, where it is on.")


class Password(BaseModel):
    model_config = ConfigDict(extra="forbid")

    password: str = Field(max_length=128)


class Code(BaseModel):
    model_config = ConfigDict(extra="forbid")

    code: str = Field(pattern=r"^\d{6}$")


class PasswordAndCode(Password, Code):
    pass


class FactorReply(BaseModel):
    """`uri` is what an authenticator scans."""

    status: str
    secret: str | None = None
    uri: str | None = None


class Registration(Credentials):
    password: str = Field(min_length=10, max_length=128)


class Verification(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: Email
    code: str = Field(pattern=r"^\d{6}$")


class Refresh(BaseModel):
    model_config = ConfigDict(extra="forbid")

    refresh_token: str = Field(min_length=1, max_length=128)


class RegistrationReply(BaseModel):
    email: str
    status: str = "CODE_SENT"
    code_expires_in_s: int = CODE_TTL_S
    next: str = "POST /api/auth/verify with the code in outbox.jsonl of the exchange's folder"


class TokenReply(BaseModel):
    """`Authorization: Bearer <access_token>` goes with each request; the refresh token works once."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the scheme, no secret
    expires_in_s: int = ACCESS_TTL_S
    refresh_token: str


class AccountReply(BaseModel):
    user_id: str
    email: str
    address: str
    sessions: int


class LogoutReply(BaseModel):
    status: str = "LOGGED_OUT"


def account_routes(accounts: AccountService) -> APIRouter:
    router = APIRouter(prefix=AUTH_PATH)

    @router.post("/register", status_code=202)
    async def register(body: Registration, request: Request) -> RegistrationReply:
        await accounts.register(body.email, body.password, request.scope[SPAN_KEY])
        return RegistrationReply(email=body.email)

    @router.post("/verify")
    async def verify(body: Verification, request: Request) -> AccountReply:
        account = await accounts.verify(body.email, body.code, request.scope[SPAN_KEY])
        return AccountReply.model_validate(account, from_attributes=True)

    @router.post("/login")
    async def login(body: Login, request: Request) -> TokenReply:
        return _tokens(await accounts.login(body.email, body.password, body.totp, request.scope[SPAN_KEY]))

    @router.post("/refresh")
    async def refresh(body: Refresh, request: Request) -> TokenReply:
        return _tokens(await accounts.refresh(body.refresh_token, request.scope[SPAN_KEY]))

    @router.post("/logout")
    async def logout(
        _: UserId, request: Request, session_id: Annotated[str, Header(alias="x-session-id")] = ""
    ) -> LogoutReply:
        await accounts.logout(session_id, request.scope[SPAN_KEY])
        return LogoutReply()

    _add_second_factor(router, accounts)

    @router.get("/me")
    async def me(user_id: UserId, request: Request) -> AccountReply:
        account = await accounts.account(user_id, request.scope[SPAN_KEY])
        return AccountReply.model_validate(account, from_attributes=True)

    return router


def _add_second_factor(router: APIRouter, accounts: AccountService) -> None:
    @router.post("/totp", response_model_exclude_none=True)
    async def offer(body: Password, user_id: UserId, request: Request) -> FactorReply:
        secret, uri = await accounts.offer_factor(user_id, body.password, request.scope[SPAN_KEY])
        return FactorReply(status="WAITS_FOR_CODE", secret=secret, uri=uri)

    @router.post("/totp/confirm", response_model_exclude_none=True)
    async def confirm(body: Code, user_id: UserId, request: Request) -> FactorReply:
        await accounts.factor.confirm(user_id, body.code, request.scope[SPAN_KEY])
        return FactorReply(status="ON")

    @router.post("/totp/off", response_model_exclude_none=True)
    async def off(body: PasswordAndCode, user_id: UserId, request: Request) -> FactorReply:
        await accounts.end_factor(user_id, body.password, body.code, request.scope[SPAN_KEY])
        return FactorReply(status="OFF")


def _tokens(tokens: Tokens) -> TokenReply:
    return TokenReply(access_token=tokens.access_token, refresh_token=tokens.refresh_token)
