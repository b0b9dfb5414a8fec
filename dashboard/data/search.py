"""Search for traces, and the names and values that complete a search."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from typing import Any

import streamlit as st

from collector.client import Client
from collector.errors import SpyhopError
from collector.store.sqlfile import load_sql
from dashboard.data.connection import QUERIES, read, segment
from dashboard.searching import field

TTL_S = 5.0
TAGS_TTL_S = 60.0
TAGS_TIMEOUT_S = 60.0  # 30 s were seen for 20,000 spans on a machine with much else to do
TRACES_MAX = 500
SPANS_MAX = 3


@st.cache_data(ttl=TTL_S, max_entries=16, show_spinner=False)
def search_traces(
    base_url: str, query: str, since: int, until: int, limit: int = TRACES_MAX
) -> dict[str, Any]:
    """The newest traces of which spans match: the answer of `GET /api/traces/search`.

    Raises:
        InvalidInput: the search is wrong; `details` has `line` and `column`.
    """

    def fetch(client: Client) -> dict[str, Any]:
        answer: dict[str, Any] = client.get(
            "/api/traces/search", q=query or "{}", start=since, end=until, limit=limit, spans=SPANS_MAX
        )
        return answer

    return read(base_url, fetch)


class Names:
    """Names by scope, read beside the page: they may take seconds, and nobody waits for a completion."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._lock = threading.Lock()
        self._known: dict[str, list[str]] = {}
        self._read_s = float("-inf")
        self._reader: threading.Thread | None = None

    def now(self) -> dict[str, list[str]]:
        """The names read so far; a minute after the last reading a new one begins."""
        with self._lock:
            idle = self._reader is None or not self._reader.is_alive()
            if idle and time.monotonic() - self._read_s > TAGS_TTL_S:
                self._read_s = time.monotonic()
                self._reader = threading.Thread(target=self._read, name="names", daemon=True)
                self._reader.start()
            return self._known

    def _read(self) -> None:
        with suppress(SpyhopError), Client(self._base_url, timeout_s=TAGS_TIMEOUT_S) as client:
            scopes = client.get("/api/traces/tags", since="1h", limit=300)["scopes"]
            with self._lock:
                self._known = {scope["name"]: scope["tags"] for scope in scopes}


@st.cache_resource(max_entries=8, show_spinner=False)
def _names(base_url: str) -> Names:
    return Names(base_url)


def tags(base_url: str) -> dict[str, list[str]]:
    """Names by scope: resource, span, instrumentation, event, link, intrinsic; of the last hour.

    Empty until they have been read once.
    """
    return _names(base_url).now()


@st.cache_data(ttl=TAGS_TTL_S, max_entries=64, show_spinner=False)
def tag_values(base_url: str, tag: str) -> list[dict[str, Any]]:
    """Values of a field, most frequent first: type, value, span_count; of the last hour."""

    def fetch(client: Client) -> list[dict[str, Any]]:
        return list(client.get(f"/api/traces/tags/{segment(tag)}/values", since="1h", limit=60)["values"])

    return read(base_url, fetch)


@st.cache_data(ttl=TTL_S, max_entries=8, show_spinner=False)
def attributes_of(
    base_url: str, trace_ids: tuple[str, ...], since: int, until: int
) -> list[tuple[str, dict[str, Any]]]:
    """(trace id, values by field of a search) of the spans of these traces, 20,000 spans at most."""
    params = {"trace_ids": list(trace_ids), "since": since, "until": until}
    rows = read(base_url, lambda client: client.sql(load_sql(QUERIES, "attributes_of_traces"), params))
    told = []
    for row in rows.to_dicts():
        values: dict[str, Any] = {
            "resource.service.name": row["service_name"],
            "name": row["span_name"],
            "status": row["status_code"].lower(),
        }
        for scope, column in (("span", "attributes"), ("resource", "resource_attributes")):
            for name, value in json.loads(row[column] or "{}").items():
                values[field(scope, name)] = value
        told.append((row["trace_id"], values))
    return told
