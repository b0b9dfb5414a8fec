"""Refuses JSON before it is parsed into objects: not strict, nested deeply, or of very many parts."""

from __future__ import annotations

import re

import msgspec
import numpy as np

from collector.errors import MalformedBody, TooLarge

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_OPENING = np.zeros(256, dtype=np.int8)
_OPENING[list(b"[{")] = 1
_OPENING[list(b"]}")] = -1


def part_count(document: bytes) -> int:
    """About how many values there are: objects, arrays and commas. 1 ms a MB, however many."""
    content = np.frombuffer(document, dtype=np.uint8)
    return sum(int(np.count_nonzero(content == sign)) for sign in b"{[,")


def depth(document: bytes) -> int:
    """The depth of nested objects and arrays. For valid JSON only; on other text the time may grow
    quadratically.

    >>> depth(b'{"a": [1, "[["]}')
    2
    """
    bare = np.frombuffer(_STRING.sub(b"", document), dtype=np.uint8)
    return int(np.cumsum(_OPENING[bare], dtype=np.int64).max(initial=0))


def check_json(document: bytes, *, parts_max: int, depth_max: int) -> None:
    """Refuse text that is not strict JSON, or would be many times as large once parsed.

    Raises:
        MalformedBody: not JSON, not UTF-8, NaN or an unpaired surrogate, or nested too deeply.
        TooLarge: more than `parts_max` values.
    """
    if (count := part_count(document)) > parts_max:
        raise TooLarge(
            f"the body has about {count} values, more than {parts_max}",
            hint="send less at once",
            details={"max_values": parts_max},
        )
    try:
        msgspec.json.decode(document)
    except (ValueError, RecursionError) as error:  # msgspec's errors, and wrong UTF-8, are ValueErrors
        raise MalformedBody(
            f"the body is not JSON ({error})", hint="send UTF-8, without NaN or unpaired surrogates"
        ) from error
    if (levels := depth(document)) > depth_max:
        raise MalformedBody(
            f"the body is nested {levels} levels deep, more than {depth_max}",
            hint="send flatter values",
            details={"max_depth": depth_max},
        )
