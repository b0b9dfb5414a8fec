"""Switch faults and load while the exchange runs: `/admin/` at the gateway, with a token, untraced.

| | |
|---|---|
| `GET /admin/faults` | `{kinds, catalogue, running, over}`; the truth of each kind is in `catalogue` |
| `POST /admin/faults` `{kind, for_s?, params?}` | 202 `{fault_id}` |
| `DELETE /admin/faults/{fault_id}` | 202: it ends now; its label follows |
| `PUT /admin/load` `{rate_per_s}` | 200 `{rate_per_s, rate_now_per_s, …}`: mean orders a second from now on |
"""

from __future__ import annotations

import hmac
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from exchange_ref.faults.catalogue import catalogue
from exchange_ref.faults.registry import KINDS, MOMENTARY, KnownKind
from exchange_ref.faults.runner import AlreadyThere, FaultRunner
from exchange_ref.faults.schedule import build_fault
from exchange_ref.load.arrivals import Load
from exchange_ref.services.http_errors import error_body, status_of
from exchange_ref.services.market_data import load_state

FAULTS_PATH = "/admin/faults"
LOAD_PATH = "/admin/load"
# Below the least, the next order would come so late that a faster load seemed not to begin.
LEAST_RATE_PER_S = 0.2
MOST_RATE_PER_S = 5_000


class FaultRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: KnownKind
    for_s: float | None = Field(default=None, gt=0, le=86_400)
    params: dict[str, Any] = {}


class LoadRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rate_per_s: float = Field(ge=LEAST_RATE_PER_S, le=MOST_RATE_PER_S)


class Admin:
    """Answers requests below `/admin/`.

    Args:
        token: what `Authorization: Bearer …` must say.
    """

    def __init__(self, token: str, runner: FaultRunner, load: Load) -> None:
        self._expected = f"Bearer {token}".encode()
        self._runner = runner
        self._load = load

    def answer(self, method: str, path: str, authorization: bytes, body: bytes) -> tuple[int, bytes]:
        """Status and body of an answer."""
        if not hmac.compare_digest(authorization, self._expected):
            return _error("unauthorized", "send the exchange's admin token as Authorization: Bearer TOKEN")
        handlers = {
            ("GET", FAULTS_PATH): self._faults,
            ("POST", FAULTS_PATH): self._launch,
            ("PUT", LOAD_PATH): self._set_load,
        }
        if (method, path) in handlers:
            return handlers[method, path](body)
        if path.startswith(FAULTS_PATH + "/") and method == "DELETE":
            fault_id = path.removeprefix(FAULTS_PATH + "/")
            if self._runner.end(fault_id):
                return _json(202, {"fault_id": fault_id})
            return _error("not_found", f"no fault {fault_id!r} is happening")
        return _error("not_found", f"nothing is served at {method} {path}")

    def _faults(self, _: bytes) -> tuple[int, bytes]:
        runner = self._runner
        state = {"kinds": KINDS, "catalogue": catalogue(), "running": runner.running()}
        return _json(200, {**state, "over": runner.labels()})

    def _set_load(self, body: bytes) -> tuple[int, bytes]:
        try:
            self._load.rate_per_s = LoadRequest.model_validate_json(body).rate_per_s
        except ValidationError as error:
            return _error("invalid_load", _first_of(error))
        return _json(200, load_state(self._load))

    def _launch(self, body: bytes) -> tuple[int, bytes]:
        try:
            request = FaultRequest.model_validate_json(body)
            if request.kind in MOMENTARY and request.for_s is not None:
                return _error("invalid_fault", f"a {request.kind} is over at once; leave for_s out")
            fault = build_fault(request.kind, request.for_s, request.params)
        except ValidationError as error:
            return _error("invalid_fault", _first_of(error))
        try:
            return _json(202, {"fault_id": self._runner.launch(request.kind, fault)})
        except AlreadyThere as error:
            return _error("conflict", str(error))


def _first_of(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'body'}: {first['msg']}"


def _json(status: int, value: object) -> tuple[int, bytes]:
    return status, json.dumps(value).encode()


def _error(code: str, message: str) -> tuple[int, bytes]:
    return status_of(code), error_body(code, message)
