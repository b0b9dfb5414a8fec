from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.export.build import build_export
from datasets.export.formats.trl import SFT as FORMAT
from datasets.export.labelled import InMemory
from datasets.export.row import SPLITS, Row
from datasets.export.select import Filters, assign_splits
from datasets.export.settings import Settings
from llm.analysis.fingerprint import without_figures
from tests.datasets.support import labelled, named


def fingerprint(row: Row) -> bytes:
    (head,) = InMemory([row.judged.example]).heads()
    return head.fingerprint


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
    train, validation, test = ({row.judged.example.group_id for row in export.of(s)} for s in SPLITS)
    assert train
    assert validation
    assert test
    assert not train & validation
    assert not test & (train | validation)


def test_nothing_leaks_by_its_digits(settings: Settings) -> None:
    """Of rows that are equal up to figures and ids one remains, and no fingerprint stands on both sides."""
    examples = [labelled(n, service=named(n % 40)) for n in range(1, 300)]
    export = build_export(examples, FORMAT, settings)
    sides = [set(map(fingerprint, export.of(split))) for split in ("train", "validation")]
    texts = [
        {without_figures(row.text.decode()) for row in export.of(split)} for split in ("train", "validation")
    ]
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
    side = {row.judged.example.example_id: row.split for row in export.rows}
    assert len(side) == 80
    assert all(side[f"f{n:03d}"] == side[f"f{n + 40:03d}"] for n in range(1, 41))
    assert set(side.values()) == {"train", "validation", "test"}


@given(st.sets(st.binary(min_size=1), min_size=10, max_size=40), st.binary(min_size=1))
def test_split_is_stable(groups: set[bytes], newcomer: bytes) -> None:
    """A group stays on its side when another one comes."""
    settings = Settings()
    before, after = assign_splits(groups, settings), assign_splits(groups | {newcomer}, settings)
    assert all(after[group] == split for group, split in before.items())


def test_few_incidents_all_train(settings: Settings) -> None:
    """With a handful of incidents nothing is held out."""
    assert set(assign_splits({b"a", b"b"}, settings).values()) == {"train"}


def test_share_of_validation(settings: Settings) -> None:
    """About a tenth of many incidents is held out."""
    splits = list(assign_splits({str(n).encode() for n in range(5000)}, settings).values())
    assert 0.08 < splits.count("validation") / len(splits) < 0.12
    assert 0.08 < splits.count("test") / len(splits) < 0.12


def test_duplicates(settings: Settings) -> None:
    """Rows that differ in trace and span ids only are one row, and the other one's reject names it."""
    context = labelled(1).context
    examples = [
        labelled(1, example_id=f"f{n:03d}", explanation_id=f"e{n}", context={**context, "trace": f"{n:032x}"})
        for n in (1, 2)
    ]
    export = build_export(examples, FORMAT, settings)
    assert [row.judged.example.example_id for row in export.rows] == ["f001"]
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
    assert [row.judged.example.example_id for row in down.rows] == ["f002"]
    late = build_export(examples, FORMAT, settings, Filters(since_unix_nano=3))
    assert [row.judged.example.example_id for row in late.rows] == ["f003"]
    assert {reject.reason for reject in late.rejects} == {"older than the since filter"}


@pytest.mark.parametrize(
    ("filters", "kept"),
    [(Filters(verdict="wrong"), ["f002"]), (Filters(reviewers=("bob",)), ["f003"]),
     (Filters(label_source="correction"), ["f002"]), (Filters(label_source="adjudication"), ["f004"]),
     (Filters(until_unix_nano=2), ["f001"]), (Filters(template="v2"), ["f003"]),
     (Filters(model="tiny"), ["f004"]), (Filters(max_severity=4), []), (Filters(min_reviewers=2), [])],
)  # fmt: skip
def test_each_filter(filters: Filters, kept: list[str], settings: Settings) -> None:
    """Each filter keeps what it says; the others are rejected with the name of the filter."""
    examples = [
        labelled(1), labelled(2, rating="down", verdict="wrong", correction={"summary": "It is slow [E1]."}),
        labelled(3, rater="bob", prompt_version="v2"), labelled(4, is_adjudication=True, model="tiny"),
    ]  # fmt: skip
    export = build_export(examples, FORMAT, settings, filters)
    assert [row.judged.example.example_id for row in export.rows] == kept
    assert len(export.rejects) == 4 - len(kept)
    assert all("filter" in r.reason or "fewer reviewers" in r.reason for r in export.rejects)


def test_two_reviewers_who_agree(settings: Settings) -> None:
    """`min_reviewers` counts those who gave the verdict that is used."""
    examples = [labelled(n, explanation_id="e", rater=rater) for n, rater in ((1, "ann"), (2, "bob"))]
    assert len(build_export(examples, FORMAT, settings, Filters(min_reviewers=2)).rows) == 1
