from __future__ import annotations

from pathlib import Path

import pytest

from exchange_ref.errors import InvalidSchedule
from exchange_ref.faults.db_slow import DbSlow, DbSlowParams
from exchange_ref.faults.schedule import Planned, Schedule, parse_schedule, read_schedule
from exchange_ref.faults.whale_order import WhaleOrder, WhaleOrderParams

GOOD = """\
seed: 7
faults:
  - {kind: db_slow, at_s: 18, for_s: 8, params: {delay_ms: 150}}
  - kind: whale_order
    at_s: 32
    params: {multiple: 400}
"""


def test_a_schedule_reads_as_written() -> None:
    """Kinds, times and parameters arrive, and what is left out has its default."""
    assert parse_schedule(GOOD, "f.yaml") == Schedule(
        7,
        (
            Planned("db_slow", 18, DbSlow(DbSlowParams(delay_ms=150, statements=["SELECT wallets"]), 8)),
            Planned("whale_order", 32, WhaleOrder(WhaleOrderParams(multiple=400, pair="BTC/USD"))),
        ),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("db_slow", "db_slwo"), r"line 3: faults\[0\]\.kind: .*db_slow, .*whale_order"),
        (GOOD.replace("at_s: 32", "at_s: soon"), r"line 5: faults\[1\]\.at_s: "),
        (GOOD.replace("multiple: 400", "multiple: 1"), r"line 6: faults\[1\]\.params\.multiple: "),
        (GOOD.replace("delay_ms", "delay"), r"line 3: faults\[0\]\.params\.delay: "),
        (GOOD.replace("    at_s: 32\n", ""), r"line 4: faults\[1\]\.at_s: field required"),
        (
            GOOD.replace("at_s: 32", "at_s: 32\n    for_s: 3"),
            r"line 6: faults\[1\]\.for_s: .*leave for_s out",
        ),
        (GOOD + "  - {kind: db_slow, at_s: 20}\n", r"line 7: faults\[2\]\.at_s: .*ends at 26 s"),
        (GOOD + "when: now\n", r"line 7: when: "),
        ("", r"line 1: the whole file: "),
        ("- 1\n", r"line 1: the whole file: "),
        ("seed: 7\nfaults: [\n", r"line 3: not YAML"),
        (GOOD.replace("{multiple: 400}", "{pair: DOGE/USD}"), r"params\.pair: .*BTC/USD"),
        (GOOD.replace("{delay_ms: 150}", "{statements: []}"), r"line 3: faults\[0\]\.params\.statements: "),
    ],
)
def test_mistakes_are_named_by_line_and_field(text: str, words: str) -> None:
    """Each mistake is refused with the file, the line and the field."""
    with pytest.raises(InvalidSchedule, match=r"^f\.yaml: .*" + words):
        parse_schedule(text, "f.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A schedule that is not there is refused by its path."""
    with pytest.raises(InvalidSchedule, match=r"none\.yaml"):
        read_schedule(tmp_path / "none.yaml")
