"""Bodies within the size limit that would be a hundred times as large once parsed."""

from __future__ import annotations

import numpy as np

from collector.errors import TooLarge

# A message of two bytes on the wire takes 50 to 300 bytes once parsed: 8 MiB of empty spans, 800 bytes under
# zstd, took 1.2 GB. Spans with nine attributes have a part in 20 to 28 bytes: a million is 20 MB
# or more, what OpenTelemetry Collectors accept in one request.
PARTS_MAX = 1_000_000
JSON_PARTS_MAX = 4_000_000  # an attribute is two or three objects there
_SHORT_BYTES = 8
_WINDOW_BYTES = 1024 * 1024


def refuse_too_many_parts(body: bytes, *, is_json: bool = False) -> None:
    """Refuse a body whose parsed form would be many times its size.

    In protobuf the parts are estimated without parsing: places where what may be a tag of wire type 2, which
    has a length, is followed by a length of at most 8. 0.1 µs a kilobyte, and nothing for bodies below 1 MB.

    Raises:
        TooLarge: more than a million of them.
    """
    if is_json:
        parts_max = JSON_PARTS_MAX
        part_count = body.count(b"{") + body.count(b"[") if len(body) > parts_max else 0
    else:
        parts_max = PARTS_MAX
        part_count = _short_field_count(body) if len(body) > parts_max else 0
    if part_count > parts_max:
        raise TooLarge(
            f"the body has {part_count} parts, more than {parts_max}",
            hint="send smaller batches",
            details={"max_parts": parts_max},
        )


def _short_field_count(body: bytes) -> int:
    content = np.frombuffer(body, dtype=np.uint8)
    count = 0
    for start in range(0, len(content) - 1, _WINDOW_BYTES):  # a mask of the whole would double the body
        window = content[start : start + _WINDOW_BYTES + 1]
        count += int(np.count_nonzero(((window[:-1] & 7) == 2) & (window[1:] <= _SHORT_BYTES)))
    return count
