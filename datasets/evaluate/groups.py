"""An index of the rows of a table that share a text."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from detectors.stats.arrays import IntArray


class Groups:
    """A table by one of its columns of text.

    One look at all rows when it is made; after that a group costs what it holds. Filtering 900,000 spans for
    each of 130 cases took 0.15 s a case.

    >>> rows = pa.table({"case": ["b", "a", None, "b"], "n": [1, 2, 3, 4]})
    >>> groups = Groups(rows, "case")
    >>> groups.of(["b"])["n"].to_pylist(), groups.of(["b", "a", "z"])["n"].to_pylist()
    ([1, 4], [1, 2, 4])
    """

    def __init__(self, rows: pa.Table, column: str) -> None:
        self.rows = rows
        encoded = rows[column].combine_chunks()
        if isinstance(encoded, pa.ChunkedArray):  # an empty column stays chunked
            encoded = pa.concat_arrays(encoded.chunks) if encoded.num_chunks else pa.array([], pa.string())
        encoded = encoded.dictionary_encode()
        names = encoded.dictionary.to_pylist()
        codes = encoded.indices.fill_null(len(names)).to_numpy().astype(np.int64)
        self._order: IntArray = np.argsort(codes, kind="stable")
        self._ends: IntArray = np.cumsum(np.bincount(codes, minlength=len(names)))
        self._codes = {name: code for code, name in enumerate(names)}

    def of(self, names: Iterable[str]) -> pa.Table:
        """The rows of these groups, in the order of the table; names that it lacks are passed over."""
        known = (self._codes[name] for name in dict.fromkeys(names) if name in self._codes)
        parts = [self._order[self._ends[code - 1] if code else 0 : self._ends[code]] for code in known]
        chosen = np.sort(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)
        return self.rows.take(pa.array(chosen))
