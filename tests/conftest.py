"""How a run uses the machine: files side by side, one worker a core; `alone` ones by themselves."""

from __future__ import annotations

import fcntl
import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import httpcore2
import hypothesis
import pytest

# An example that takes longer than usual says something of the machine alone.
hypothesis.settings.register_profile("spyhop", deadline=None)
hypothesis.settings.load_profile("spyhop")

pytest_plugins = ["tests.stalls"]

WORKERS_MAX = 4  # each has servers of its own, and DuckDB uses several cores by itself

COMPILED = Path(__file__).parent.parent / ".pytest_cache" / "compiled"


def pytest_configure() -> None:
    """Modules are compiled once, not in each of the processes that tests start.

    Containers often set PYTHONDONTWRITEBYTECODE; `spyhop serve` then starts in 2.7 s of CPU instead of 0.8.
    """
    if sys.dont_write_bytecode:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(COMPILED)
        sys.dont_write_bytecode = False


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One for each core; none for a single file, which would wait for their start."""
    places = [Path(argument.partition("::")[0]) for argument in config.args]
    if len(places) == 1 and places[0].is_file():
        return 0
    return min(os.cpu_count() or 1, WORKERS_MAX)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that run alone come first, then long ones: at the end one worker would wait for the other."""
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in ("alone", "long")])


@pytest.fixture(scope="session", autouse=True)
def _one_ssl_context() -> Iterator[None]:
    """All HTTP clients share the certificates of the system, which each would read in 10 to 30 ms of CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpcore2, "default_ssl_context", cache(httpcore2.default_ssl_context))
        yield


def pytest_collection_finish() -> None:
    """Keeps loaded modules out of garbage collection, which would walk through them after every test."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around the time limit of a test: waiting is not its fault
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test marked `alone` runs while no other worker runs any; its module's fixtures do, too."""
    run = getattr(item.config, "workerinput", {}).get("testrunuid")
    if run is None:
        return (yield)
    with room(run, alone=item.get_closest_marker("alone") is not None):
        return (yield)


@contextmanager
def room(run: str, *, alone: bool) -> Iterator[None]:
    """Hold the room of one run, shared or alone.

    Who wants it alone holds the door meanwhile, else others that come and go would never leave it empty.
    """
    locks = Path(tempfile.gettempdir()) / f"spyhop-tests-{run}"
    locks.mkdir(exist_ok=True)
    with (locks / "door").open("ab") as door, (locks / "room").open("ab") as held:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(held, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield
