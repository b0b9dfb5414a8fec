"""What the first page would wait for, done while nobody waits: imports, and what garbage collection skips."""

from __future__ import annotations

import gc
import importlib
import logging
import threading

_LOG = logging.getLogger(__name__)
# The first holds all pages; the others are what it and the first chart import when they are used.
_MODULES = ("dashboard.navigation", "altair", "polars", "pandas", "pyarrow")
_LONGEST_S = 60.0
_threads: list[threading.Thread] = []


def start() -> None:
    """Warms up in a thread of its own, so that the server listens meanwhile."""
    thread = threading.Thread(target=_warm, name="warm", daemon=True)
    _threads.append(thread)
    thread.start()


def wait() -> None:
    """Until the imports are done; at once where nothing was started.

    Libraries look for each other in `sys.modules`, where one that is being imported has no parts yet.
    """
    for thread in _threads[:]:
        thread.join(_LONGEST_S)


def _warm() -> None:
    try:
        for name in _MODULES:
            importlib.import_module(name)
        check_no_charts()
    except Exception:
        # The first page meets the same failure and shows it.
        _LOG.exception("the pages could not be imported ahead")
        return
    keep_out_of_collections()


def check_no_charts() -> None:
    """Charts are written without a check against their schema, which takes as long as the rest of them."""
    schemapi = importlib.import_module("altair.utils.schemapi")
    schemapi.disable_debug_mode()


def keep_out_of_collections() -> None:
    """What exists by now lives as long as the process, so no collection walks it again.

    Streamlit collects after each run of a page and of a part of one: 175 ms each over all that was imported.
    """
    gc.collect()
    gc.freeze()
