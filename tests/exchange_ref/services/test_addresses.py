from __future__ import annotations

import pytest

from exchange_ref.load.traders import USERS
from exchange_ref.services.addresses import address_of, is_address


def test_every_user_has_an_address_of_their_own() -> None:
    """Addresses differ, start with kx1 and pass their own checksum."""
    addresses = {address_of(user) for user in USERS}
    assert len(addresses) == len(USERS)
    assert all(address.startswith("kx1") and is_address(address) for address in addresses)


@pytest.mark.parametrize("place", range(3, 41))
def test_a_wrong_character_is_noticed(place: int) -> None:
    """Whatever character is mistyped, the checksum does not fit."""
    right = address_of("trader-01")
    wrong = right[:place] + ("q" if right[place] != "q" else "p") + right[place + 1 :]
    assert not is_address(wrong)


@pytest.mark.parametrize("text", ["", "kx1", "bc1qqqq", address_of("a")[:-1], address_of("a").upper()])
def test_what_is_no_address(text: str) -> None:
    """Other prefixes, lengths and characters are no addresses."""
    assert not is_address(text)
