"""However the demo ends, nothing of it stays."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.support import Running, processes_naming, wait_for
from tests.pace import check, patience_s

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(patience_s(120))]

READY_S = 10.0
STOP_S = 5.0
# The machine of a test run is shared; the figures themselves are measured by tests/benchmarks/demo.py.
NOISE = 3.0


@pytest.fixture
def running_demo(start: Callable[..., Running], tmp_path: Path) -> Running:
    demo = start("demo", "--headless", "--data", str(tmp_path / "data"))
    assert demo.says("running until Ctrl-C", READY_S * NOISE), demo.text()
    return demo


def test_ctrl_c_stops_everything(running_demo: Running, tmp_path: Path) -> None:
    """Ctrl-C ends the demo with its summary and leaves no process behind."""
    time.sleep(2)
    seconds = running_demo.interrupt(STOP_S * NOISE)

    assert "orders" in running_demo.text()
    assert "Traceback" not in running_demo.text()
    check(seconds, STOP_S * NOISE)
    assert processes_naming(str(tmp_path / "data")) == []


def test_parts_end_when_the_demo_is_killed(running_demo: Running, tmp_path: Path) -> None:
    """A demo that is killed outright takes its parts with it."""
    assert len(processes_naming(str(tmp_path / "data"))) >= 3
    running_demo.process.kill()
    running_demo.process.wait()

    assert wait_for(lambda: processes_naming(str(tmp_path / "data")) == [], STOP_S * NOISE)


def test_a_part_that_dies_is_reported(running_demo: Running, tmp_path: Path) -> None:
    """When a part ends early, the demo says which one and where its log is, and exits with 1."""
    server = [pid for pid in processes_naming(str(tmp_path / "data")) if pid != running_demo.process.pid]
    exchange = next(pid for pid in server if b"\0exchange\0" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(exchange, signal.SIGKILL)

    assert running_demo.process.wait(patience_s(STOP_S * NOISE)) == 1
    assert "exchange ended early" in running_demo.text()
    assert "exchange.log" in running_demo.text()
