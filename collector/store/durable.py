"""Files that are whole on disk before anything speaks of them."""

from __future__ import annotations

import os
from pathlib import Path


def partial_of(target: Path) -> Path:
    """The name under which a file grows: no reader's `*.parquet` finds it."""
    return target.with_name(target.name + ".partial")


def make_durable(partial: Path, target: Path) -> None:
    """The file and its name on disk, before any transaction speaks of it."""
    _sync(partial, os.O_RDWR)
    partial.replace(target)
    for folder in (target.parent, target.parent.parent, target.parent.parent.parent):  # may all be new
        _sync(folder, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    file = os.open(path, flags)
    try:
        os.fsync(file)
    finally:
        os.close(file)
