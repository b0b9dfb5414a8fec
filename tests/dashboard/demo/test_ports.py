from __future__ import annotations

import socket

from dashboard.demo import ports


def test_a_taken_default_is_replaced_by_a_free_port() -> None:
    """The first port is free and kept, the second is taken and replaced."""
    kept = ports.free_port()
    with socket.socket() as holder:
        holder.bind((ports.HOST, 0))
        holder.listen()
        taken = holder.getsockname()[1]
        chosen = ports.choose([kept, taken])

        assert chosen[0] == kept
        assert chosen[1] != taken
        assert ports.is_free(chosen[1])


def test_chosen_ports_are_distinct() -> None:
    """The same default twice still gives two ports."""
    port = ports.free_port()

    assert len(set(ports.choose([port, port, port]))) == 3
