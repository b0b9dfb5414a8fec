from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from exchange_ref.accounts.tokens import ACCESS_TTL_S, AccessTokens, BadToken, Identity, load_key
from exchange_ref.services.rate_limit import MAX_KEPT, RateLimit

ANN = {"email": "ann@example.com", "password": "correct horse"}
ORDER = {
    "client_order_id": "1",
    "pair": "SOL/USD",
    "side": "BUY",
    "type": "LIMIT",
    "quantity": 2,
    "price": "94.5",
}


def code_for(folder: Path, email: str) -> str:
    """The newest code in the outbox."""
    lines = [json.loads(line) for line in (folder / "outbox.jsonl").read_text().splitlines()]
    return str([line for line in lines if line["to"] == email][-1]["text"].split()[0])


def other(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


class Caller:
    """Speaks JSON to a gateway without any token but its own; answers are (status, body)."""

    def __init__(self, running: Any, folder: Path) -> None:
        self._running = running
        self.folder = folder

    async def __call__(self, method: str, path: str, body: object = None, token: str = "") -> tuple[int, Any]:
        headers = {"content-type": "application/json"} | (
            {"authorization": f"Bearer {token}"} if token else {}
        )
        sent = json.dumps(body).encode() if body is not None else b""
        while True:  # all strangers of one address share a limit, which this test is not about
            answer = await self._running.stranger.request(method, f"/api/{path}", headers, sent)
            told = json.loads(answer.body)
            if "error" not in told or told["error"]["code"] != "rate_limited":
                return answer.status, told
            await asyncio.sleep(told["error"]["details"]["retry_after_s"])

    async def sign_up(self, who: dict[str, str]) -> dict[str, Any]:
        """Registered, verified and logged in."""
        assert (await self("POST", "auth/register", who))[0] == 202
        code = code_for(self.folder, who["email"])
        assert (await self("POST", "auth/verify", {"email": who["email"], "code": code}))[0] == 200
        return dict((await self("POST", "auth/login", who))[1])


@pytest.fixture(scope="module")
def seen(start_exchange, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one exchange answered, by what was tried."""
    folder = tmp_path_factory.mktemp("accounts")

    async def main() -> dict[str, Any]:
        async with start_exchange(folder) as running:
            call = Caller(running, folder)
            found: dict[str, Any] = {}
            found["registered"] = await call("POST", "auth/register", {**ANN, "email": " Ann@Example.com "})
            found["again too soon"] = await call("POST", "auth/register", ANN)
            code = code_for(folder, ANN["email"])
            found["wrong code"] = await call(
                "POST", "auth/verify", {"email": ANN["email"], "code": other(code)}
            )
            found["before its code"] = await call("POST", "auth/login", ANN)
            found["verified"] = await call("POST", "auth/verify", {"email": ANN["email"], "code": code})
            found["code used"] = await call("POST", "auth/verify", {"email": ANN["email"], "code": code})
            found["taken"] = await call("POST", "auth/register", ANN)
            found["wrong password"] = await call("POST", "auth/login", {**ANN, "password": "wrong"})
            found["unknown"] = await call("POST", "auth/login", {**ANN, "email": "eve@example.com"})
            found["login"] = await call("POST", "auth/login", ANN)
            tokens = found["login"][1]
            access = tokens["access_token"]
            found["me"] = await call("GET", "auth/me", token=access)
            found["order"] = await call("POST", "orders", ORDER, access)
            found["forged"] = await call(
                "GET", "auth/me", token=access[:-2] + ("aa" if access[-2:] != "aa" else "bb")
            )
            found["refresh"] = await call("POST", "auth/refresh", {"refresh_token": tokens["refresh_token"]})
            found["reuse"] = await call("POST", "auth/refresh", {"refresh_token": tokens["refresh_token"]})
            newer = found["refresh"][1]
            found["after reuse"] = await call(
                "POST", "auth/refresh", {"refresh_token": newer["refresh_token"]}
            )
            found["access after reuse"] = await call("GET", "auth/me", token=newer["access_token"])
            second = (await call("POST", "auth/login", ANN))[1]
            found["logout"] = await call("POST", "auth/logout", None, second["access_token"])
            found["after logout"] = await call("GET", "wallet", token=second["access_token"])
            bob = {"email": "bob@example.com", "password": "long enough!"}
            await call.sign_up(bob)
            found["lockout"] = [
                (await call("POST", "auth/login", {**bob, "password": "wrong"}))[0] for _ in range(6)
            ]
            found["locked"] = await call("POST", "auth/login", bob)
            found["bad"] = [
                await call("POST", "auth/register", change)
                for change in ({**ANN, "password": "short"}, {**ANN, "email": "ann"}, {"email": ANN["email"]})
            ]
            found["names"] = {span.name for trace in running.traces().values() for span in trace}
            found["stored"] = b"".join(path.read_bytes() for path in folder.glob("exchange.db*"))
        async with start_exchange(folder) as running:
            found["after a restart"] = await Caller(running, folder)(
                "GET", "wallet", token=second["access_token"]
            )
        return found

    return asyncio.run(main())


def test_from_registration_to_an_order(seen) -> None:
    """A code by mail makes the account usable, whose access token places orders; it has an address."""
    assert seen["registered"] == (
        202,
        {
            "email": "ann@example.com",
            "status": "CODE_SENT",
            "code_expires_in_s": 600,
            "next": "POST /api/auth/verify with the code in outbox.jsonl of the exchange's folder",
        },
    )
    status, account = seen["verified"]
    assert (status, account["address"][:3]) == (200, "kx1")
    assert seen["me"] == (200, {**account, "sessions": 1})
    # Somebody new has no money: the order is refused for that and nothing else.
    assert (seen["order"][0], seen["order"][1]["error"]["code"]) == (422, "insufficient_funds")


REFUSALS = [
    ("again too soon", 429, "wait 60 s"),
    ("wrong code", 401, "the code is wrong"),
    ("before its code", 403, "POST /api/auth/verify"),
    ("code used", 401, "register again"),
    ("taken", 409, "log in: POST /api/auth/login"),
    ("wrong password", 401, "e-mail or password is wrong"),
    ("unknown", 401, "e-mail or password is wrong"),
    ("forged", 401, "is not valid"),
    ("reuse", 401, "was used before"),
    ("after reuse", 401, "the session has ended"),
    ("access after reuse", 401, "the session has ended"),
    ("after logout", 401, "log in again"),
    ("after a restart", 401, "log in again"),
    ("locked", 429, "wait 15 minutes"),
]


@pytest.mark.parametrize(("tried", "status", "words"), REFUSALS)
def test_what_is_refused_says_what_to_do(seen, tried: str, status: int, words: str) -> None:
    """A wrong code, password or token, a token used twice, a session that has ended."""
    got, body = seen[tried]
    assert got == status
    assert words in body["error"]["message"]


def test_five_failed_logins_lock_the_account(seen) -> None:
    """The sixth is not looked at, nor is the right password."""
    assert seen["lockout"] == [401, 401, 401, 401, 401, 429]


def test_wrong_bodies_name_the_field(seen) -> None:
    """A short password, no address, no password."""
    for (status, body), field in zip(seen["bad"], ("password", "email", "password"), strict=True):
        assert (status, body["error"]["code"]) == (400, "invalid_request")
        assert body["error"]["message"].startswith(f"{field}: ")


def test_accounts_are_traced_and_hold_no_secret(seen) -> None:
    """Hashing has spans of its own; neither password nor refresh token is in the database's files."""
    assert {"argon2.hash", "argon2.verify", "UPDATE sessions", "POST /api/v1/auth/login"} <= seen["names"]
    refresh = seen["login"][1]["refresh_token"].partition(".")[2]
    assert b"$argon2id$" in seen["stored"]
    assert ANN["password"].encode() not in seen["stored"]
    assert refresh.encode() not in seen["stored"]


def test_an_access_token_expires_and_belongs_to_its_key(tmp_path: Path) -> None:
    """After a quarter of an hour it is refused with the way to a new one; another key's is not valid."""
    now_s = [1_000_000]
    tokens = AccessTokens(load_key(tmp_path / "key"), lambda: now_s[0] * 10**9)
    token = tokens.issue(Identity("ann", "s"))
    assert tokens.read(token) == Identity("ann", "s")
    assert AccessTokens(load_key(tmp_path / "key"), lambda: now_s[0] * 10**9).read(token).user_id == "ann"
    with pytest.raises(BadToken, match="not valid"):
        AccessTokens(load_key(tmp_path / "other"), time.time_ns).read(token)
    now_s[0] += ACCESS_TTL_S
    with pytest.raises(BadToken, match="POST /api/auth/refresh"):
        tokens.read(token)
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0


def test_limits_are_for_each_user_alone(open_exchange, tmp_path: Path) -> None:
    """Of many orders at once a user gets ten a second and then 429 with the time to wait; the load generator
    has no limit."""

    async def main() -> tuple[list[int], dict[str, Any], str, list[int]]:
        async with open_exchange() as running:
            call = Caller(running, tmp_path / "exchange")
            token = (await call.sign_up(ANN))["access_token"]
            headers = {"authorization": f"Bearer {token}"}
            body = json.dumps(ORDER).encode()
            answers = [
                await running.stranger.request("POST", "/api/orders", headers, body) for _ in range(60)
            ]
            load = [
                await running.client.request("POST", "/api/orders", {"x-user-id": "trader-01"}, body)
                for _ in range(30)
            ]
            refused = next(answer for answer in answers if answer.status == 429)
            error = json.loads(refused.body)["error"]
            statuses = [answer.status for answer in answers]
            return statuses, error, refused.headers["retry-after"], [answer.status for answer in load]

    statuses, error, retry_after, load = asyncio.run(main())
    assert statuses[:5] == [422] * 5
    assert statuses.count(429) > 10
    assert (error["code"], retry_after) == ("rate_limited", "1")
    assert 0 < error["details"]["retry_after_s"] <= 0.1
    assert set(load) == {200, 201}


def test_buckets_of_the_silent_are_forgotten() -> None:
    """Memory is bounded, and who comes back after a while starts with a full bucket."""
    limit = RateLimit(2.0)
    assert [limit.take("ann", 0.0) > 0 for _ in range(4)] == [False, False, True, True]
    assert limit.take("ann", 0.6) == 0
    for number in range(MAX_KEPT):
        limit.take(str(number), 1.0)
    assert limit.take("ann", 1.0) == 0
