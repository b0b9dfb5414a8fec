"""64-bit keys of spans, by which retries are suspected (`collector/store/dedupe.py`)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.decode.buffers import offsets

_HEX_TRACE_WORDS, _HEX_SPAN_WORDS = 4, 2  # eight hex digits a 64-bit word
_MIX = np.array(
    [
        0x9E3779B97F4A7C15,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0x85EBCA77C2B2AE63,
        0x27D4EB2F165667C5,
        0xD6E8FEB86659FD93,
    ],
    dtype=np.uint64,
)

_CLIENT_MIX = np.uint64(0x2545F4914F6CDD1D)

Keys = npt.NDArray[np.uint64]


def span_keys(spans: pa.Table) -> Keys:
    """A 64-bit key of each span's `trace_id`, `span_id`, and whether it is a CLIENT.

    Zipkin's CLIENT and SERVER of one call share their id. If they had one key, half of all spans would be
    looked up.
    """
    words = np.hstack(
        [_words(spans["trace_id"], _HEX_TRACE_WORDS), _words(spans["span_id"], _HEX_SPAN_WORDS)]
    )
    with np.errstate(over="ignore"):
        mixed = words * _MIX
        mixed ^= mixed >> np.uint64(29)
        keys = mixed.sum(axis=1, dtype=np.uint64)
        keys[_is_client(spans["span_kind"])] ^= _CLIENT_MIX
        return np.asarray(keys)


def _is_client(kinds: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.equal(kinds, "CLIENT").to_numpy(zero_copy_only=False))


def _words(column: pa.ChunkedArray, words: int) -> Keys:
    """The hex digits of each id as 64-bit words, straight from Arrow's buffer: a cast to fixed-size binary
    takes 2 µs a row on large columns."""
    chunks = [_chunk_words(chunk, words) for chunk in column.chunks if len(chunk)]
    return np.concatenate(chunks) if chunks else np.zeros((0, words), dtype=np.uint64)


def _chunk_words(ids: pa.StringArray, words: int) -> Keys:
    places = offsets(ids)
    if np.any(np.diff(places) != 8 * words):
        raise ValueError(f"an id does not have {8 * words} hex digits")
    return np.frombuffer(
        ids.buffers()[2], dtype=np.uint64, count=len(ids) * words, offset=int(places[0])
    ).reshape(-1, words)
