from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from detectors.logs.templates import Level, TemplateMiner, level_of


def test_values_do_not_make_templates():
    """Numbers, ids, and words in one place of an otherwise equal message are values."""
    miner = TemplateMiner()
    lines = [
        "order 3f2504e0-4f89-11d3-9a0c-0305e82c3301 of customer ann accepted after 12 ms",
        "order 7d444840-9dc0-11d1-b245-5ffdce74fad2 of customer bob accepted after 7 ms",
        "order 00000000-0000-0000-0000-000000000000 of customer eve accepted after 1900 ms",
    ]
    assert {miner.code("shop", line) for line in lines} == {0}
    assert miner.text(0) == "order * of customer * accepted after * ms"


def test_other_messages_levels_and_services_are_other_templates():
    """Text, level and service separate templates."""
    miner = TemplateMiner()
    codes = [
        miner.code("shop", "INFO reserved one item"),
        miner.code("shop", "ERROR reserved one item"),
        miner.code("stock", "INFO reserved one item"),
        miner.code("shop", "INFO nothing is left there"),
    ]
    assert len(set(codes)) == 4
    assert [miner.level(code) for code in codes] == [Level.PLAIN, Level.ERROR, Level.PLAIN, Level.PLAIN]


def test_lists_of_any_length_are_one_template():
    """Only the beginning of a line counts, and only its first line."""
    miner = TemplateMiner()
    short, long = (f"got tickets {' '.join(['seat'] * n)}" for n in (20, 200))
    assert miner.code("shop", short) == miner.code("shop", long + "\nat Seat.java:17")


def test_severity_number_outranks_words():
    """OpenTelemetry's severity decides where there is one."""
    assert level_of("ERROR in the name only", 9) == Level.PLAIN
    assert level_of("quiet", 17) == Level.ERROR


@given(st.lists(st.text(max_size=60), max_size=20))
def test_any_text_has_a_template(bodies):
    """No message raises, and the same message always has the same template."""
    miner = TemplateMiner()
    first = [miner.code("s", body) for body in bodies]
    assert [miner.code("s", body) for body in bodies] == first
    assert all(0 <= code < len(miner) for code in first)
