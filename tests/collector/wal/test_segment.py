from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from collector.wal.segment import DamagedRecord, Record, encode_record, read_records, whole_size_bytes

payloads = st.lists(st.tuples(st.integers(1, 3), st.binary(max_size=40)), min_size=1, max_size=6)


def encoded(records: list[tuple[int, bytes]]) -> bytes:
    return b"".join(b"".join(encode_record(signal, payload)) for signal, payload in records)


@given(payloads)
def test_round_trip(records: list[tuple[int, bytes]]) -> None:
    """Records come back as they were written, end to end."""
    found = list(read_records(encoded(records), 7))
    assert [(record.signal, record.payload) for record in found if isinstance(record, Record)] == records
    assert all(a.end == b.position for a, b in pairwise(found))
    assert found[-1].end == (7, len(encoded(records)))


@given(payloads, st.data())
def test_flipped_bit_costs_one_record(records: list[tuple[int, bytes]], data: st.DataObject) -> None:
    """Any flipped bit damages the record it lies in and no other, and no byte goes unreported."""
    content = bytearray(encoded(records))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    found = list(read_records(bytes(content), 1))
    whole = [(record.signal, record.payload) for record in found if isinstance(record, Record)]
    damaged = [record for record in found if isinstance(record, DamagedRecord)]
    assert len(whole) == len(records) - 1
    assert [record for record in records if record in whole] or not whole
    assert len(damaged) == 1
    assert damaged[0].position.offset_bytes <= place < damaged[0].end.offset_bytes


@given(payloads, st.data())
def test_torn_tail(records: list[tuple[int, bytes]], data: st.DataObject) -> None:
    """Cut anywhere, a segment is whole up to the last record that is complete."""
    content = encoded(records)
    cut = data.draw(st.integers(0, len(content)))
    whole = whole_size_bytes(content[:cut])
    assert whole <= cut
    ends = [record.end.offset_bytes for record in read_records(content, 0)]
    assert whole == max([end for end in ends if end <= cut], default=0)
