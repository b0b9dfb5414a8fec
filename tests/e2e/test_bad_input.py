"""A start that cannot work ends with one line that says what to do."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.support import Running, spyhop

pytestmark = pytest.mark.e2e

FREE = ("--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--api", "127.0.0.1:0")


def one_line(text: str) -> str:
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("spyhop: ")
    return lines[0]


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


@pytest.mark.parametrize("option", ["--otlp-grpc", "--otlp-http", "--api"])
def test_port_in_use(option: str, taken_port: int, tmp_path: Path) -> None:
    """A taken port is named, with the option that changes it."""
    arguments = [*FREE]
    arguments[arguments.index(option) + 1] = f"127.0.0.1:{taken_port}"
    done = spyhop("serve", "--data", str(tmp_path / "data"), *arguments)

    assert done.returncode == 1
    line = one_line(done.stderr)
    assert str(taken_port) in line
    assert option in line


def test_data_folder_of_another_process(start: Callable[..., Running], tmp_path: Path) -> None:
    """A data folder that a running server owns is refused with the owner's process id."""
    owner = start("serve", "--data", str(tmp_path / "data"), *FREE)
    assert owner.says("ready", 30), owner.text()
    done = spyhop("serve", "--data", str(tmp_path / "data"), *FREE)

    assert done.returncode == 1
    line = one_line(done.stderr)
    assert str(owner.process.pid) in line
    assert "--data" in line


def test_unwritable_folder(tmp_path: Path) -> None:
    """A folder that cannot be made is named, with what to do."""
    (tmp_path / "file").write_text("not a folder")
    done = spyhop("serve", "--data", str(tmp_path / "file" / "data"), *FREE)

    assert done.returncode == 1
    assert "--data" in one_line(done.stderr)


def test_unknown_setting(tmp_path: Path) -> None:
    """A misspelt setting is refused with the nearest known name."""
    done = spyhop("serve", "--data", str(tmp_path), *FREE, env={"SPYHOP_LLM_MODLE": "x"})

    assert done.returncode == 1
    line = one_line(done.stderr)
    assert "SPYHOP_LLM_MODLE" in line
    assert "SPYHOP_LLM_MODEL" in line


def test_setting_that_needs_another(tmp_path: Path) -> None:
    """A limit of cost without a price is refused in one line, before anything is made in the folder."""
    limits = {"SPYHOP_LLM_MODEL": "m", "SPYHOP_LLM_MAX_COST_PER_HOUR": "3"}
    done = spyhop("serve", "--data", str(tmp_path / "data"), *FREE, env=limits)

    assert done.returncode == 2
    assert "SPYHOP_GENAI_PRICES has no price of 'm'" in one_line(done.stderr)
    assert not (tmp_path / "data").exists()


def test_setting_with_a_wrong_value(tmp_path: Path) -> None:
    """A setting whose value does not parse is named with that value."""
    done = spyhop("serve", "--data", str(tmp_path), *FREE, env={"SPYHOP_SQL_TIMEOUT_S": "soon"})

    assert done.returncode == 2
    line = one_line(done.stderr)
    assert "SPYHOP_SQL_TIMEOUT_S" in line
    assert "soon" in line


@pytest.mark.parametrize("duration", ["10s", "soon", "-5s"])
def test_demo_duration(duration: str, tmp_path: Path) -> None:
    """A duration that is too short, or none at all, is refused before anything starts."""
    done = spyhop("demo", "--for", duration, "--headless", "--data", str(tmp_path / "data"))

    assert done.returncode == 2
    assert "--for" in one_line(done.stderr)
    assert not (tmp_path / "data").exists()


def test_fault_schedule_with_an_unknown_kind(tmp_path: Path) -> None:
    """A fault schedule that names an unknown fault is refused with the known ones."""
    schedule = tmp_path / "faults.yaml"
    schedule.write_text("faults:\n  - {kind: db_slwo, at_s: 1, for_s: 1}\n")
    done = spyhop(
        "exchange", "--faults", str(schedule), "--gateway", "127.0.0.1:0", "--exchange-api", "127.0.0.1:0"
    )

    assert done.returncode in {1, 2}
    line = one_line(done.stderr)
    assert "db_slwo" in line
    assert "db_slow" in line


def test_no_server(tmp_path: Path) -> None:
    """SQL against a server that is not there says where it looked and what to do."""
    done = spyhop("sql", "SELECT 1", "--api", "http://127.0.0.1:9")

    assert done.returncode == 1
    line = one_line(done.stderr)
    assert "127.0.0.1:9" in line
    assert "spyhop serve" in line
