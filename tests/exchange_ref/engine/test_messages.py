from __future__ import annotations

import pytest

from exchange_ref.engine.instruments import MAX_UNITS
from exchange_ref.engine.messages import (
    Failure,
    decode_command,
    decode_reply,
    encode_command,
    encode_failure,
    encode_result,
)
from exchange_ref.engine.orders import BalanceChange, Deposit, Fill, OrderChange, Result, Side, Status


def test_commands_survive_the_wire(new_order) -> None:
    """An order and a deposit are equal after encoding and decoding."""
    order = new_order(Side.SELL, 4_200_000, 12)
    assert decode_command(encode_command(order)) == order
    assert decode_command(encode_command(Deposit("ann", "USD", 5))) == Deposit("ann", "USD", 5)


def test_replies_survive_the_wire() -> None:
    """A full result and a failure are equal after encoding and decoding."""
    result = Result(
        "1",
        Status.PARTIALLY_FILLED,
        5,
        70,
        (Fill("2", "1", 14, 5),),
        (BalanceChange("ann", "USD", 1, 2, MAX_UNITS),),
        "why",
        True,
        orders=(OrderChange("2", Status.FILLED, 5),),
    )
    assert decode_reply(encode_result(result)) == result
    assert decode_reply(encode_failure(Failure("internal", "no"))) == Failure("internal", "no")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"op":"submit"}', b'{"op":"submit","command":{"side":"UP"}}']
)
def test_what_is_no_command_is_refused(body: bytes) -> None:
    """Anything else is a ValueError, whatever is wrong with it."""
    with pytest.raises(ValueError, match=r"."):
        decode_command(body)
