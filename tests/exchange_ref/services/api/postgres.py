"""A PostgreSQL server of the system's package, in a folder of its own, for one test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

PASSWORD = "open sesame"


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        if os.environ.get("CI"):
            pytest.fail("postgresql is needed here: CI is set")
        pytest.skip("postgresql is not installed")
    return found[-1].parent


def _run(command: Sequence[str], folder: Path) -> None:
    """PostgreSQL refuses to be root."""
    as_user = (
        ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if not os.geteuid() else []
    )
    done = subprocess.run(
        [*as_user, *command], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}{done.stdout}"


class Server:
    """`url` is where it listens."""

    def __init__(self, folder: Path, programs: Path, port: int) -> None:
        self._folder = folder
        self._control = [str(programs / "pg_ctl"), "-D", str(folder / "data"), "-w", "-t", "100"]
        self._port = port
        self.url = f"postgresql://kx:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{port}/postgres"

    def database(self, name: str) -> str:
        """The URL of a new database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"{self.url.rpartition('/')[0]}/{name}"

    def start(self) -> None:
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        _run([*self._control, "-o", options, "-l", str(self._folder / "log"), "start"], self._folder)

    def stop(self) -> None:
        _run([*self._control, "-m", "immediate", "stop"], self._folder)


@contextmanager
def server() -> Iterator[Server]:
    programs = _programs()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # pytest's own folders are for their owner alone, and root cannot be PostgreSQL.
    with tempfile.TemporaryDirectory(prefix="kx-postgres-") as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD)
        if not os.geteuid():
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres", "postgres")
        make = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "kx", "-A", "scram-sha-256", "-N"]
        _run([*make, f"--pwfile={folder / 'password'}"], folder)
        running = Server(folder, programs, port)
        running.start()
        try:
            yield running
        finally:
            running.stop()
