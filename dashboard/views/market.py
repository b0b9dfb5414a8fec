"""Market: prices with marks, whales by account, surveillance signals; where orders or amounts exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import streamlit as st

from dashboard import format as fmt
from dashboard.charts import market as charts
from dashboard.data.market import AMOUNTS_MAX, Cell, amount_cells, amounts, prices, signals
from dashboard.markup import join, page, severity_chip, table, tag
from dashboard.theme import STATE_ICONS
from dashboard.triage import anomaly_title, is_whale, plural
from dashboard.views import clicks, frame
from dashboard.views.status import to

REFRESH_S = 10.0
# As detection has it (detect_amount_min_ratio): a whale is also this many times what 99 of 100 stay below.
WHALE_RATIO = 3.0
SHOWN = 60


def render() -> None:
    frame.region("market", "The market", _read, _draw, REFRESH_S)


def _read() -> dict[str, Any]:
    url, span = frame.api_url(), frame.window()
    cells = amount_cells(url)
    chosen = _chosen(st.query_params.get("amounts"), [row["cell"] for row in cells])
    bounds = (span.since_ns, span.until_ns)
    return {
        "cells": cells,
        "cell": chosen,
        "prices": prices(url, *bounds, max(2, span.bucket_s(180))),
        "signals": signals(url, *bounds),
        "amounts": amounts(url, chosen, *bounds) if chosen else None,
        "text": span.text,
    }


def _chosen(asked: str | None, known: Sequence[str]) -> str | None:
    """What the address names, else the one with the most samples that has a side."""
    if asked in known:
        return asked
    return next((cell for cell in known if cell.count("|") == 2), next(iter(known), None))


def _draw(found: dict[str, Any]) -> None:
    if not found["cells"] and not found["signals"]:
        _nothing()
        return
    marks = [row for row in found["signals"] if not is_whale(row)]
    _prices(found, marks)
    if found["cell"]:
        _amounts(found, [row for row in found["signals"] if is_whale(row)])
    st.html(signals_table(marks, found["text"]))


def _nothing() -> None:
    st.html(
        page(
            tag("div", "No orders and no amounts yet", css="title"),
            tag(
                "div",
                "This page follows spans that carry ",
                tag("code", "order.pair"), ", ", tag("code", "order.side"), " and ",
                tag("code", "order.quantity"),
                ", or ", tag("code", "transfer.asset"), " and ", tag("code", "transfer.amount"),
                "; it appears once their usual size has been learned. ",
                tag("code", "spyhop demo"), " sends some.",
                css="muted",
            ),
            css="panel",
        )
    )  # fmt: skip


def _prices(found: Mapping[str, Any], marks: Sequence[Mapping[str, Any]]) -> None:
    frame_of: pl.DataFrame = found["prices"]
    counts = frame_of.group_by("pair").agg(pl.col("order_count").sum()).sort("order_count", descending=True)
    pairs = counts["pair"].to_list()
    if not pairs:
        st.html(page(tag("div", f"No order in the {found['text']}.", css="muted"), css="panel"))
        return
    asked = st.query_params.get("pair")
    pair = asked if asked in pairs else pairs[0]
    total = int(counts.filter(pl.col("pair") == pair)["order_count"][0])
    links = [
        tag("strong", fmt.plain(name, 40))
        if name == pair
        else to(fmt.plain(name, 40), "market", **_address(pair=name))
        for name in pairs[:20]
    ]
    mine = [{**row, "text": _said(row)} for row in marks if row["details"].get("pair") == pair]
    st.html(
        page(
            tag("span", "Price of ", css="muted"),
            join(links, "  ·  "),
            tag(
                "span",
                f"   about {plural(total, 'order')} in the {found['text']}, {plural(len(mine), 'signal')}"
                + (" (▼, a click opens it)" if mine else ""),
                css="muted",
            ),
        )
    )
    shown = frame_of.filter(pl.col("pair") == pair)
    if shown["price"].drop_nulls().is_empty():
        st.caption("None of them says a fill price (`order.fill_price`).")
        return
    chart = charts.price_chart(shown, mine)
    spoken = f"Median fill price of {fmt.label(pair)} over time"
    chosen = clicks.clicked(chart, f"price-{pair}", spoken) if mine else None
    if not mine:
        st.altair_chart(chart, alt=spoken)
    if chosen and chosen.get("anomaly_id"):
        frame.go(frame.link_of(*frame.href("incident", anomaly=chosen["anomaly_id"])))


def _address(**change: str) -> dict[str, object]:
    """This page's own choices with a change."""
    kept = {name: st.query_params[name] for name in ("pair", "amounts", "at") if name in st.query_params}
    return {**kept, **change}


def _amounts(found: Mapping[str, Any], whales: Sequence[Mapping[str, Any]]) -> None:
    cell: str = found["cell"]
    row = next(row for row in found["cells"] if row["cell"] == cell)
    parsed = Cell.parse(cell)
    unit = parsed.asset if parsed else ""
    links = [
        tag("strong", fmt.cell(each["cell"]))
        if each["cell"] == cell
        else to(fmt.cell(each["cell"]), "market", **_address(amounts=each["cell"]))
        for each in found["cells"][:24]
    ]
    st.html(page(tag("span", "Amounts by account: ", css="muted"), join(links, "  ·  ")))
    points: pl.DataFrame = found["amounts"]
    left, right = st.columns([7, 5], gap="small")
    with left:
        if points.is_empty():
            st.html(page(tag("div", f"No such amount in the {found['text']}.", css="muted"), css="panel"))
        else:
            _chart(points, row, whales, unit)
    with right:
        st.html(whales_table(whales, found["text"]))


def _chart(
    points: pl.DataFrame, usual: Mapping[str, Any], whales: Sequence[Mapping[str, Any]], unit: str
) -> None:
    thresholds = {"median": usual["p50"], "99%": usual["p99"], "3σ": usual["sigma3"]}
    flagged = {row["trace_id"]: int(row["severity"]) for row in whales}
    drawn = charts.accounts(points, flagged)
    total = int(points["amount_count"][0])
    chosen = clicks.clicked(
        charts.amounts_chart(drawn, thresholds, unit),
        f"amounts-{usual['cell']}",
        "Amounts by account on a logarithmic scale",
    )
    whale_from = max(usual["sigma3"], WHALE_RATIO * usual["p99"])
    cut = f"The {AMOUNTS_MAX:,} largest of {total:,}. " if total > points.height else ""
    st.html(
        page(
            tag(
                "div",
                f"{cut}A whale begins at {fmt.quantity(whale_from, unit)}: beyond 3σ and "
                f"{WHALE_RATIO:g} times what 99 of 100 stay below "
                f"({plural(usual['sample_count'], 'sample')}).",
                css="muted",
            )
        )
    )
    if chosen and chosen.get("trace_id"):
        frame.go(frame.link_of(*frame.href("trace", id=chosen["trace_id"], span=chosen.get("span_id") or "")))


def whales_table(whales: Sequence[Mapping[str, Any]], text: str) -> str:
    """Whales by account, the account with the worst first. Pure."""
    if not whales:
        return page(tag("div", f"No whale in the {text}.", css="muted"), css="panel")
    by_account: dict[str, list[Mapping[str, Any]]] = {}
    for whale in whales:
        by_account.setdefault(whale["details"].get("account") or charts.NOBODY, []).append(whale)
    ranked = sorted(by_account.items(), key=lambda pair: (min(w["severity"] for w in pair[1]), -len(pair[1])))
    lines = []
    for account, mine in ranked[:SHOWN]:
        worst = max(mine, key=lambda whale: whale["sigma"])
        lines.append(
            (
                fmt.plain(account, 28),
                severity_chip(worst["severity"]),
                to(anomaly_title(worst).removeprefix("Whale: "), "incident", anomaly=worst["anomaly_id"]),
                fmt.times(worst["observed"], worst["expected"]),
                _worth(worst["details"]),
                fmt.count(len(mine)),
                to("trace →", "trace", id=worst["trace_id"], span=worst["span_id"]),
            )
        )
    head = [
        ("Account", "l"), ("Severity", "l"), ("Largest whale", "l wrap"), ("× usual", ""), ("Worth", ""),
        ("Whales", ""), ("Trace", "l"),
    ]  # fmt: skip
    return page(table(head, lines))


def _worth(details: Mapping[str, Any]) -> str:
    value = details.get("value")
    return f"{fmt.count(value)} {fmt.plain(details.get('quote') or '', 8)}" if value else fmt.DASH


def _said(row: Mapping[str, Any]) -> str:
    return str(row["details"].get("text") or anomaly_title(row))


def signals_table(signals: Sequence[Mapping[str, Any]], text: str) -> str:
    """Surveillance signals, newest first: price, spread, volume, prices off the market, wash trades. Pure."""
    if not signals:
        return page(
            tag(
                "div",
                f"No surveillance signal in the {text}: no jump of price, spread or volume, no order far off "
                "the market, no account that trades with itself.",
                css="muted",
            ),
            css="panel",
        )
    lines = [
        (
            fmt.clock_of(fmt.from_nano(row["at_ms"] * 1_000_000)),
            severity_chip(row["severity"]),
            fmt.plain(row["details"].get("rule") or row["cell"], 40),
            to(fmt.plain(_said(row), 240), "incident", anomaly=row["anomaly_id"]),
            fmt.plain(", ".join(map(str, row["details"].get("accounts") or [fmt.DASH])), 60),
            fmt.sigma(row["sigma"]),
            f"{STATE_ICONS.get(row['state'], '●')} {row['state']}",
            to("trace →", "trace", id=row["trace_id"], span=row["span_id"]),
        )
        for row in signals[:SHOWN]
    ]
    head = [
        ("When", "l"), ("Severity", "l"), ("Signal", "l"), ("What", "l wrap"), ("Account", "l"), ("σ", ""),
        ("State", "l"), ("Trace", "l"),
    ]  # fmt: skip
    more = f", the newest {SHOWN} of {len(signals)}" if len(signals) > SHOWN else ""
    return page(tag("div", f"Surveillance signals in the {text}{more}", css="muted"), table(head, lines))
