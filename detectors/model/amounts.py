"""The kinds of amounts that spans carry: of orders and transfers, and of calls to language models."""

from __future__ import annotations

from collections.abc import Mapping

ORDER_KINDS = ("order", "transfer")  # compared within an asset, and an order's side
CALL_KINDS = ("input_tokens", "output_tokens", "cost")  # compared within a model
_TOKENS = {"input_tokens": "input tokens", "output_tokens": "output tokens"}
_MODEL_CHARS = 60


def unit_of(kind: str, asset: str) -> str:
    """The unit of an amount; a cost has none, since its currency is not known.

    >>> unit_of("order", "BTC"), unit_of("input_tokens", "gpt-4o"), unit_of("cost", "gpt-4o")
    ('BTC', 'input tokens', '')
    """
    return _TOKENS.get(kind, "") if kind in CALL_KINDS else asset


def carried_text(details: Mapping[str, object]) -> str:
    """What an anomaly of an amount is about; its amount follows.

    >>> carried_text({"side": "BUY", "kind": "order"}), carried_text({"side": "", "kind": "transfer"})
    ('BUY', 'transfer')
    >>> carried_text({"side": "", "kind": "cost", "asset": "gpt-4o"})
    'cost of gpt-4o'
    """
    kind = details.get("kind")
    if kind in CALL_KINDS:
        return f"{'cost of ' if kind == 'cost' else ''}{str(details.get('asset') or '')[:_MODEL_CHARS]}"
    return str(details.get("side") or kind)
