"""Clients of the server's HTTP API, lent to pages. All reads of the dashboard go through here."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import quote

import streamlit as st

from collector.client import Client

T = TypeVar("T")

READ_TIMEOUT_S = 10.0
MAX_IDLE_CLIENTS = 4
QUERIES = "dashboard.queries"
MONITOR = "/api/monitor"


class Pool:
    """Clients for one address: a client serves one thread at a time, and pages run in many."""

    def __init__(self, base_url: str, timeout_s: float) -> None:
        self._base_url = base_url
        self._timeout_s = timeout_s
        self._idle: queue.LifoQueue[Client] = queue.LifoQueue(MAX_IDLE_CLIENTS)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Lends a client; if all are in use, a new one is made and closed afterwards."""
        try:
            lent = self._idle.get_nowait()
        except queue.Empty:
            lent = Client(self._base_url, timeout_s=self._timeout_s)
        try:
            yield lent
        finally:
            try:
                self._idle.put_nowait(lent)
            except queue.Full:
                lent.close()

    def close(self) -> None:
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return


@st.cache_resource(max_entries=8, show_spinner=False, on_release=lambda pool: pool.close())
def _pool(base_url: str, timeout_s: float) -> Pool:
    return Pool(base_url, timeout_s)


def read(base_url: str, work: Callable[[Client], T], timeout_s: float = READ_TIMEOUT_S) -> T:
    """The result of `work`, called with a client of that server.

    Raises:
        SpyhopError: as the client's methods.
    """
    with _pool(base_url, timeout_s).client() as client:
        return work(client)


def segment(identifier: str) -> str:
    """An id from the address bar, as one segment of a path."""
    return quote(identifier, safe="")
