"""Runs the dashboard in this process."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from collections.abc import Iterable

from collector.errors import PortInUse, StartupError
from dashboard.theme import STREAMLIT_OPTIONS

# A browser tab holds a websocket open for ever; at SIGTERM it gets this long to close.
GRACE_S = 1
BACKLOG = 128


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        PortInUse: another process listens there.
        StartupError: the address is not one of this machine, or may not be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} on {host} is in use",
                hint="stop the other process, or choose another with --port (0 picks a free one)",
            ) from error
        raise StartupError(
            f"the dashboard cannot listen on {host}:{port} ({error.strerror or error})",
            hint="choose another address with --host and --port",
        ) from error
    return listener


def run(
    api_url: str,
    host: str,
    port: int,
    allowed_hosts: Iterable[str] = (),
    *,
    exchange: str | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, under `host`, the names of this machine and `allowed_hosts`.

    Args:
        exchange: `host:port` of a reference exchange's gateway, instead of what the environment says.

    Raises:
        PortInUse, StartupError: see `bind`.
    """
    listener = bind(host, port)
    bound_port = int(listener.getsockname()[1])
    os.environ["SPYHOP_DASHBOARD_API_URL"] = api_url
    if exchange is not None:
        os.environ["SPYHOP_EXCHANGE_GATEWAY"] = exchange
    # Only now: Streamlit takes a second to import, and a taken port should be reported at once.
    import uvicorn  # noqa: PLC0415 - see above
    from streamlit.web import bootstrap  # noqa: PLC0415 - see above

    bootstrap.load_config_options(
        {**STREAMLIT_OPTIONS, "server.address": host, "server.port": bound_port},
    )
    from dashboard import warm  # noqa: PLC0415 - after the options are set
    from dashboard.asgi import create_app  # noqa: PLC0415 - after the options are set

    warm.start()
    shown = f"[{host}]" if ":" in host else host
    sys.stdout.write(f"dashboard  http://{shown}:{bound_port}  (reads {api_url})\n")
    sys.stdout.flush()
    server = uvicorn.Server(
        uvicorn.Config(
            create_app([host, *allowed_hosts]),
            ws="websockets-sansio",
            log_config=None,  # Streamlit has configured uvicorn's loggers
            access_log=False,
            timeout_graceful_shutdown=GRACE_S,
        )
    )
    # uvicorn repeats the signal after its own clean stop; here that stop is the end, with exit code 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    with listener:
        server.run(sockets=[listener])
    if not server.started:
        raise StartupError("the dashboard did not start", hint="see the lines above")
