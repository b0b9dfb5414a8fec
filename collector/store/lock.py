"""One process owns a data folder: an advisory lock that dies with its holder."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from collector.errors import DataFolderInUse, DataFolderUnusable

LOCK_FILE_NAME = "owner.json"


class FolderLock:
    """An exclusive `flock` on `owner.json`. Its text names the holder and the addresses of its server."""

    def __init__(self, folder: Path) -> None:
        """Lock `folder`, creating it when missing.

        Raises:
            DataFolderInUse: another process holds it; the message names its pid and API address.
            DataFolderUnusable: the folder cannot be created or written.
        """
        self._folder = folder
        self._writing = threading.Lock()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Not "w": the text belongs to the holder until the lock is ours.
            self._file: IO[str] = os.fdopen(
                os.open(folder / LOCK_FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+"
            )
        except OSError as error:
            raise _unusable(folder, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = self._read_owner()
            self._file.close()
            raise _in_use(folder, owner) from error
        self.describe({})

    def describe(self, addresses: Mapping[str, str]) -> None:
        """Write who holds the folder: the pid and e.g. `{"api": "http://127.0.0.1:4320"}`."""
        with self._writing:
            self._text = json.dumps({"pid": os.getpid(), **addresses})
            self._file.seek(0)
            self._file.truncate()
            self._file.write(self._text)
            self._file.flush()

    def fault(self) -> str:
        """Why another process could take the folder, or find a wrong owner; empty while all is well."""
        path = self._folder / LOCK_FILE_NAME
        with self._writing:
            try:
                state = path.stat()
            except OSError as error:
                return f"{LOCK_FILE_NAME} is gone ({error.strerror})"
            if not os.path.samestat(state, os.fstat(self._file.fileno())):
                return f"{LOCK_FILE_NAME} was replaced by another file"
            if state.st_size != len(self._text):
                return f"{LOCK_FILE_NAME} was overwritten by another program"
            return ""

    def release(self) -> None:
        """Let go; the file stays, empty, because removing it would race with the next holder."""
        if self._file.closed:
            return
        self._file.seek(0)
        self._file.truncate()
        self._file.close()

    def _read_owner(self) -> dict[str, object]:
        try:
            owner = json.load(self._file)
        except (ValueError, OSError):
            return {}
        return owner if isinstance(owner, dict) else {}


def read_owner(folder: Path) -> dict[str, object]:
    """What the holder of `folder` wrote, e.g. `{"pid": 7, "api": "http://…"}`; empty when nobody did."""
    try:
        owner = json.loads((folder / LOCK_FILE_NAME).read_text())
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _unusable(folder: Path, error: OSError) -> DataFolderUnusable:
    return DataFolderUnusable(
        f"the data folder {folder} cannot be written ({error.strerror or error})",
        hint="choose another with --data DIR or SPYHOP_DATA, or change its permissions",
        details={"folder": str(folder)},
    )


def _in_use(folder: Path, owner: Mapping[str, object]) -> DataFolderInUse:
    holder = f"process {owner['pid']}" if "pid" in owner else "another process"
    api = owner.get("api")
    hint = f"read it with --api {api}, stop that process" if api else "stop that process"
    return DataFolderInUse(
        f"the data folder {folder} is in use by {holder}" + (f", which serves {api}" if api else ""),
        hint=f"{hint}, or choose another folder with --data DIR",
        details={"folder": str(folder), **owner},
    )
