"""Traces belong to the stretch of time in which an operation did not fare as usual."""

from __future__ import annotations

import pyarrow as pa

from detectors.baseline.settled import SettledTraces
from detectors.model.operation import Operation
from detectors.scoring.stretches import Stretches, join_stretches
from detectors.scoring.trace_score import SCORE_SCHEMA
from detectors.spans.missing_calls import Forgone
from detectors.spans.slow_stretches import Slowed, SlowStretches

S = 1_000_000_000
AGENT = Operation("agent", "invoke", "INTERNAL")
TOOLS = [Operation("tools", f"execute {name}", "INTERNAL") for name in ("search", "mail")]


def spans(traces: dict[str, tuple[int, int, list[Operation]]]) -> pa.Table:
    """By trace: when its agent begins and how long it takes, in s, and the tools that it calls."""
    rows = []
    for trace_id, (begin_s, took_s, tools) in traces.items():
        for number, operation in enumerate([AGENT, *tools]):
            rows.append(
                {
                    "trace_id": trace_id,
                    "span_id": f"{trace_id}-{number}",
                    "parent_span_id": f"{trace_id}-0" if number else None,
                    **operation._asdict(),
                    "start_unix_nano": begin_s * S + number,
                    "duration_ns": S // 10 if number else took_s * S,
                    "failed": False,
                    "callee": None,
                }
            )
    return pa.Table.from_pylist(rows).cast(SPANS)


SPANS = pa.schema(
    [
        *((name, pa.string()) for name in ("trace_id", "span_id", "parent_span_id")),
        *((name, pa.string()) for name in Operation._fields),
        ("start_unix_nano", pa.int64()),
        ("duration_ns", pa.int64()),
        ("failed", pa.bool_()),
        ("callee", pa.string()),
    ]
)
BLANK = {"start_unix_nano": 0, "times_sigma": 0.0, "forms_sigma": 2.0, "span_id": "r", "span_count": 1}
BLANK |= {"service_name": "shop", "operation": "buy", "reason": "", "anomaly_sigma": 2.0}


def joined(traces: dict[str, tuple[int, int, list[Operation]]], stretches: Stretches) -> dict[str, dict]:
    """The scores that were all 2σ, by trace."""
    scores = pa.Table.from_pylist([{"trace_id": trace_id, **BLANK} for trace_id in traces], SCORE_SCHEMA)
    found = join_stretches(scores, SettledTraces.of(spans(traces)), stretches).to_pylist()
    return {row["trace_id"]: row for row in found}


def forgone(tool: Operation, usual: float) -> Forgone:
    return Forgone((AGENT, ""), (tool, ""), 10 * S, 20 * S, 7.0, usual, 90, 90)


def test_a_trace_without_calls_belongs_to_the_stretch_without_them():
    """It lacks them by chance in a third of cases at most; who calls one, or lies outside, does not."""
    both = Stretches(forgone=[forgone(tool, 0.4) for tool in TOOLS])
    traces = {
        "neither": (12, 1, []),
        "mail alone": (12, 1, TOOLS[1:]),
        "both": (12, 1, TOOLS),
        "before": (5, 1, []),
        "after": (25, 1, []),
    }
    found = joined(traces, both)
    assert {name: row["anomaly_sigma"] for name, row in found.items()} == {
        "neither": 7.0, "mail alone": 2.0, "both": 2.0, "before": 2.0, "after": 2.0,
    }  # fmt: skip
    assert found["neither"]["service_name"] == "agent"
    assert found["neither"]["reason"].startswith("does not call tools execute")
    rarely = joined(traces, Stretches(forgone=[forgone(TOOLS[0], 0.1)]))
    assert rarely["mail alone"]["anomaly_sigma"] == 7.0


def test_a_slow_trace_belongs_to_the_stretch_in_which_its_operation_was_slow():
    """A span above the limit of the shift, and no other of that time or that length."""
    found = joined(
        {"slow": (12, 5, []), "quick": (12, 1, []), "before": (5, 5, [])},
        Stretches(slowed=[Slowed(AGENT, 10 * S, 20 * S, 2.0 * S, 6.0, 10)]),
    )
    assert [row["anomaly_sigma"] for row in found.values()] == [6.0, 2.0, 2.0]
    assert found["slow"]["reason"] == "takes 5 s while its operation was slow"


def test_stretches_of_one_operation_that_overlap_are_one():
    """Each pass tells of a shift that lasts, a rare call's next slow span comes late; others stay apart."""
    stretches = SlowStretches()
    for since, until, sigma in ((10, 12, 3.0), (11, 14, 5.0), (17, 19, 4.0), (40, 41, 4.0)):
        stretches.note(Slowed(AGENT, since, until, 9.0, sigma, 3))
    stretches.note(Slowed(TOOLS[0], 13, 15, 9.0, 3.0, 3))
    assert [(s.operation, *s[1:3], s.sigma) for s in stretches.all()] == [
        (AGENT, 10, 19, 5.0),
        (AGENT, 40, 41, 4.0),
        (TOOLS[0], 13, 15, 3.0),
    ]
