"""Whether the whole machine stood still while a test ran: then its failure says nothing of the code.

A virtual machine is stopped for a second now and then, and everything that waited meanwhile is late. A
process beside the tests does nothing but sleep for a moment again and again, and writes down each time that
it was woken much too late. A test that fails while that happened runs again, whole, at most twice. One that
fails on a machine that kept going fails at once; one that fails three times fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from tempfile import mkstemp
from time import monotonic, sleep

import pytest

# In two whole runs of the suite on two cores the sleeper was never woken that late.
STALL_S = 0.5
_SLEEP_S = 0.05
_AGAIN_MAX = 2
# Names the file of the run to its workers. Not SPYHOP_…: commands refuse settings that they do not know.
_FILE = "TESTS_STALLS_FILE"
_STARTED = pytest.StashKey[float]()
_FAILED = pytest.StashKey[bool]()
_WATCH = pytest.StashKey["subprocess.Popen[bytes]"]()


def watch(path: Path, parent: int) -> None:
    """Append the end (s, monotonic) and length (s) of each stall, until the parent process has gone."""
    awake_s = monotonic()
    while os.getppid() == parent:
        sleep(_SLEEP_S)
        late_s = monotonic() - awake_s - _SLEEP_S
        awake_s = monotonic()
        if late_s > STALL_S:
            with path.open("a") as stalls:
                stalls.write(f"{awake_s} {late_s}\n")


def stalls_since(path: Path, since_s: float) -> list[float]:
    """The lengths (s) of the stalls that ended after `since_s`."""
    rows = (line.split() for line in path.read_text().splitlines() if line.count(" ") == 1)
    return [float(length_s) for end_s, length_s in rows if float(end_s) > since_s]


class Stalled:
    """True when a test has failed and the machine stood still since its present run began."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item

    def __bool__(self) -> bool:
        if not self._item.stash[_FAILED]:  # it is asked after each test
            return False
        sleep(4 * _SLEEP_S)  # the sleeper writes when it has woken
        return bool(stalls_since(Path(os.environ[_FILE]), self._item.stash[_STARTED]))


def pytest_configure(config: pytest.Config) -> None:
    """Start the sleeper, once for all workers."""
    if hasattr(config, "workerinput"):
        return
    handle, name = mkstemp(prefix="spyhop-stalls-")
    os.close(handle)
    os.environ[_FILE] = name
    config.stash[_WATCH] = subprocess.Popen([sys.executable, __file__, name, str(os.getpid())])


def pytest_unconfigure(config: pytest.Config) -> None:
    """End it."""
    watcher = config.stash.get(_WATCH, None)
    if watcher is not None:
        watcher.kill()
        watcher.wait()
        Path(os.environ.pop(_FILE)).unlink()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each test may run again, under that condition."""
    for item in items:
        item.add_marker(pytest.mark.flaky(reruns=_AGAIN_MAX, condition=Stalled(item)))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """The moment at which a run of the test begins."""
    item.stash[_STARTED], item.stash[_FAILED] = monotonic(), False
    yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Whether a part of it failed."""
    report = yield
    item.stash[_FAILED] |= report.failed
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How often the machine stood still, and so how much a failure says."""
    lengths_s = stalls_since(Path(os.environ[_FILE]), 0.0)
    if lengths_s:
        terminalreporter.write_line(
            f"this machine stood still {len(lengths_s)} times, at most {max(lengths_s):.1f} s"
        )


if __name__ == "__main__":
    watch(Path(sys.argv[1]), int(sys.argv[2]))
