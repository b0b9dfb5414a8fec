"""`host:port`, as options and settings give it."""

from __future__ import annotations


def parse_host_port(text: str) -> tuple[str, int]:
    """Host and port of `H:P`; port 0 picks a free one.

    Raises:
        ValueError: not such a text.

    >>> parse_host_port("127.0.0.1:8000")
    ('127.0.0.1', 8000)
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("not an address; write host:port, such as 127.0.0.1:8000")
    return host, int(port)
