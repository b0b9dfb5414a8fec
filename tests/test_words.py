"""One word for one thing: names that once stood for the same quantity do not come back."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("collector", "detectors", "llm", "datasets", "dashboard", "exchange_ref")
# What is said instead: `Operation`; self time; message wait; start_unix_nano.
GONE = re.compile(
    r"\bOperationKey\b|\bexclusive_(?:ns|time|p50_ns)\b|\bown_time|[\"']exclusive[\"']"
    r"|\bof own time\b|\bmost time of its own\b"
    r"|\bmessage_gap\b|\bGAP\b|[\"']gap[\"']|\bgap_ns\b|\bspan_start_unix_nano\b"
)
STILL_READ = "until schema version 6"  # marks the lines that keep an old name for those who ask by it


def test_old_words_are_gone() -> None:
    """No source, query or script uses an old name, but for marked lines and the migration of old files."""
    files = [
        path
        for package in PACKAGES
        for suffix in ("py", "sql", "js")
        for path in (ROOT / package).rglob(f"*.{suffix}")
        if "migrations" not in path.parts
    ]
    assert len(files) > 500
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in files
        for line in path.read_text(encoding="utf-8").splitlines()
        if GONE.search(line) and STILL_READ not in line
    ]
    assert not found
