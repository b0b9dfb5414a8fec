"""What `tests/conftest.py` does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.conftest import pytest_collection_modifyitems, pytest_xdist_auto_num_workers, room

CONFTEST = Path(__file__).with_name("conftest.py")
TESTS = """
import pathlib, time, pytest
HERE = pathlib.Path(__file__).parent
pytestmark = {mark}

@pytest.mark.parametrize("number", range(3))
def test(number):
    mine = HERE / "{name}.running"
    mine.touch()
    time.sleep(0.1)
    others = set(HERE.glob("*.running")) - {{mine}}
    mine.unlink()
    assert not pytestmark or not others
"""


def test_alone_means_alone(tmp_path: Path) -> None:
    """No worker runs a test beside one that is marked `alone`; and those begin."""
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = alone\n")
    for name, mark in {"a": "[]", "b": "[]", "c": "pytest.mark.alone", "d": "pytest.mark.alone"}.items():
        (tmp_path / f"test_{name}.py").write_text(TESTS.format(name=name, mark=mark))
    options = ["-v", "-n", "2", "--dist=loadfile", "--no-loadscope-reorder", "-p", "no:randomly"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.index("test_c.py") < done.stdout.index("test_a.py")


def test_what_takes_long_begins_early() -> None:
    """After what runs alone come the files that are marked `long`, and the rest as it was collected."""

    def item(name: str, *marks: str) -> Any:
        return SimpleNamespace(name=name, get_closest_marker=lambda mark: mark if mark in marks else None)

    items = [item("a"), item("b", "long"), item("c"), item("d", "alone"), item("e", "alone", "long")]
    pytest_collection_modifyitems(items)
    assert [one.name for one in items] == ["e", "d", "b", "a", "c"]


def test_all_others_share_the_room() -> None:
    """Tests that are not alone hold the room together, and one that is waits for all of them."""
    run, entered = f"test-{threading.get_ident()}", threading.Event()

    def enter_alone() -> None:
        with room(run, alone=True):
            entered.set()

    with room(run, alone=False):
        with room(run, alone=False):
            waiting = threading.Thread(target=enter_alone)
            waiting.start()
        assert not entered.wait(0.1)
    waiting.join(60)
    assert entered.is_set()


def test_a_single_file_needs_no_workers() -> None:
    """`-n auto` starts workers for folders only."""
    for arguments, parallel in (([f"{CONFTEST}::test"], False), ([str(CONFTEST.parent)], True)):
        assert (pytest_xdist_auto_num_workers(SimpleNamespace(args=arguments)) > 0) is parallel  # type: ignore[arg-type]


STARTS_A_PROCESS = """
import pathlib, subprocess, sys

def test():
    read = "import once; print(once.__cached__)"
    done = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=True)
    assert pathlib.Path(done.stdout.strip()).exists()
"""


def test_processes_share_compiled_modules(tmp_path: Path) -> None:
    """A process that a test starts keeps what it compiled, even where Python is told to write no bytecode."""
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "once.py").touch()
    (tmp_path / "test_it.py").write_text(STARTS_A_PROCESS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
