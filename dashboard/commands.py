"""`spyhop dashboard`."""

from __future__ import annotations

from typing import Annotated

import typer

_EXAMPLES = {"--api": "http://127.0.0.1:4320", "--exchange": "http://127.0.0.1:8000"}


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def dashboard(
        api: Annotated[
            str | None, typer.Option(help="Spyhop server to read, e.g. http://127.0.0.1:4320.")
        ] = None,
        exchange: Annotated[
            str | None, typer.Option(help="Gateway of a reference exchange, for the page Exchange.")
        ] = None,
        host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
        port: Annotated[
            int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")
        ] = None,
    ) -> None:
        """Serve the dashboard: what goes on, incidents, traces, logs, metrics and SQL in the browser."""
        from dashboard.serve import run
        from dashboard.settings import Settings

        settings = Settings()
        run(
            api_url=checked_url(api or settings.dashboard_api_url),
            exchange=checked_url(exchange, "--exchange").partition("//")[2] if exchange else None,
            host=host or settings.dashboard_host,
            port=settings.dashboard_port if port is None else port,
            allowed_hosts=settings.dashboard_allowed_hosts,
        )


def checked_url(url: str, option: str = "--api") -> str:
    """`url` without a trailing slash.

    Raises:
        InvalidInput: not an http or https address.
    """
    from urllib.parse import urlsplit

    from collector.errors import InvalidInput

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(
            f"{option} {url!r} is not an address", hint=f"give one such as {_EXAMPLES[option]}"
        )
    return url.rstrip("/")
