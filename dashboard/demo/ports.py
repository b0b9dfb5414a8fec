"""Ports for the demo's parts: the documented default where it is free, any free port where it is not."""

from __future__ import annotations

import socket
from collections.abc import Iterable

HOST = "127.0.0.1"


def is_free(port: int, host: str = HOST) -> bool:
    """Whether a listener could bind `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do, so that a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str = HOST) -> int:
    """A port that is free now, picked by the operating system."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def choose(defaults: Iterable[int], host: str = HOST) -> list[int]:
    """For each default that port, or another free one; all distinct."""
    chosen: list[int] = []
    for default in defaults:
        port = default if is_free(default, host) else free_port(host)
        while port in chosen:
            port = free_port(host)
        chosen.append(port)
    return chosen
