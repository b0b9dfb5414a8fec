"""The data folder of an exchange, which one process owns at a time."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from pathlib import Path

from exchange_ref.errors import FolderUnusable


def lock_folder(folder: Path) -> TextIOWrapper:
    """Make `folder` and take it for this process, until the returned file is closed.

    Raises:
        FolderUnusable: it cannot be written, or another exchange has it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "owner").open("a+", encoding="utf-8")
    except OSError as error:
        raise FolderUnusable(
            f"cannot write to {folder}: {error.strerror}; choose another --data folder"
        ) from None
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415 - not on Windows

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            raise FolderUnusable(
                f"{folder} belongs to another exchange (process {owner}); stop it or choose another --data"
            ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
