"""Whales: σ = Φ⁻¹(1 - S(amount)), S the survival of amounts of the same kind, asset and side.

Amounts are compared on the log scale, within the operation that carries them: `order.quantity` for each
asset and side (the asset alone while a side is thin), `transfer.amount` for each asset. A whale is also at
least `detect_amount_min_ratio` times the amount that 99 of 100 stay below.
Source of S: `detectors.stats.tail`.

>>> import numpy as np
>>> from detectors.stats.sketch import Sketch
>>> from detectors.stats.tail import fit_tail
>>> usual_btc = 0.1 * np.exp(0.8 * np.random.default_rng(7).standard_normal(500))
>>> bool(fit_tail(Sketch.of(usual_btc), regime_scale_min=0.0).sigma(85.0) > 5)
True
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.baseline.models import Model
from detectors.baseline.sketch_index import facets_of
from detectors.model.anomaly import AMOUNT, Anomaly, anomaly_id
from detectors.model.severity import severity_of
from detectors.settings import Settings
from detectors.stats.arrays import FloatArray, IntArray


class AmountModels(Protocol):
    def amount(
        self, service_name: str, operation: str, span_kind: str, facets: list[str]
    ) -> Model | None: ...


def detect_amounts(amounts: pa.Table, baselines: AmountModels, settings: Settings) -> list[Anomaly]:
    """Flag every span of a batch that carries a whale; `topmost` then keeps one for each trace.

    Args:
        amounts: columns of `queries/new_amounts.sql`.
    """
    found: list[Anomaly] = []
    if not amounts.num_rows:
        return found
    models, codes = _models(amounts, baselines)
    limits = np.array([model.flag_above if model else np.inf for model in models])[codes]
    suspects = np.flatnonzero(amounts["amount"].to_numpy() > limits)
    suspects = suspects[np.argsort(codes[suspects], kind="stable")]
    rows = amounts.take(pa.array(suspects)).to_pylist()
    for row, code in zip(rows, codes[suspects].tolist(), strict=True):
        model = models[code]
        if model is not None and (anomaly := _judge(row, model, settings)):
            found.append(anomaly)
    return found


def amount_chances(amounts: pa.Table, baselines: AmountModels) -> FloatArray:
    """p of each amount; 1 of one that is too small to be a whale, or has no history.

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
    """(the models in use, which of them each amount is compared with)."""
    columns = ["service_name", "operation", "span_kind", "amount_kind", "asset", "side"]
    # As one text, since grouping by six columns costs 5 ms however few rows there are.
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
    """One whale for each trace and kind: the span that began first, and of those the one that lasted longest.

    The span that encloses the others; a trace repeats its amount from the client down to the engine.
    """
    best: dict[str, Anomaly] = {}
    for anomaly in sorted(found, key=lambda a: (a.span_start_unix_nano, -a.span_duration_ns)):
        best.setdefault(anomaly.anomaly_id, anomaly)
    return list(best.values())


def _judge(row: dict[str, Any], model: Model, settings: Settings) -> Anomaly | None:
    sigma = float(model.tail.sigma(row["amount"]))
    severity = severity_of(sigma, settings.severity_sigmas())
    if not severity:
        return None
    kind = row["amount_kind"]
    return Anomaly(
        # Not by span: the same whale seen higher up, in a span that lands later, must stay one anomaly.
        anomaly_id=anomaly_id(AMOUNT, row["trace_id"], kind),
        detector=AMOUNT,
        severity=severity,
        sigma=sigma,
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        service_name=row["service_name"],
        operation=row["operation"],
        span_kind=row["span_kind"],
        span_start_unix_nano=row["start_unix_nano"],
        span_duration_ns=row["duration_ns"],
        observed=row["amount"],
        expected=model.tail.p50,
        unit=row["asset"],
        cell=model.key.facet,
        sample_count=model.tail.sample_count,
        details={"asset": row["asset"], "side": row["side"], "attribute": row["attribute"], "kind": kind},
    )
