"""`kx1…` addresses: where a transfer goes. Made from the user id, with a checksum against typing errors."""

from __future__ import annotations

import hashlib

PREFIX = "kx1"
# 32 characters without the ones that people confuse (1, b, i, o).
ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
PAYLOAD_CHARACTERS = 32  # 160 bits
CHECKSUM_CHARACTERS = 6  # one in 2^30 wrong addresses passes


def address_of(user_id: str) -> str:
    """The address of a user, the same at all times.

    >>> address_of("trader-01") == address_of("trader-01") != address_of("trader-02")
    True
    """
    payload = _text(hashlib.sha256(f"kx/{user_id}".encode()).digest(), PAYLOAD_CHARACTERS)
    return PREFIX + payload + _checksum(payload)


def is_address(text: str) -> bool:
    """Whether `text` is an address without a typing error. It need not belong to anybody."""
    payload, checksum = text[len(PREFIX) : -CHECKSUM_CHARACTERS], text[-CHECKSUM_CHARACTERS:]
    return (
        text.startswith(PREFIX)
        and len(payload) == PAYLOAD_CHARACTERS
        and set(payload) <= set(ALPHABET)
        and checksum == _checksum(payload)
    )


def _checksum(payload: str) -> str:
    return _text(hashlib.sha256(payload.encode()).digest(), CHECKSUM_CHARACTERS)


def _text(digest: bytes, characters: int) -> str:
    """The first bits of `digest`, five for each character."""
    number = int.from_bytes(digest, "big")
    shift = len(digest) * 8
    return "".join(ALPHABET[(number >> (shift - 5 * (place + 1))) & 31] for place in range(characters))
