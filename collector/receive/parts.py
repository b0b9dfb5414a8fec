"""Refuses bodies within the size limit that would be a hundred times as large once parsed."""

from __future__ import annotations

import numpy as np

from collector.errors import TooLarge
from collector.http.json_check import part_count as json_part_count

# A message of two bytes on the wire takes 50 to 300 bytes once parsed: 8 MiB of empty spans, 800 bytes under
# zstd, took 1.2 GB, 12 MB of empty JSON objects 870 MB and 8 s. Spans with nine attributes have a part in 20
# to 28 bytes of protobuf or in 19 of JSON: a million is 20 MB or more, what OpenTelemetry Collectors accept
# in one request. In JSON the worst million takes 190 MB and 2 to 4 s.
PARTS_MAX = 1_000_000
_SHORT_BYTES = 8
_WINDOW_BYTES = 1024 * 1024


def refuse_too_many_parts(body: bytes, *, is_json: bool = False) -> None:
    """Refuse a body whose parsed form would be many times its size. It costs nothing below 1 MB.

    Raises:
        TooLarge: more than a million parts.
    """
    count = part_count(body, is_json=is_json) if len(body) > PARTS_MAX else 0
    if count > PARTS_MAX:
        raise TooLarge(
            f"the body has {count} parts, more than {PARTS_MAX}",
            hint="send smaller batches",
            details={"max_parts": PARTS_MAX},
        )


def part_count(body: bytes, *, is_json: bool) -> int:
    """An estimate without parsing, 1 to 3 ms a MB. JSON: objects, arrays and commas.

    Protobuf: places where what may be a tag of wire type 2, which has a length, is followed by a length of at
    most 8.
    """
    return json_part_count(body) if is_json else _short_field_count(body)


def _short_field_count(body: bytes) -> int:
    content = np.frombuffer(body, dtype=np.uint8)
    count = 0
    for start in range(0, len(content) - 1, _WINDOW_BYTES):  # a mask of the whole would double the body
        window = content[start : start + _WINDOW_BYTES + 1]
        count += int(np.count_nonzero(((window[:-1] & 7) == 2) & (window[1:] <= _SHORT_BYTES)))
    return count
