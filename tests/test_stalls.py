"""Tests that fail while the machine stands still run again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

import tests.stalls
from tests.pace import patience_s
from tests.stalls import stalls_since

ROOT = Path(__file__).parents[1]
# The first runs fail, each beside a stall or not: the file of stalls is written as the sleeper would.
FAILS = """
import os, pathlib, time
RUNS = pathlib.Path(__file__).with_name("runs")

def test_it():
    with RUNS.open("a") as runs:
        runs.write("x")
    if {stalls}:
        with open(os.environ["TESTS_STALLS_FILE"], "a") as stalls:
            stalls.write(f"{{time.monotonic()}} 1.5\\n")
    assert len(RUNS.read_text()) > {failing}
"""


@pytest.mark.parametrize(
    "outcome",  # whether it stalls, how many runs fail, how many there are, whether the last passes
    [(True, 1, 2, True), (True, 2, 3, True), (True, 3, 3, False), (False, 1, 1, False), (False, 0, 1, True)],
)
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_failure_beside_a_stall_is_asked_again(
    tmp_path: Path, outcome: tuple[bool, int, int, bool], workers: str
) -> None:
    """At most twice; a failure on a machine that kept going counts at once."""
    stalls, failing, runs, passes = outcome
    (tmp_path / "test_it.py").write_text(FAILS.format(stalls=stalls, failing=failing))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    options = ["-p", "tests.stalls", "-n", workers, "-c", str(tmp_path / "pytest.ini")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) == passes, done.stdout + done.stderr
    assert len((tmp_path / "runs").read_text()) == runs
    assert ("this machine stood still" in done.stdout) == stalls


def test_a_stall_is_seen(tmp_path: Path) -> None:
    """A process that was stopped for a second writes that down."""
    path = tmp_path / "stalls"
    path.touch()
    with subprocess.Popen([sys.executable, tests.stalls.__file__, str(path), str(os.getpid())]) as watcher:
        deadline_s = monotonic() + patience_s(20)
        while not stalls_since(path, 0.0):  # the first time it may not have begun
            assert monotonic() < deadline_s
            watcher.send_signal(signal.SIGSTOP)
            sleep(1.2)
            watcher.send_signal(signal.SIGCONT)
            sleep(0.2)
        watcher.kill()
    assert max(stalls_since(path, 0.0)) > 1.0
    assert not stalls_since(path, monotonic())
