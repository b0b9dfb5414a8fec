"""Trades with oneself: sigma = Phi^-1(1 - P(BetaBinomial(n, alpha, beta) >= k)), k of a party's n orders.

An order *crosses* an earlier one of the same pair when it is filled at exactly the other's price, on the
other side, for the same quantity (1%), within ten seconds. A *self-trade* crosses an order of the same
account. A *round trip* is a trade between two accounts that reverses an earlier trade between them. Single
amounts and prices are ordinary; the frequency is not. k of the n orders of an account (or of the two) in 5,
15 or 60 s are compared with the share in the pair, combined with the party's own past. An account that always
did so, such as a market maker that may trade with itself, is not reported. A finding needs at least three
crossings in different moments, and a tenth of the party's orders. Benjamini-Hochberg at 1e-5 covers all
accounts of the minute.

>>> book = Book()
>>> sold = Order("a", 0, "BTC/USD", "ann", "SELL", 1.0, 100.0, filled=False)
>>> bought = Order("b", 5, "BTC/USD", "ann", "BUY", 1.0, 100.0, filled=True)
>>> [book.take(sold), book.take(bought).trace_id]
[None, 'a']
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import ndtri

from detectors.model.anomaly import MARKET, Anomaly
from detectors.model.operation import Operation
from detectors.model.severity import bounded_by_share
from detectors.orders.amount_columns import priced_orders
from detectors.orders.order_match import CROSS_WITHIN_NS, Book, Order
from detectors.settings import Settings
from detectors.stats.arrays import IntArray
from detectors.stats.beta_binomial import WINDOWS_S, discoveries, exceedance
from detectors.stream.detector import Detector, Input, Rows, State, Step, Verdict
from detectors.stream.exemplars import window_anomaly

SELF, ROUND_TRIP = "self-trade", "round trip"
_NS = 1_000_000_000
_WINDOW_S = 60
_MOMENT_NS = 10_000_000
_MIN_CROSSINGS = 3
_MIN_SHARE = 0.1
_READY_ORDERS = 200  # learned orders of a pair; with fewer nothing is judged
_READY_PARTY_ORDERS = 100
_SHRINK_ORDERS = (
    200.0  # orders of the pair's rate in the prior of each account: less, the more accounts differ
)
_STRENGTH_MAX = 400.0
_PRIOR_RATE = 0.002
_DISCOVERY_RATE = 1e-5
_PARTIES_MAX = 20_000
_TABLE = "crossing_rates"
_SEPARATOR = "\x1f"
_COLUMNS = [
    *("trace_id", "start_unix_nano", "order_pair", "account", "side"),
    *("amount", "limit_price", "fill_price"),
]
Party = tuple[str, ...]  # pair, then one account or two


@dataclass(slots=True)
class Past:
    """The learned counts of a pair, or of a party that has crossed before.

    learning: the party crossed while its pair was not ready; it is not judged before it has its own past.
    """

    orders: float = 0.0
    crossings: float = 0.0
    learning: bool = False


@dataclass(slots=True)
class _Crossing:
    at: int
    party: Party
    row: dict[str, Any]
    other_trace_id: str
    flagged: bool = False


class _Judged(NamedTuple):
    party: Party
    mine: list[_Crossing]
    made: int
    window_s: int
    usual: float
    p: float


@dataclass(slots=True)
class _Deals:
    """The newest deal of each two accounts of a pair, with its seller: a deal the other way reverses it."""

    newest: OrderedDict[Party, tuple[str, int]] = field(default_factory=OrderedDict)

    def gives_back(self, party: Party, seller: str, at: int) -> bool:
        before = self.newest.pop(party, None)
        self.newest[party] = (seller, at)
        while len(self.newest) > _PARTIES_MAX:
            self.newest.popitem(last=False)
        return before is not None and before[0] != seller and at - before[1] <= _WINDOW_S * _NS


class WashWatch(Detector):
    """Follows who trades with whom. Not thread-safe."""

    name = "wash_trade"
    detector = MARKET
    input = Input.ORDERS
    tables = (_TABLE,)
    saved_every_s = 60.0

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._book = Book()
        self._counts: dict[int, Counter[tuple[str, str]]] = {}  # second → orders of (pair, account)
        self._found: list[_Crossing] = []
        self._deals = _Deals()
        self.pairs: dict[str, Past] = {}
        self.parties: dict[Party, Past] = {}
        self._changed: set[Party] = set()  # parties that changed since they were stored

    def judge(self, orders: pa.Table, now_s: int) -> list[Anomaly]:
        """Judge the orders of a batch; columns of `queries/new_amounts.sql`.

        Args:
            now_s: the newest second of span time.
        """
        # The outermost span of an order begins first; the anomaly refers to that one.
        orders = orders.take(pa.array(_telling(orders)))
        self._forget(now_s)
        crossed: dict[Party, None] = {}
        columns = orders.select(_COLUMNS).to_pydict().values()
        for index, (trace, start, pair, account, side, amount, limit, fill) in enumerate(
            zip(*columns, strict=True)
        ):
            at = min(max(start, (now_s - _WINDOW_S) * _NS), (now_s + 1) * _NS)  # clocks may jump
            if self._book.is_new(trace):
                self._counts.setdefault(at // _NS, Counter())[pair, account] += 1
            order = Order(trace, at, pair, account, side, amount, fill if fill > 0 else limit, fill > 0)
            partner = self._book.take(order)
            party = self._party(order, partner) if partner is not None else None
            if party is not None and partner is not None:
                row = orders.slice(index, 1).to_pylist()[0]
                self._found.append(_Crossing(max(at, partner.at), party, row, partner.trace_id))
                crossed[party] = None
        return self._judge_parties(list(crossed), now_s) if crossed else []

    def observe(self, step: Step) -> Verdict:
        orders = priced_orders(step.amounts)
        return Verdict(self.judge(orders, step.head_s) if orders.num_rows else ())

    def changed(self) -> list[State]:
        of_all: dict[Party, Past] = {(pair,): past for pair, past in self.pairs.items()}
        of_all.update(self.parties)
        rows = [
            {
                "party": _SEPARATOR.join(party),
                "order_count": of_all[party].orders,
                "crossing_count": of_all[party].crossings,
                "learning": of_all[party].learning,
            }
            for party in sorted(self._changed)
            if party in of_all
        ]
        return [State(_TABLE, pa.Table.from_pylist(rows))] if rows else []

    def committed(self) -> None:
        self._changed.clear()

    def restore(self, rows: Rows) -> None:
        for row in rows[_TABLE]:
            past = Past(row["order_count"], row["crossing_count"], row["learning"])
            party = tuple(row["party"].split(_SEPARATOR))
            if len(party) == 1:  # the counts of the whole pair
                self.pairs[party[0]] = past
            else:
                self.parties[party] = past

    def _party(self, one: Order, other: Order) -> Party | None:
        earlier, later = (one, other) if one.at < other.at else (other, one)
        if earlier.account == later.account:
            return (later.pair, later.account)
        party = (later.pair, *sorted((earlier.account, later.account)))
        seller = later.account if later.side == "SELL" else earlier.account
        return party if self._deals.gives_back(party, seller, later.at) else None

    def _judge_parties(self, crossed: list[Party], now_s: int) -> list[Anomaly]:
        judged = [found for party in crossed if (found := self._improbable(party, now_s))]
        if not judged:
            return []
        watched = len({key for counts in self._counts.values() for key in counts})
        believed = discoveries(np.array([one.p for one in judged]), watched, _DISCOVERY_RATE)
        return [
            anomaly
            for one, kept in zip(judged, believed.tolist(), strict=True)
            if kept
            for anomaly in self._report(one)
        ]

    def _improbable(self, party: Party, now_s: int) -> _Judged | None:
        """The least probable window of a party, of those with enough crossings."""
        own = self.parties.get(party)
        if self.pairs.get(party[0], Past()).orders < _READY_ORDERS:
            if own is None and len(self.parties) < _PARTIES_MAX:
                self.parties[party] = Past(learning=True)
            return None
        if own is not None and own.learning and own.orders < _READY_PARTY_ORDERS:
            return None
        usual, alpha, beta = self._usual(party)
        best: _Judged | None = None
        for window_s in WINDOWS_S:
            mine = [c for c in self._found if c.party == party and c.at > (now_s - window_s) * _NS]
            made = sum(
                counts[party[0], account]
                for second, counts in self._counts.items()
                if second > now_s - window_s
                for account in party[1:]
            )
            count = max(made, len(mine))
            moments = len({crossing.at // _MOMENT_NS for crossing in mine})
            if moments < _MIN_CROSSINGS or len(mine) < _MIN_SHARE * count:
                continue
            (p,) = exceedance(*(np.array([x]) for x in (float(len(mine)), float(count), alpha, beta)))
            p = min(float(p) * len(WINDOWS_S), 1.0)
            if best is None or p < best.p:
                best = _Judged(party, mine, count, window_s, usual, p)
        return best

    def _usual(self, party: Party) -> tuple[float, float, float]:
        """(rate, alpha, beta) of a party: its past, combined with its pair's."""
        pair, own = self.pairs.get(party[0], Past()), self.parties.get(party, Past())
        rate = (pair.crossings + 1_000 * _PRIOR_RATE) / (pair.orders + 1_000)
        alpha = own.crossings + _SHRINK_ORDERS * rate
        beta = max(own.orders - own.crossings, 0.0) + _SHRINK_ORDERS * (1 - rate)
        strength = min(1.0, _STRENGTH_MAX / (alpha + beta))
        return alpha / (alpha + beta), alpha * strength, beta * strength

    def _report(self, judged: _Judged) -> list[Anomaly]:
        """One anomaly for each crossing that was not reported yet, at the order that completed it."""
        party, mine, made, window_s, usual, p = judged
        rule = SELF if len(party) == 2 else ROUND_TRIP
        who = " and ".join(party[1:])
        how = "traded with itself" if rule == SELF else "gave back what they had traded"
        share = len(mine) / made
        volume = sum(crossing.row["amount"] for crossing in mine)
        text = (
            f"{who} {how}, {len(mine)} times in {made} orders of {party[0]} within {window_s} s: "
            f"{volume:,.6g} {mine[-1].row['asset']}, usually in {usual:.2%} of orders"
        )
        sigma = bounded_by_share(float(-ndtri(max(p, 1e-300))), share, self._settings)
        found = []
        for crossing in mine:
            if crossing.flagged:
                continue
            crossing.flagged = True
            row = crossing.row
            anomaly = window_anomaly(
                MARKET,
                row,
                Operation.of(row),
                self._settings,
                sigma=sigma,
                observed=share,
                expected=usual,
                unit="share",
                sample_count=int(self.pairs[party[0]].orders),
                details={
                    "text": text,
                    "rule": rule,
                    "pair": party[0],
                    "accounts": list(party[1:]),
                    "crossings": len(mine),
                    "orders": made,
                    "other_trace_id": crossing.other_trace_id,
                },
                subject=rule,
                cell=f"{party[0]} {who}",
            )
            found += [anomaly] if anomaly else []
        return found

    def _forget(self, now_s: int) -> None:
        """Learn orders that are older than the minute, except those of anomalies."""
        oldest_s = now_s - _WINDOW_S
        self._book.forget(now_s * _NS - CROSS_WITHIN_NS)
        for second in [second for second in self._counts if second < oldest_s]:
            for (pair, account), count in self._counts.pop(second).items():
                self.pairs.setdefault(pair, Past()).orders += count
                self._changed.add((pair,))
                if (pair, account) in self.parties:
                    self.parties[pair, account].orders += count
                    self._changed.add((pair, account))
        over = [crossing for crossing in self._found if crossing.at < oldest_s * _NS]
        if over:
            self._found = [crossing for crossing in self._found if crossing.at >= oldest_s * _NS]
        for party in [crossing.party for crossing in over if not crossing.flagged]:
            self.pairs.setdefault(party[0], Past()).crossings += 1
            self._changed |= {(party[0],), party}
            if party in self.parties or len(self.parties) < _PARTIES_MAX:
                # Its orders count from now on; it has placed at least one.
                past = self.parties.setdefault(party, Past(1.0, 0.0))
                past.crossings += 1


def _telling(orders: pa.Table) -> IntArray:
    """The rows that tell something new of a trace: its first row and its first fill, by start.

    A trace repeats its order in several spans, and each row costs 4 µs. By NumPy, since Arrow's sorting took
    a quarter of this detector's time.
    """
    known = np.flatnonzero(pc.greater(pc.binary_length(orders["account"]), 0).to_numpy())
    known = known[np.argsort(orders["start_unix_nano"].to_numpy()[known], kind="stable")]
    if not len(known):
        return known
    traces = orders["trace_id"].combine_chunks().dictionary_encode().indices.to_numpy()[known]
    filled = np.flatnonzero(orders["fill_price"].to_numpy()[known] > 0)
    _, first = np.unique(traces, return_index=True)
    _, first_filled = np.unique(traces[filled], return_index=True)
    return np.asarray(known[np.union1d(first, filled[first_filled])])
