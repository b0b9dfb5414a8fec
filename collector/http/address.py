"""Parses `host:port` of options and settings."""

from __future__ import annotations

import socket
from typing import NamedTuple

from collector.errors import InvalidInput, PortInUse


class Address(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL for a program on this machine."""
        reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  # compared, not bound
        return f"http://{Address(reachable, self.port)}"


def parse_address(text: str) -> Address:
    """`127.0.0.1:4317`, `localhost:0` or `[::1]:4317`.

    Raises:
        InvalidInput: not of that form.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise InvalidInput(f"{text!r} is not an address", hint="write HOST:PORT, e.g. 127.0.0.1:4317")
    return Address(host, int(port))


def listen(address: Address, what: str, option: str) -> socket.socket:
    """A bound TCP socket; port 0 becomes a free one.

    Raises:
        PortInUse: the address is taken or not of this machine.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart must not wait for old connections
    try:
        sock.bind(tuple(address))
        sock.listen(512)
    except OSError as error:
        sock.close()
        raise PortInUse(
            f"{what} cannot listen on {address} ({error.strerror or error})",
            hint=f"stop the process that has it, or choose another with {option} H:P (port 0: a free one)",
        ) from error
    return sock
