"""Sorts the attributes of each row, drops repeated keys, and makes the dictionary of the keys.

Spans of one operation carry the same keys in the same order. The result of a sequence is worked out once
for all rows that have it: 0.15 µs a row of nine keys, 0.45 when each row is sorted for itself.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.decode.anyvalue import METADATA_HEADER, encode_metadata
from collector.decode.buffers import Ints, arrow, numbers
from collector.decode.joined import headers_of, with_offsets

# A sequence costs 15 µs, a row sorted for itself 0.3 µs more than one whose sequence is known.
_ROWS_PER_SEQUENCE_MIN = 50
_random = np.random.default_rng()


class Chosen(NamedTuple):
    """The attributes that a column of Variant objects is made of."""

    items: Ints  # item numbers, row by row and sorted by key; of equal keys in a row only the last
    counts: Ints  # how many of these each row owns
    metadata: pa.BinaryArray  # each row's dictionary of keys
    codes: npt.NDArray[Any]  # of all items, kept or not: which of `names` each has
    names: list[bytes]


def choose(keys: pa.BinaryArray, sizes: Ints) -> Chosen:
    """Sort and thin out the items of all rows.

    Args:
        keys: of all items, row after row.
        sizes: the number of items in each row.
    """
    codes = keys.dictionary_encode()
    words, code_of_item = codes.dictionary, numbers(codes.indices)
    firsts, kind_of_row = _sequences(code_of_item, sizes, len(words))
    if len(firsts) > len(sizes) // _ROWS_PER_SEQUENCE_MIN + 1:
        return _row_by_row(words, code_of_item, sizes)
    starts = np.cumsum(sizes) - sizes
    names = words.to_pylist()
    orders, dictionaries = [], []
    for row in firsts:
        # A dict keeps the last of equal keys, which is the one that counts.
        place_of = {
            names[code]: place
            for place, code in enumerate(code_of_item[starts[row] : starts[row] + sizes[row]].tolist())
        }
        sorted_names = sorted(place_of)
        orders.append(np.array([place_of[name] for name in sorted_names], dtype=np.int64))
        dictionaries.append(encode_metadata(sorted_names))
    counts = np.array([len(order) for order in orders])[kind_of_row]
    return Chosen(
        _each_in_order(orders, kind_of_row, starts, counts),
        counts,
        pa.array(dictionaries, pa.binary()).take(arrow(kind_of_row)),
        code_of_item,
        names,
    )


def _sequences(code_of_item: Ints, sizes: Ints, code_count: int) -> tuple[Ints, Ints]:
    """The first row of each distinct sequence of codes, and for each row the number of its sequence."""
    starts = np.cumsum(sizes) - sizes
    place = np.arange(len(code_of_item), dtype=np.uint64) - np.repeat(starts.astype(np.uint64), sizes)
    weights = _random.integers(0, 2**63, code_count, dtype=np.uint64)
    # Sums of random numbers, times 1, 3, 5 … by place: chance makes two sequences equal once in 2^63 pairs.
    terms = weights[code_of_item] * (2 * place + 1)
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(terms)])
    hashes = sums[starts + sizes] - sums[starts]
    _, firsts, kinds = np.unique(hashes, return_index=True, return_inverse=True)
    return firsts, kinds


def _each_in_order(orders: list[Ints], kind_of_row: Ints, starts: Ints, counts: Ints) -> Ints:
    """Item numbers: for each row its start plus the order of its kind."""
    order_starts = np.cumsum([0, *map(len, orders[:-1])])
    ends = np.cumsum(counts)
    # From a place in the result to a place among the orders: the same distance within one row.
    shift = order_starts[kind_of_row] - (ends - counts)
    picked = np.concatenate(orders)[np.arange(ends[-1]) + np.repeat(shift, counts)]
    return np.asarray(picked + np.repeat(starts, counts))


def _row_by_row(words: pa.BinaryArray, code_of_item: Ints, sizes: Ints) -> Chosen:
    """The same for rows that have little in common."""
    order = numbers(pc.sort_indices(words)).astype(np.int64)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    row_of_item = np.repeat(np.arange(len(sizes)), sizes)
    place = row_of_item * len(order) + rank[code_of_item]
    items = np.argsort(place, kind="stable")
    place = place[items]
    items = items[np.append(place[1:] != place[:-1], True)]
    counts = np.bincount(row_of_item[items], minlength=len(sizes)).astype(np.int64)
    kept_keys = words.take(arrow(code_of_item[items]))
    metadata = with_offsets(headers_of(counts, _header), counts, kept_keys)
    return Chosen(items, counts, metadata, code_of_item, words.to_pylist())


def _header(count: int) -> bytes:
    return struct.pack("<BI", METADATA_HEADER, count)
