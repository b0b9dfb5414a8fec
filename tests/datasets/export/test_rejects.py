"""What was left out is counted whole and listed in part."""

from __future__ import annotations

import random

from datasets.export import rejects as module
from datasets.export.gold import Reject
from datasets.export.rejects import Rejects


def test_all_are_counted_and_the_first_listed(monkeypatch: object) -> None:
    """Of 5,000 in any order all count, the first 100 by id and reason are listed, and few are kept."""
    monkeypatch.setattr(module, "MAX_LISTED_REJECTS", 100)  # type: ignore[attr-defined]  # pytest's own
    every = [
        Reject(f"f{n:05d}", f"duplicate of f{n // 2}" if n % 2 else "raters disagree") for n in range(5000)
    ]
    shuffled = random.Random(7).sample(every, len(every))
    first, second = Rejects(shuffled[:3000]), Rejects(shuffled[3000:])
    joined = first.joined(second)
    assert joined.listed() == every[:100]
    assert (len(joined), dict(joined.kinds)) == (5000, {"duplicate": 2500, "raters disagree": 2500})
    assert max(len(first.kept), len(second.kept)) <= 200
