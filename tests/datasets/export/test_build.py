from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from datasets.export.build import Filters, assign_splits, build_export
from datasets.export.fingerprint import fingerprint, without_figures
from datasets.export.settings import Settings
from datasets.export.trl_sft import FORMAT
from tests.datasets.support import labelled, named


def test_same_input_same_bytes(settings: Settings) -> None:
    """Rows have a stable order: shuffled verdicts give the same export."""
    examples = [labelled(n, service=named(n)) for n in range(1, 30)]
    shuffled = random.Random(1).sample(examples, len(examples))
    first, second = (build_export(e, FORMAT, settings) for e in (examples, shuffled))
    assert [row.text for row in first.rows] == [row.text for row in second.rows]
    assert [row.split for row in first.rows] == [row.split for row in second.rows]


def test_split_by_incident(settings: Settings) -> None:
    """Rows of one incident never stand on both sides."""
    examples = [labelled(n, service=named(n), group_id=f"in{n % 20}") for n in range(1, 200)]
    export = build_export(examples, FORMAT, settings)
    train, validation = ({row.gold.example.group_id for row in export.of(s)} for s in ("train", "validation"))
    assert train
    assert validation
    assert not train & validation


def test_nothing_leaks_by_its_digits(settings: Settings) -> None:
    """Of rows that are equal up to figures and ids one remains, and no fingerprint stands on both sides."""
    examples = [labelled(n, service=named(n % 40)) for n in range(1, 300)]
    export = build_export(examples, FORMAT, settings)
    sides = [{fingerprint(row.gold.example) for row in export.of(split)} for split in ("train", "validation")]
    texts = [{without_figures(row.text) for row in export.of(split)} for split in ("train", "validation")]
    assert all(sides)
    assert not sides[0] & sides[1]
    assert not texts[0] & texts[1]
    assert len(export.rows) == 40
    assert {reject.reason.split()[0] for reject in export.rejects} == {"duplicate"}


def test_other_words_about_the_same_structure_stay_on_one_side(settings: Settings) -> None:
    """Two answers to prompts of one structure are both kept, and on the same side."""
    examples = [labelled(n, service=named(n % 40)) for n in range(1, 41)]
    examples += [
        labelled(n, service=named(n % 40), summary="It is slow [E1].", group_id=f"other{n}")
        for n in range(41, 81)
    ]
    export = build_export(examples, FORMAT, settings)
    side = {row.gold.example.example_id: row.split for row in export.rows}
    assert len(side) == 80
    assert all(side[f"f{n:03d}"] == side[f"f{n + 40:03d}"] for n in range(1, 41))
    assert set(side.values()) == {"train", "validation"}


@given(st.sets(st.text(min_size=1), min_size=10, max_size=40), st.text(min_size=1))
def test_split_is_stable(groups: set[str], newcomer: str) -> None:
    """A group stays on its side when another one comes."""
    settings = Settings()
    before, after = assign_splits(groups, settings), assign_splits(groups | {newcomer}, settings)
    assert all(after[group] == split for group, split in before.items())


def test_few_incidents_all_train(settings: Settings) -> None:
    """With a handful of incidents nothing is held out."""
    assert set(assign_splits({"a", "b"}, settings).values()) == {"train"}


def test_share_of_validation(settings: Settings) -> None:
    """About a tenth of many incidents is held out."""
    splits = list(assign_splits({str(n) for n in range(5000)}, settings).values())
    assert 0.08 < splits.count("validation") / len(splits) < 0.12


def test_duplicates(settings: Settings) -> None:
    """Rows that differ in trace and span ids only are one row, and the other one's reject names it."""
    context = labelled(1).context
    examples = [
        labelled(1, example_id=f"f{n:03d}", explanation_id=f"e{n}", context={**context, "trace": f"{n:032x}"})
        for n in (1, 2)
    ]
    export = build_export(examples, FORMAT, settings)
    assert [row.gold.example.example_id for row in export.rows] == ["f001"]
    assert export.rejects[0].reason == "duplicate of f001"


def test_overlong(settings: Settings) -> None:
    """A row beyond the token limit is refused, not cut."""
    small = settings.model_copy(update={"export_max_row_tokens": 100})
    export = build_export([labelled()], FORMAT, small)
    assert not export.rows
    assert "over 100" in export.rejects[0].reason


def test_filters(settings: Settings) -> None:
    """Rating and time narrow the rows, and what they leave out is counted."""
    examples = [
        labelled(1),
        labelled(2, rating="down", correction={"summary": "It is slow [E1]."}),
        labelled(3),
    ]
    down = build_export(examples, FORMAT, settings, Filters(rating="down"))
    assert [row.gold.example.example_id for row in down.rows] == ["f002"]
    late = build_export(examples, FORMAT, settings, Filters(since_unix_nano=3))
    assert [row.gold.example.example_id for row in late.rows] == ["f003"]
    assert {reject.reason for reject in late.rejects} == {"older than the since filter"}
