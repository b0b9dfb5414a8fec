"""Rows of one signal in two tables: those whose attributes `shredded.py` takes, and the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from collector.decode.buffers import flags, valid
from collector.decode.columns import Origin, as_table, open_envelope
from collector.decode.shredded import SHREDDED_COLUMNS, shred_attributes

Columns = dict[str, pa.Array]


class InTwo(NamedTuple):
    """Each row once, in tables of the same columns."""

    shredded: pa.Table
    others: pa.Table | None  # None: there are none


def decode_in_two(
    requests: pa.RecordBatch,
    scope_list: str,
    item_list: str,
    shredded: Callable[[Origin], Columns],
    plain: Callable[[Origin], Columns],
) -> InTwo:
    """All rows of the requests.

    Args:
        scope_list, item_list: as `open_envelope` wants them.
        shredded: the columns of items, with shredded attributes.
        plain: the same columns with attributes as bytes.
    """
    columns = shredded(open_envelope(requests, scope_list, item_list, shred_attributes))
    whole = pa.table(columns)
    is_shredded = np.logical_and.reduce([valid(columns[name]) for name in SHREDDED_COLUMNS])
    if is_shredded.all():
        return InTwo(whole, None)
    others = open_envelope(requests, scope_list, item_list)
    picked = flags(~is_shredded)
    of_others = {name: column.filter(picked) for name, column in others.columns.items()}
    rest = plain(Origin(others.items.filter(picked), of_others))
    return InTwo(whole.filter(flags(is_shredded)), as_table(rest))
