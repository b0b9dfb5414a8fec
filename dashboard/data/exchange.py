"""The reference exchange, over its own HTTP: market, orders, and the switches of faults and load."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2
import streamlit as st

from collector.errors import Conflict, InvalidInput, NotFound, SpyhopError, Unauthenticated, Unavailable

TIMEOUT_S = 12.0  # an order waits for the matcher for up to ten
PROBE_TIMEOUT_S = 0.5
TTL_S = 0.8
BODY_MAX_BYTES = 4_000_000
_BY_STATUS: Mapping[int, type[SpyhopError]] = {401: Unauthenticated, 404: NotFound, 409: Conflict}


@dataclass(frozen=True)
class Placed:
    """The result of an order: HTTP status, the body (also of an error), and its trace."""

    status: int
    body: dict[str, Any]
    trace_id: str | None


def market(url: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """Pairs with their books, traders, load: the answer of `GET /market`.

    Raises:
        Unavailable: nothing answers there, or something that is not an exchange.
    """
    body = _ask("GET", f"{url}/market", timeout_s=timeout_s)
    if not {"pairs", "traders", "load"} <= body.keys():
        raise Unavailable(f"what answers at {url} is not an exchange", hint="give the address of its gateway")
    return body


@st.cache_data(ttl=TTL_S, max_entries=4, show_spinner=False)
def state(url: str, token: str) -> dict[str, Any]:
    """`market`, `status`, and `faults` (None without a token)."""
    faults = _ask("GET", f"{url}/admin/faults", token=token) if token else None
    return {"market": market(url), "status": _ask("GET", f"{url}/status"), "faults": faults}


def start_fault(url: str, token: str, kind: str, for_s: float | None, params: dict[str, Any]) -> str:
    """The id of the fault that begins now."""
    body = {"kind": kind, "params": params} | ({"for_s": for_s} if for_s is not None else {})
    state.clear()
    return str(_ask("POST", f"{url}/admin/faults", body, token=token)["fault_id"])


def end_fault(url: str, token: str, fault_id: str) -> None:
    state.clear()
    _ask("DELETE", f"{url}/admin/faults/{quote(fault_id, safe='')}", token=token)


def set_rate(url: str, token: str, rate_per_s: float) -> None:
    state.clear()
    _ask("PUT", f"{url}/admin/load", {"rate_per_s": rate_per_s}, token=token)


def place_order(url: str, token: str, user_id: str, order: dict[str, Any]) -> Placed:
    """Sends an order for a trader, which the admin token allows; a refused one is an answer too.

    Raises:
        Unavailable: the gateway does not answer.
    """
    headers = {"x-user-id": user_id, "authorization": f"Bearer {token}"}
    answer = _send("POST", f"{url}/api/v1/orders", order, headers, TIMEOUT_S)
    parts = answer.headers.get("traceresponse", "").split("-")
    return Placed(answer.status_code, _body(answer), parts[1] if len(parts) == 4 else None)


def _ask(
    method: str, url: str, body: object = None, *, token: str = "", timeout_s: float = TIMEOUT_S
) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    answer = _send(method, url, body, headers, timeout_s)
    told = _body(answer)
    if answer.status_code >= 400:
        said = told.get("error")
        message = said.get("message") if isinstance(said, dict) else None
        kind = _BY_STATUS.get(answer.status_code, InvalidInput if answer.status_code < 500 else Unavailable)
        raise kind(str(message or f"the exchange answered {answer.status_code}"))
    return told


def _send(
    method: str, url: str, body: object, headers: Mapping[str, str], timeout_s: float
) -> httpx2.Response:
    try:
        return httpx2.request(
            method,
            url,
            content=None if body is None else json.dumps(body),
            headers={"content-type": "application/json", **headers},
            timeout=timeout_s,
            trust_env=False,
        )
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, UnicodeEncodeError) as error:
        raise Unavailable(
            f"the exchange does not answer ({type(error).__name__})",
            hint="start one with `spyhop exchange run`",
        ) from error


def _body(answer: httpx2.Response) -> dict[str, Any]:
    try:
        told = answer.json() if len(answer.content) <= BODY_MAX_BYTES else None
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise Unavailable("what answers there is not an exchange", hint="give the address of its gateway")
    return told
