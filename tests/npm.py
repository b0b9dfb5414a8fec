"""Packages from npm for tests, installed from a lock file, outside the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest


def install(package: Path, folder: Path, scripts: Sequence[str] = ()) -> None:
    """Installs what the lock file of `package` names into `folder`, with its `scripts` beside it.

    Skips the test where Node.js is missing, which under CI is a failure.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("node and npm are needed here: CI is set")
        pytest.skip("node or npm is not installed")
    for name in ("package.json", "package-lock.json", *scripts):
        shutil.copy(package / name, folder)
    subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=180,
    )
