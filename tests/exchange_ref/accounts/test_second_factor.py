from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pyotp
import pytest

from exchange_ref.accounts.second_factor import STEP_S
from tests.exchange_ref.accounts.test_accounts import ANN, Caller, other


@pytest.fixture(scope="module")
def seen(start_exchange, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one exchange answered, by what was tried; its clock stands still but for two jumps."""
    folder = tmp_path_factory.mktemp("factor")

    async def main() -> dict[str, Any]:
        async with start_exchange(folder) as running:
            now_s = [time.time()]
            running.exchange.accounts.factor.now_ns = lambda: int(now_s[0] * 1e9)
            call = Caller(running, folder)
            token = (await call.sign_up(ANN))["access_token"]
            found: dict[str, Any] = {}
            password = {"password": ANN["password"]}
            found["wrong password"] = await call("POST", "auth/totp", {"password": "wrong"}, token)
            found["offered"] = await call("POST", "auth/totp", password, token)
            totp = pyotp.TOTP(found["offered"][1]["secret"])
            code = totp.at(now_s[0])
            found["before it counts"] = await call("POST", "auth/login", ANN)
            found["wrong confirmation"] = await call(
                "POST", "auth/totp/confirm", {"code": other(code)}, token
            )
            found["confirmed"] = await call("POST", "auth/totp/confirm", {"code": code}, token)
            found["offered again"] = await call("POST", "auth/totp", password, token)
            found["without"] = await call("POST", "auth/login", ANN)
            found["used"] = await call("POST", "auth/login", {**ANN, "totp": code})
            now_s[0] += STEP_S
            fresh = totp.at(now_s[0])
            found["wrong password, right code"] = await call(
                "POST", "auth/login", {**ANN, "password": "wrong", "totp": fresh}
            )
            found["with"] = await call("POST", "auth/login", {**ANN, "totp": fresh})
            found["guesses"] = [
                (await call("POST", "auth/login", {**ANN, "totp": other(fresh)}))[0] for _ in range(6)
            ]
            return found

    return asyncio.run(main())


def test_a_second_factor_is_confirmed_before_it_counts(seen) -> None:
    """The secret comes as an authenticator scans it, to who knows the password."""
    assert seen["wrong password"][0] == 401
    status, offered = seen["offered"]
    assert (status, offered["status"]) == (200, "WAITS_FOR_CODE")
    assert offered["uri"].startswith("otpauth://totp/kx-exchange:ann%40example.com?secret=")
    assert seen["before it counts"][0] == 200
    assert seen["wrong confirmation"][0] == 401
    assert seen["confirmed"] == (200, {"status": "ON"})
    assert "secret" not in seen["offered again"][1]


def test_a_login_needs_both_factors_and_a_code_works_once(seen) -> None:
    assert (seen["without"][0], seen["without"][1]["error"]["code"]) == (401, "totp_required")
    assert "was used" in seen["used"][1]["error"]["message"]
    assert seen["wrong password, right code"][0] == 401
    assert (seen["with"][0], "access_token" in seen["with"][1]) == (200, True)


def test_guessed_codes_lock_the_account(seen) -> None:
    """As wrong passwords do."""
    assert seen["guesses"] == [401] * 5 + [429]


def test_a_second_factor_is_ended_with_both(open_exchange, tmp_path: Path) -> None:
    """After that the password is enough."""

    async def main() -> list[int]:
        async with open_exchange() as running:
            now_s = [time.time()]
            running.exchange.accounts.factor.now_ns = lambda: int(now_s[0] * 1e9)
            call = Caller(running, tmp_path / "exchange")
            token = (await call.sign_up(ANN))["access_token"]
            password = {"password": ANN["password"]}
            secret = (await call("POST", "auth/totp", password, token))[1]["secret"]
            totp = pyotp.TOTP(secret)
            await call("POST", "auth/totp/confirm", {"code": totp.at(now_s[0])}, token)
            now_s[0] += STEP_S
            code = totp.at(now_s[0])
            wrong = await call("POST", "auth/totp/off", {**password, "code": other(code)}, token)
            right = await call("POST", "auth/totp/off", {**password, "code": code}, token)
            return [wrong[0], right[0], (await call("POST", "auth/login", ANN))[0]]

    assert asyncio.run(main()) == [401, 200, 200]
