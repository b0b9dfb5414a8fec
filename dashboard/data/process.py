"""The server itself: readiness with its checks, and the senders."""

from __future__ import annotations

from typing import Any

import httpx2
import streamlit as st

from collector.client import Client
from collector.errors import Unavailable
from dashboard.data.connection import READ_TIMEOUT_S, read

TTL_S = 1.5


@st.cache_data(ttl=TTL_S, max_entries=8, show_spinner=False)
def readiness(base_url: str) -> dict[str, Any]:
    """`{ready, checks}`, also from a server that answers that it is not ready.

    Raises:
        Unavailable: no server answers.
    """

    try:
        # Not by the client: 503 is an answer here, no error.
        answer = httpx2.get(f"{base_url}/readyz", timeout=READ_TIMEOUT_S, trust_env=False)
        body: dict[str, Any] = answer.json()
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise Unavailable(f"no server answers at {base_url}", hint="start one with `spyhop serve`") from error
    return body


@st.cache_data(ttl=TTL_S, max_entries=8, show_spinner=False)
def senders(base_url: str) -> list[dict[str, Any]]:
    """Who sends telemetry, what was taken of it, and why something was not."""

    def fetch(client: Client) -> list[dict[str, Any]]:
        return list(client.get("/api/senders")["senders"])

    return read(base_url, fetch)
