"""Amounts among the spans of a batch, with the columns that `queries/new_amounts.sql` reads for learning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from collector.store.sqlfile import load_sql

_QUERIES = "detectors.orders.queries"
Read = Callable[[str, dict[str, Any]], pa.Table]  # SQL and its parameters to rows
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("trace_id", "span_id", "service_name", "operation", "span_kind")),
        *((name, pa.int64()) for name in ("start_unix_nano", "duration_ns")),
        *((name, pa.string()) for name in ("order_pair", "account", "amount_kind", "attribute")),
        ("amount", pa.float64()),
        *((name, pa.string()) for name in ("asset", "side")),
        *((name, pa.float64()) for name in ("limit_price", "fill_price")),
    ]
)
_ASSET = r"^(?P<asset>[^-_/]+)"


def spans_query(*, with_amounts: bool) -> str:
    """`stream/queries/new_spans.sql`; with amounts also parameter `$names` and columns for `amounts_of`."""
    if with_amounts:
        return load_sql(_QUERIES, "spans_with_amounts")
    return load_sql("detectors.stream.queries", "new_spans")


def read_amounts(read: Read, after: int, upto: int, prices: Sequence[Mapping[str, object]]) -> pa.Table:
    """Amounts of all kinds in the batches in (after, upto]: rows of `SCHEMA`."""
    found = read(load_sql(_QUERIES, "new_amounts"), {"after": after, "upto": upto})
    names = pc.unique(found.filter(found["is_call"])["operation"]).to_pylist()
    usable = pc.and_(pc.is_finite(found["amount"]), pc.greater(found["amount"], 0.0))
    carrying = pc.and_(usable, pc.not_equal(found["asset"], ""))  # a call alone carries no order
    amounts = found.filter(carrying).select(SCHEMA.names).cast(SCHEMA)
    return pa.concat_tables([amounts, read_calls(read, after, upto, names, prices)]) if names else amounts


def read_calls(
    read: Read, after: int, upto: int, names: Sequence[str], prices: Sequence[Mapping[str, object]]
) -> pa.Table:
    """The tokens and cost of calls to language models by operations with these names: rows of `SCHEMA`.

    Args:
        prices: as `collector.store.prices.read_prices` gives them.
    """
    values = {"after": after, "upto": upto, "names": list(names), "prices": list(prices)}
    return read(load_sql(_QUERIES, "new_calls"), values).select(SCHEMA.names).cast(SCHEMA)


def amounts_of(spans: pa.Table) -> pa.Table:
    """Rows of `SCHEMA`, one for each span that carries an order or a transfer.

    Args:
        spans: as `spans_query` with amounts reads them.
    """
    quantity = pc.coalesce(spans["order_quantity"], spans["transfer_amount"])
    usable = pc.and_(pc.is_finite(quantity), pc.greater(quantity, 0.0))
    carrying = spans.append_column("amount", quantity).filter(usable)
    if not carrying.num_rows:
        return SCHEMA.empty_table()
    is_order = carrying["is_order"].combine_chunks()
    pairs = carrying["order_pair"].combine_chunks().dictionary_encode()
    traded = pc.struct_field(pc.extract_regex(pairs.dictionary, _ASSET), "asset").take(pairs.indices)
    side = pc.if_else(is_order, pc.fill_null(pc.utf8_upper(carrying["order_side"]), ""), "")
    columns = {
        **{name: carrying[name] for name in SCHEMA.names if name in spans.schema.names},
        "account": pc.fill_null(carrying["account"], ""),
        "amount_kind": pc.if_else(is_order, "order", "transfer"),
        "attribute": pc.if_else(is_order, "order.quantity", "transfer.amount"),
        "amount": carrying["amount"],
        "asset": pc.if_else(is_order, traded, carrying["transfer_asset"]),
        "side": side,
        "limit_price": pc.fill_null(carrying["limit_price"], 0.0),
        "fill_price": pc.fill_null(carrying["fill_price"], 0.0),
    }
    amounts = pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA)
    # An amount without an asset cannot be compared.
    return amounts.filter(pc.not_equal(amounts["asset"], ""))


def priced_orders(amounts: pa.Table) -> pa.Table:
    """The orders among rows of `SCHEMA` that have a price."""
    orders = amounts.filter(pc.equal(amounts["amount_kind"], "order"))
    return orders.filter(pc.greater(pc.add(orders["limit_price"], orders["fill_price"]), 0))
