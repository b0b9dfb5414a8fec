"""Whales: σ = Φ⁻¹(1 - S(amount)), S the survival of amounts of the same kind, asset and side.

Amounts are compared on the log scale, within the operation that carries them: `order.quantity` for each asset
and side (the asset alone while a side has few samples), `transfer.amount` for each asset, the tokens and the
cost of calls to language models for each model. A whale is also at least `detect_amount_min_ratio` times the
amount that 99 of 100 stay below.
Source of S: `detectors.stats.tail`.

>>> import numpy as np
>>> from detectors.stats.sketch import Sketch
>>> from detectors.stats.tail import fit_tail
>>> usual_btc = 0.1 * np.exp(0.8 * np.random.default_rng(7).standard_normal(500))
>>> bool(fit_tail(Sketch.of(usual_btc), regime_scale_min=0.0).sigma(85.0) > 5)
True
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.baseline.models import Model
from detectors.baseline.sketch_index import facets_of
from detectors.model.amounts import unit_of
from detectors.model.anomaly import AMOUNT, Anomaly
from detectors.orders.prices import Prices
from detectors.settings import Settings
from detectors.stats.arrays import FloatArray, IntArray
from detectors.stream.detector import Detector, Input, Step, Verdict
from detectors.stream.upper_tail import Exceeding, exceeding, tail_anomaly

ACCOUNT_CHARACTERS = 128  # kept of an account's name: a client may make the name as long as it likes
# ids → the stored rows among them, columns of `queries/known_whales.sql`
FindStored = Callable[[list[str]], list[dict[str, Any]]]


class AmountModels(Protocol):
    def amount(
        self, service_name: str, operation: str, span_kind: str, facets: list[str]
    ) -> Model | None: ...


class AmountWatch(Detector):
    """Whales, one for each trace and kind. Not thread-safe."""

    name = "amount"
    detector = AMOUNT
    input = Input.ORDERS

    def __init__(
        self, settings: Settings, baselines: AmountModels, prices: Prices, find_stored: FindStored
    ) -> None:
        self._settings = settings
        self._baselines = baselines
        self._prices = prices
        self._find_stored = find_stored

    def observe(self, step: Step) -> Verdict:
        if not self._settings.enable_amount_anomaly_detection:
            return Verdict()
        found = topmost(detect_amounts(step.amounts, self._baselines, self._settings))
        if not found:
            return Verdict()
        found = [self._valued(whale) for whale in found]
        stored = self._find_stored([whale.anomaly_id for whale in found])
        place = {row["anomaly_id"]: (row["start_unix_nano"], -row["span_duration_ns"]) for row in stored}
        new = [whale for whale in found if whale.anomaly_id not in place]
        moved = [
            whale
            for whale in found
            if whale.anomaly_id in place
            and (whale.start_unix_nano, -whale.span_duration_ns) < place[whale.anomaly_id]
        ]
        return Verdict(new, moved=moved)

    def _valued(self, whale: Anomaly) -> Anomaly:
        """The whale with its worth at the newest known price."""
        worth = self._prices.value_of(whale.unit, whale.observed)
        if worth is None:
            return whale
        value, quote = worth
        return replace(whale, details={**whale.details, "value": round(value, 2), "quote": quote})


def detect_amounts(amounts: pa.Table, baselines: AmountModels, settings: Settings) -> list[Anomaly]:
    """Flag every span of a batch that carries a whale; `topmost` then keeps one for each trace.

    Args:
        amounts: columns of `queries/new_amounts.sql`.
    """
    if not amounts.num_rows:
        return []
    models, codes = _models(amounts, baselines)
    found = exceeding(amounts["amount"].to_numpy(), models, codes, settings)
    rows = amounts.take(pa.array([one.place for one in found], pa.int64())).to_pylist()
    return [_whale(row, one) for row, one in zip(rows, found, strict=True)]


def amount_chances(amounts: pa.Table, baselines: AmountModels) -> FloatArray:
    """p of each amount; 1 for an amount that is too small to be a whale, or that has no history.

    Args:
        amounts: columns of `queries/new_amounts.sql`.
    """
    found = np.ones(amounts.num_rows)
    if not amounts.num_rows:
        return found
    models, codes = _models(amounts, baselines)
    values = amounts["amount"].to_numpy()
    for code, model in enumerate(models):
        if model is not None:
            large = (codes == code) & (values > model.flag_above)
            found[large] = model.tail.survival(values[large])
    return found


def _models(amounts: pa.Table, baselines: AmountModels) -> tuple[list[Model | None], IntArray]:
    """(the models in use, the index of the model that each amount is compared with)."""
    columns = ["service_name", "operation", "span_kind", "amount_kind", "asset", "side"]
    # As one text: grouping by six columns costs 5 ms, however few rows there are.
    joined = pc.binary_join_element_wise(*(amounts[name] for name in columns), "\x1f")
    encoded = joined.combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy()
    _, first = np.unique(codes, return_index=True)
    models = [_model(row, baselines) for row in amounts.select(columns).take(pa.array(first)).to_pylist()]
    return models, codes.astype(np.int64)


def _model(group: dict[str, Any], baselines: AmountModels) -> Model | None:
    return baselines.amount(
        group["service_name"],
        group["operation"],
        group["span_kind"],
        facets_of(group["amount_kind"], group["asset"], group["side"]),
    )


def topmost(found: list[Anomaly]) -> list[Anomaly]:
    """One whale for each trace and kind: the span that began first; of several, the one that lasted longest.

    That span encloses the others: a trace repeats its amount from the client down to the engine.
    """
    best: dict[str, Anomaly] = {}
    for anomaly in sorted(found, key=lambda a: (a.start_unix_nano, -a.span_duration_ns)):
        best.setdefault(anomaly.anomaly_id, anomaly)
    return list(best.values())


def _whale(row: dict[str, Any], one: Exceeding) -> Anomaly:
    kind = row["amount_kind"]
    return tail_anomaly(
        AMOUNT,
        row,
        one.model,
        one.sigma,
        one.severity,
        observed=row["amount"],
        details={
            **{name: row[name] for name in ("asset", "side", "attribute")},
            "kind": kind,
            **({"account": row["account"][:ACCOUNT_CHARACTERS]} if row["account"] else {}),
        },
        unit=unit_of(kind, row["asset"]),
        # The key is not the span: a parent that lands later with the same amount must not be a second
        # anomaly.
        subject=kind,
        cell=one.model.key.facet,
    )
