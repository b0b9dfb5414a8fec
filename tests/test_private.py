"""Tests use what the packages offer."""

from __future__ import annotations

import re
from pathlib import Path

# Of other projects, by contract or because there is no other way.
FOREIGN = {"_asdict", "_replace", "_fields", "_make", "_exit", "_logs", "_clear"}


def test_no_test_reaches_into_private_attributes() -> None:
    """Nothing but `self` and `cls` is asked for a name that begins with an underscore."""
    reach = re.compile(r"(?<![\w.])(?!self\b|cls\b)[\w.]*[\w\])]\.(_[a-z]\w*)")
    found = [
        f"{path}:{number}: {line.strip()}"
        for path in sorted(Path(__file__).parent.rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if set(reach.findall(line)) - FOREIGN
    ]
    assert found == []
