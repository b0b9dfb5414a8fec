"""The price list of language models, as SPYHOP_GENAI_PRICES gives it."""

from __future__ import annotations

from collections.abc import Mapping

from collector.store.store import Store


def read_prices(store: Store) -> list[dict[str, object]]:
    """model, input_price, output_price for a million tokens; the longest beginning of a name first."""
    rows = store.read("SELECT model, input_price, output_price FROM genai_prices ORDER BY length(model) DESC")
    prices: list[dict[str, object]] = rows.to_pylist()
    return prices


def save_prices(store: Store, prices: Mapping[str, tuple[float, float]]) -> None:
    """Replace the list.

    Args:
        prices: as a model's name begins → what a million input and a million output tokens cost.
    """
    cursor = store.cursor()
    try:
        cursor.execute("BEGIN TRANSACTION")
        cursor.execute("DELETE FROM genai_prices")
        for model, (input_price, output_price) in prices.items():
            cursor.execute("INSERT INTO genai_prices VALUES (?, ?, ?)", [model, input_price, output_price])
        cursor.execute("COMMIT")
    finally:
        cursor.close()
