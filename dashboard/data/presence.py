"""Finds the pages that have data to show, in its own thread, so that no page waits."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import streamlit as st

from collector.client import Client
from collector.errors import SpyhopError
from collector.store.sqlfile import load_sql
from dashboard.data import exchange
from dashboard.data.connection import QUERIES

EVERY_S = 10.0
# The first page of a process: what is known by then is in its navigation at once.
FIRST_WAIT_S = 0.3
TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Present:
    """`market`: amounts or orders are known; `exchange`: one runs."""

    market: bool = False
    exchange: bool = False


class Watch:
    """The result of the last check; a check starts at most every ten seconds, when a page asks."""

    def __init__(self, api_url: str, exchange_url: str) -> None:
        self._api_url = api_url
        self._exchange_url = exchange_url
        self._lock = threading.Lock()
        self._first = threading.Event()
        self._known = Present()
        self._looked_s = float("-inf")

    def now(self) -> Present:
        with self._lock:
            if time.monotonic() - self._looked_s > EVERY_S:
                self._looked_s = time.monotonic()
                threading.Thread(target=self._look, name="presence", daemon=True).start()
        self._first.wait(FIRST_WAIT_S)
        self._first.set()
        return self._known

    def _look(self) -> None:
        known = Present(self._market(), self._exchange())
        self._known = known
        self._first.set()

    def _market(self) -> bool:
        try:
            with Client(self._api_url, timeout_s=TIMEOUT_S) as client:
                return bool(client.sql(load_sql(QUERIES, "market_met"))["met"][0])
        except SpyhopError:
            return self._known.market  # a restart of the server removes no page

    def _exchange(self) -> bool:
        if not self._exchange_url:
            return False
        try:
            exchange.market(self._exchange_url, exchange.PROBE_TIMEOUT_S)
        except SpyhopError:
            return False
        return True


@st.cache_resource(max_entries=8, show_spinner=False)
def _watch(api_url: str, exchange_url: str) -> Watch:
    return Watch(api_url, exchange_url)


def present(api_url: str, exchange_url: str) -> Present:
    """The last known result, some seconds old."""
    return _watch(api_url, exchange_url).now()
