"""Exchange: price, depth, load, faults with their truth, and an order with the way to its trace."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import streamlit as st

from collector.errors import SpyhopError
from dashboard import data
from dashboard import format as fmt
from dashboard.charts import market as charts
from dashboard.data import exchange
from dashboard.data.market import prices
from dashboard.markup import Safe, join, page, prose, table, tag
from dashboard.theme import BAD, GOOD, MUTED
from dashboard.triage import plural
from dashboard.truth import Verdict, verdict
from dashboard.views import frame
from dashboard.views.status import to

REFRESH_S = 2.0
PRICE_REFRESH_S = 10.0
LEVELS = 7
OVER_SHOWN = 30
USUAL_FAULT_S = 20.0
LONGEST_FAULT_S = 3_600.0
MOST_RATE_PER_S = 5_000.0
LEAST_RATE_PER_S = 0.2
_PLACED = "exchange_placed"
_SAID = "exchange_said"


def render() -> None:
    pair = str(st.query_params.get("pair") or "")
    left, right = st.columns([5, 7], gap="medium")
    with left:
        frame.region("exchange", "The exchange", _read, lambda found: _market(found, pair), REFRESH_S)
        frame.region(
            f"exchange-price-{pair}", "The price", _read_prices, lambda found: _price(found, pair),
            PRICE_REFRESH_S, show_age=False,
        )  # fmt: skip
    with right:
        found = frame.kept("exchange")
        if isinstance(found, dict):
            if _token():
                _order_form(found, pair)
            _load_form(found)
            _fault_form(found)
        frame.region("exchange-faults", "The faults", _read_faults, _faults, REFRESH_S, show_age=False)


def _url() -> str:
    return frame.exchange().url


def _token() -> str:
    return frame.exchange().exchange_admin_token


def _read() -> dict[str, Any]:
    return exchange.state(_url(), _token())


def _pair_of(found: Mapping[str, Any], asked: str) -> dict[str, Any]:
    pairs: list[dict[str, Any]] = found["market"]["pairs"]
    return next((pair for pair in pairs if pair["symbol"] == asked), pairs[0])


def _market(found: Mapping[str, Any], asked: str) -> None:
    pair = _pair_of(found, asked)
    st.html(status_line(found))
    links = [
        tag("strong", each["symbol"])
        if each is pair
        else to(fmt.plain(each["symbol"], 20), "exchange", pair=each["symbol"])
        for each in found["market"]["pairs"]
    ]
    st.html(page(tag("div", join(links, "  ·  ")), ladder(pair, is_current=found["market"]["is_current"])))


def status_line(found: Mapping[str, Any]) -> str:
    """Orders so far, the load, what is in flight. Pure."""
    status, load = found["status"], found["market"]["load"]
    rate = fmt.rate(load["rate_now_per_s"])
    differs = load["rate_now_per_s"] != load["rate_per_s"]
    asked = f" (asked for: {fmt.rate(load['rate_per_s'])})" if differs else ""
    return page(
        tag("strong", f"{rate} orders{asked}"),
        tag(
            "span",
            f"  ·  {fmt.count(status['orders_accepted'])} accepted, "
            f"{fmt.count(status['orders_rejected'])} refused, "
            f"{fmt.count(status['in_flight'])} in flight  ·  {fmt.count(load['transfers'])} transfers, "
            f"{fmt.count(load['cancels'])} cancels, {fmt.count(load['trades'])} positions  ·  up "
            f"{fmt.duration(status['uptime_s'] * 1e9)}",
            css="muted",
        ),
    )


def ladder(pair: Mapping[str, Any], *, is_current: bool) -> Safe:
    """The book: offers above, bids below, a bar as long as what rests there. Pure."""
    asks, bids = pair["asks"][:LEVELS], pair["bids"][:LEVELS]
    most = max([1e-12, *(quantity for _, quantity in [*asks, *bids])])
    rows = [_level(level, most, "ask", BAD) for level in reversed(asks)]
    spread = f"spread {fmt.significant(asks[0][0] - bids[0][0], 4)}" if asks and bids else "one side is empty"
    age = pair["price_age_s"]
    outside = f"outside {pair['reference_price']:,.2f}" + (
        f", {fmt.duration(age * 1e9)} old" if age is not None and age > 1 else ""
    )
    rows.append(
        (tag("strong", f"{pair['last_price']:,.2f}"), "", tag("span", f"{spread} · {outside}", css="muted"))
    )
    rows += [_level(level, most, "bid", GOOD) for level in bids]
    head = [(f"{fmt.plain(pair['quote'], 8)}", ""), (f"{fmt.plain(pair['base'], 8)}", ""), ("Depth", "l")]
    note = f"{plural(pair['resting_orders'], 'resting order')} in all."
    if not is_current:
        note += " The matcher runs in a process of its own just now: this is the book from before."
    return join([tag("div", table(head, rows), css="dense"), tag("div", note, css="muted")])


def _level(level: Sequence[float], most: float, side: str, colour: str) -> tuple[object, ...]:
    price, quantity = level
    bar = tag(
        "span",
        style=f"display:inline-block;height:10px;width:{100 * quantity / most:.0f}%;background:{colour}",
    )
    cell = tag("div", bar, tag("span", side, style="position:absolute;left:-9999px"), style="width:150px")
    return f"{price:,.2f}", fmt.significant(quantity, 5), cell


def _read_prices() -> pl.DataFrame:
    span = frame.window()
    return prices(frame.api_url(), span.since_ns, span.until_ns, max(2, span.bucket_s(180)))


def _price(found: pl.DataFrame, asked: str) -> None:
    kept = frame.kept("exchange")
    if not isinstance(kept, dict):
        return
    symbol = _pair_of(kept, asked)["symbol"]
    mine = found.filter((pl.col("pair") == symbol) & pl.col("price").is_not_null())
    if mine.is_empty():
        st.caption("Its fills appear here once their spans have landed.")
        return
    st.html(page(tag("span", f"Fills of {symbol} in the {frame.window().text}  ", css="muted"),
                 to("market →", "market", pair=symbol)))  # fmt: skip
    st.altair_chart(charts.price_chart(mine, []), alt=f"Median fill price of {fmt.label(symbol)} over time")


def _order_form(found: Mapping[str, Any], asked: str) -> None:
    pair = _pair_of(found, asked)
    with st.form("order", border=True):
        st.markdown(f"**Place an order** in {fmt.label(pair['symbol'])}")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            user = st.selectbox("Trader", found["market"]["traders"], width=130)
            side = st.selectbox("Side", ["BUY", "SELL"], width=90)
            kind = st.selectbox("Type", ["MARKET", "LIMIT"], width=110)
            quantity = st.text_input(f"Quantity, {pair['base']}", value=str(100 * pair["lot"]), width=120)
            price = st.text_input("Limit price", value=f"{pair['last_price']:.2f}", width=120)
            sent = st.form_submit_button("Send", type="primary")
    if sent:
        order = {"client_order_id": uuid.uuid4().hex, "pair": pair["symbol"], "side": side, "type": kind}
        order["quantity"] = str(quantity).strip()
        if kind == "LIMIT":
            order["price"] = str(price).strip()
        try:
            st.session_state[_PLACED] = exchange.place_order(_url(), _token(), str(user), order)
        except SpyhopError as error:
            st.session_state[_PLACED] = str(error)
    placed = st.session_state.get(_PLACED)
    if placed is not None:
        st.html(outcome(placed))


def outcome(placed: exchange.Placed | str) -> str:
    """What became of the order, and the way to its trace. Pure."""
    if isinstance(placed, str):
        return page(tag("span", f"▲ Not sent: {placed}", style=f"color:{BAD}"), css="panel")
    body = placed.body
    if placed.status >= 400:
        said = body.get("error")
        message = said.get("message") if isinstance(said, dict) else None
        told = tag("span", f"▲ {placed.status}: {message or 'refused'}", style=f"color:{BAD}")
    else:
        filled = fmt.significant(float(body.get("filled_quantity") or 0), 6)
        at = f" at {body['fill_price']:,.2f}" if body.get("fill_price") else ""
        told = tag(
            "span",
            f"✓ {body.get('status')}: {filled} of {fmt.significant(float(body['quantity']), 6)} filled{at}",
        )
    trace = to("its trace →", "trace", id=placed.trace_id) if placed.trace_id else "no trace was made"
    return page(
        told, "   ", trace, tag("span", "  (spans land within a second or two)", css="muted"), css="panel"
    )


def _load_form(found: Mapping[str, Any]) -> None:
    if not _token():
        st.html(
            page(
                tag("strong", "Orders can be placed and load and faults can be switched with a token. "),
                prose(
                    "Start both with the same one: `SPYHOP_EXCHANGE_ADMIN_TOKEN=… spyhop exchange run` and "
                    "`SPYHOP_EXCHANGE_ADMIN_TOKEN=… spyhop dashboard`. `spyhop demo` does so by itself."
                ),
                css="panel",
            )
        )
        return
    with st.form("load", border=True), st.container(horizontal=True, vertical_alignment="bottom"):
        rate = st.number_input(
            "Load, mean orders a second",
            min_value=LEAST_RATE_PER_S,
            max_value=MOST_RATE_PER_S,
            value=float(found["market"]["load"]["rate_per_s"]),
            width=220,
        )
        if st.form_submit_button("Set load"):
            _do(
                lambda: exchange.set_rate(_url(), _token(), float(rate)),
                f"The load is {fmt.rate(float(rate))} now.",
            )


def _fault_form(found: Mapping[str, Any]) -> None:
    faults = found["faults"]
    if faults is None:
        return
    catalogue = faults.get("catalogue") or {}
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            kind = str(st.selectbox("Fault", faults["kinds"], width=210))
            entry = catalogue.get(kind) or {}
            lasts = bool(entry.get("lasts", True))
            for_s = st.number_input(
                "Seconds", min_value=1.0, max_value=LONGEST_FAULT_S, value=USUAL_FAULT_S, width=120,
                disabled=not lasts,
            )  # fmt: skip
            params = st.text_input(
                "Parameters",
                value=json.dumps(entry.get("params") or {}),
                key=f"params-{kind}",
                width="stretch",
            )
            if st.button("Switch on", icon=":material/bolt:", type="primary"):
                _start(kind, float(for_s) if lasts else None, str(params))
        st.html(
            page(
                tag("span", f"{entry.get('about', '')}. ", css="muted"),
                tag("span", f"Truth: {truth_of(entry)}"),
            )
        )
    said = st.session_state.pop(_SAID, None)
    if said:
        (st.error if said["failed"] else st.success)(said["text"])


def _start(kind: str, for_s: float | None, params: str) -> None:
    try:
        given = json.loads(params or "{}")
        if not isinstance(given, dict):
            raise ValueError("not an object")
    except (ValueError, RecursionError) as error:
        st.session_state[_SAID] = {"failed": True, "text": f"The parameters are no JSON object: {error}"}
        return
    _do(lambda: exchange.start_fault(_url(), _token(), kind, for_s, given), f"{kind} has begun.")


def _do(work: Any, text: str) -> None:
    try:
        work()
        st.session_state[_SAID] = {"failed": False, "text": text}
    except SpyhopError as error:
        st.session_state[_SAID] = {"failed": True, "text": f"Nothing was changed. {error}"}


def truth_of(entry: Mapping[str, Any]) -> str:
    """Where the cause lies: service and operation; that a control is no fault."""
    if entry.get("is_control") or not entry.get("root_service"):
        return "no fault: whoever raises an alarm is wrong"
    return " · ".join(str(entry[name]) for name in ("root_service", "root_operation") if entry.get(name))


def _read_faults() -> dict[str, Any]:
    faults = _read()["faults"]
    return {"faults": faults, "incidents": data.incidents(frame.api_url()) if faults else []}


def _faults(found: dict[str, Any]) -> None:
    faults = found["faults"]
    if faults is None:
        return
    for fault_id in faults["running"]:
        kind = fault_id.rpartition("-")[0]
        with st.container(horizontal=True, vertical_alignment="center"):
            st.html(
                page(
                    tag("strong", f"⚡ {fault_id} ", style=f"color:{BAD}"),
                    tag("span", f"happens now. Truth: {truth_of(faults['catalogue'].get(kind) or {})}"),
                ),
                width="content",
            )
            if st.button("End it", key=f"end-{fault_id}", icon=":material/stop:"):
                _do(
                    lambda fault_id=fault_id: exchange.end_fault(_url(), _token(), fault_id),
                    f"{fault_id} ends.",
                )
                st.rerun(scope="app")
    st.html(over_table(faults["over"], found["incidents"]))


def over_table(labels: Sequence[Mapping[str, Any]], incidents: Sequence[Mapping[str, Any]]) -> str:
    """Faults that are over: their truth, and what was said of their time. Pure."""
    if not labels:
        return page(tag("div", "No fault has ended yet.", css="muted"), css="panel")
    lines = []
    for label in list(reversed(labels))[:OVER_SHOWN]:
        said = verdict(label, incidents)
        began, ended = fmt.from_nano(label["start_unix_nano"]), fmt.from_nano(label["end_unix_nano"])
        lines.append(
            (
                tag("span", label["fault_id"], title=json.dumps(label["params"])),
                fmt.clock_of(began),
                fmt.duration((ended - began).total_seconds() * 1e9),
                truth_of({**label, "is_control": label["root_service"] is None}),
                "yes" if label["impact_verified"] else "not measurable",
                _said(said),
                to("traces →", "traces", range="5m", **frame.around(ended)),
            )
        )
    head = [
        ("Fault", "l"), ("Began", "l"), ("Lasted", ""), ("Truth", "l wrap"), ("Effect", "l"),
        ("What Spyhop said first", "l wrap"), ("Traces", "l"),
    ]  # fmt: skip
    return page(table(head, lines))


def _said(said: Verdict) -> Safe:
    mark, colour = {True: ("✓ ", GOOD), False: ("✗ ", BAD), None: ("~ ", MUTED)}[said.good]
    told = to(said.text, "incident", id=said.incident_id) if said.incident_id else said.text
    return join([tag("span", mark, style=f"color:{colour};font-weight:700"), told])
