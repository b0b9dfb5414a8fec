"""Chooses the broker for an address."""

from __future__ import annotations

from urllib.parse import urlsplit

from exchange_ref.broker.memory import MemoryBroker
from exchange_ref.broker.message import Broker
from exchange_ref.errors import InvalidUse


def open_broker(address: str) -> Broker:
    """The broker named by `address`, not yet connected.

    Raises:
        InvalidUse: a kind of broker that is not there, or an address without a host.
    """
    if address == "memory":
        return MemoryBroker()
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("amqp", "amqps") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        # The address may hold a password, so it is not repeated.
        raise InvalidUse("the broker is not known; use --broker memory or amqp://USER:PASSWORD@HOST:PORT/")
    from exchange_ref.broker.rabbit import RabbitBroker  # noqa: PLC0415 - 120 ms that the default does not pay

    return RabbitBroker(address)
