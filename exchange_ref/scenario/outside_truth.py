"""The truth about what happened around the exchange.

Nothing in the exchange is at fault then, so the truth is a shape of the whole system and no service.
"""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from exchange_ref.scenario.folder import Case
from exchange_ref.scenario.outside import HOST_SATURATED, SENDER_STOPPED, Happened

# kind → what an observer should say of the whole system
SHAPES: Final = {HOST_SATURATED: "host saturated", SENDER_STOPPED: "telemetry stopped"}
HOST: Final = "host"  # stands in the place of a root service
# Of traces that begin or end so close to a stop, spans may be lost: they are of the case.
CUT_NS = 2_000_000_000
# A request has met a saturated host when it took so many times the usual median.
SLOWER_TIMES = 2.0


def label_of(happened: Happened, spans: pl.DataFrame) -> dict[str, Any]:
    """The truth, in the form of the labels of faults; `impact_verified` says whether it really showed.

    Args:
        spans: what was recorded.
    """
    kind, start, end = happened.outside.kind, happened.start_unix_nano, happened.end_unix_nano
    roots = spans.filter(pl.col("parent_span_id") == "").with_columns(
        took_ns=pl.col("end_time_unix_nano") - pl.col("start_time_unix_nano")
    )
    began = pl.col("start_time_unix_nano")
    usual = roots.filter(began < start)
    during = roots.filter(began.is_between(start, end, closed="left"))
    medians = usual.group_by("span_name").agg(usual_ns=pl.col("took_ns").median())
    slow = during.join(medians, on="span_name").filter(pl.col("took_ns") >= SLOWER_TIMES * pl.col("usual_ns"))
    if kind == HOST_SATURATED:
        verified = slow.height * 2 > during.height
    else:
        # What has queued while nothing left goes out at the end.
        verified = not usual.is_empty() and during.filter(began < (start + end) / 2).is_empty()
    return {
        "fault_id": kind,
        "kind": kind,
        "root_service": HOST,
        "root_operation": None,
        "params": {"for_s": happened.outside.for_s, "burners": happened.outside.burners},
        "start_unix_nano": start,
        "end_unix_nano": end,
        "trace_ids": slow.sort("start_time_unix_nano")["trace_id"].to_list(),
        "cut_ns": CUT_NS if kind == SENDER_STOPPED else 0,
        "impact_verified": verified,
        "impact": {"requests": during.height, "slow": slow.height},
    }


def case_of(name: str, label: dict[str, Any]) -> Case:
    """
    Args:
        name: of the run.
    """
    return Case(
        f"{name}-{label['kind']}",
        label["kind"],
        [HOST],
        None,
        label["start_unix_nano"],
        label["end_unix_nano"],
        cut_ns=label["cut_ns"],
        shape=SHAPES[label["kind"]],
    )
