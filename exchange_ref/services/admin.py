"""Switch faults on and off while the exchange runs: `/admin/faults` at the gateway, with a token, untraced.

| | |
|---|---|
| `GET /admin/faults` | `{kinds, running, over}` |
| `POST /admin/faults` `{kind, for_s?, params?}` | 202 `{fault_id}` |
| `DELETE /admin/faults/{fault_id}` | 202: it ends now; its label follows |
"""

from __future__ import annotations

import hmac
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from exchange_ref.faults.registry import KINDS, MOMENTARY
from exchange_ref.faults.runner import AlreadyThere, FaultRunner
from exchange_ref.faults.schedule import build_fault
from exchange_ref.services.http_errors import error_body, status_of

FAULTS_PATH = "/admin/faults"


class FaultRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: str
    for_s: float | None = Field(default=None, gt=0, le=86_400)
    params: dict[str, Any] = {}

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in KINDS:
            raise ValueError(f"there is no fault {kind!r}; choose one of {', '.join(KINDS)}")
        return kind


class Admin:
    """Answers requests below `/admin/`.

    Args:
        token: what `Authorization: Bearer …` must say.
    """

    def __init__(self, token: str, runner: FaultRunner) -> None:
        self._expected = f"Bearer {token}".encode()
        self._runner = runner

    def answer(self, method: str, path: str, authorization: bytes, body: bytes) -> tuple[int, bytes]:
        """Status and body of an answer."""
        if not hmac.compare_digest(authorization, self._expected):
            return _error("unauthorized", "send the exchange's admin token as Authorization: Bearer TOKEN")
        if path == FAULTS_PATH and method == "GET":
            runner = self._runner
            return _json(200, {"kinds": KINDS, "running": runner.running(), "over": runner.labels()})
        if path == FAULTS_PATH and method == "POST":
            return self._launch(body)
        if path.startswith(FAULTS_PATH + "/") and method == "DELETE":
            fault_id = path.removeprefix(FAULTS_PATH + "/")
            if self._runner.end(fault_id):
                return _json(202, {"fault_id": fault_id})
            return _error("not_found", f"no fault {fault_id!r} is happening")
        return _error("not_found", f"nothing is served at {method} {path}")

    def _launch(self, body: bytes) -> tuple[int, bytes]:
        try:
            request = FaultRequest.model_validate_json(body)
            if request.kind in MOMENTARY and request.for_s is not None:
                return _error("invalid_fault", f"a {request.kind} is over at once; leave for_s out")
            fault = build_fault(request.kind, request.for_s, request.params)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "body"
            return _error("invalid_fault", f"{field}: {first['msg']}")
        try:
            return _json(202, {"fault_id": self._runner.launch(request.kind, fault)})
        except AlreadyThere as error:
            return _error("conflict", str(error))


def _json(status: int, value: object) -> tuple[int, bytes]:
    return status, json.dumps(value).encode()


def _error(code: str, message: str) -> tuple[int, bytes]:
    return status_of(code), error_body(code, message)
