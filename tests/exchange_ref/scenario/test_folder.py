from __future__ import annotations

import polars as pl

from exchange_ref.scenario.folder import collateral, trace_labels, unclean
from exchange_ref.scenario.plan import Part, Plan, Step

MS = 1_000_000


def spans(*rows: tuple[str, str | None, str, float]) -> pl.DataFrame:
    """(trace id, case id, split, duration in ms) of one operation, one after another."""
    return pl.DataFrame(
        {
            "trace_id": [row[0] for row in rows],
            "case_id": [row[1] for row in rows],
            "split": [row[2] for row in rows],
            "service_name": "kx-matcher",
            "span_name": "journal.append",
            "start_time_unix_nano": [10_000 * MS * number for number in range(len(rows))],
            "end_time_unix_nano": [
                10_000 * MS * number + int(row[3] * MS) for number, row in enumerate(rows)
            ],
        },
        schema_overrides={"case_id": pl.String},
    )


BASELINE = [(f"b{number}", None, "baseline", 1.0 + number % 10 / 10) for number in range(100)]


def test_who_waited_behind_a_fault_is_neither_a_good_nor_a_bad_example() -> None:
    """Inside a case the far slower traces are left out unless a label names them; others, and slow
    ones outside of any case, stay."""
    seen = spans(
        *BASELINE,
        ("met", "c1", "test", 80.0),
        ("behind", "c1", "test", 40.0),
        ("beside", "c1", "test", 1.5),
        ("noise", None, "test", 40.0),
    )
    assert set(collateral(seen)) == {"met", "behind"}
    label = {"kind": "fsync_stall", "trace_ids": ["met"], "start_unix_nano": -1, "end_unix_nano": 0}
    labelled = dict(trace_labels(seen, [label]).iter_rows())
    assert labelled == {"met": True, "beside": False, "noise": False}


def test_a_control_is_unclean_only_by_itself() -> None:
    """A control in which something else changed is reported; beside a fault it may change."""
    plan = Plan(
        1,
        30.0,
        40.0,
        100.0,
        (
            Step((Part("noop", {}),), 40.0, 5.0),
            Step((Part("deploy_shift", {}),), 50.0, 5.0),
            Step((Part("load_surge", {}), Part("db_slow", {})), 60.0, 5.0),
        ),
    )
    labels = [
        {"fault_id": "noop-1", "kind": "noop", "impact": {"clean": True}},
        {"fault_id": "deploy_shift-2", "kind": "deploy_shift", "impact": {"clean": False}},
        {"fault_id": "load_surge-3", "kind": "load_surge", "impact": {"clean": False}},
        {"fault_id": "db_slow-4", "kind": "db_slow", "impact": {}},
    ]
    assert [label["fault_id"] for label in unclean(plan, labels)] == ["deploy_shift-2"]
