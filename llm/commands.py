"""`spyhop explain`, an explanation on the terminal, and `spyhop mcp`, tools for agents."""

from __future__ import annotations

import re
from typing import Annotated

import typer

_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")
_PATH = "/api/monitor/analyze"
_MODEL_MARGIN_S = 15.0  # beyond the server's own deadline for the model, so that its notice arrives


def register(app: typer.Typer) -> None:
    app.command("explain")(explain)
    app.command("mcp")(serve_agents)


def explain(
    subject_id: Annotated[str, typer.Argument(metavar="ID", help="An anomaly, incident or trace.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the explanation as JSON.")] = False,
    refresh: Annotated[bool, typer.Option(help="Explain anew instead of showing what was said.")] = False,
    api: Annotated[str, typer.Option(help="Address of the server.")] = "http://127.0.0.1:4320",
) -> None:
    """Explain an anomaly, an incident or a trace, with the evidence for every claim."""
    import json

    from collector.client import Client
    from collector.errors import NotFound
    from llm.settings import Settings
    from llm.show import show

    with Client(api, timeout_s=Settings().llm_deadline_s + _MODEL_MARGIN_S) as client:
        for kind in _kinds(subject_id):
            try:
                explanation = client.post(_PATH, {kind: subject_id, "refresh": refresh})
            except NotFound:
                continue
            break
        else:
            raise NotFound(
                f"no anomaly, incident or trace {subject_id!r} is stored",
                hint='`spyhop sql "FROM anomalies"` lists what there is',
            )
    if as_json:
        print(json.dumps(explanation, ensure_ascii=False, indent=2))
    else:
        show(explanation)


def _kinds(subject_id: str) -> list[str]:
    """Where to look, the likeliest first: a trace id has a form of its own."""
    kinds = ["anomaly_id", "incident_id"]
    return ["trace_id", *kinds] if _TRACE_ID.fullmatch(subject_id) else kinds


def serve_agents(
    api: Annotated[str, typer.Option(help="Address of the server.")] = "http://127.0.0.1:4320",
    http: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Streamable HTTP at http://HOST:PORT/mcp; standard input and output without.",
        ),
    ] = None,
    max_tokens: Annotated[
        int,
        typer.Option(
            min=500, max=100_000, help="Bound of one answer, estimated at three characters a token."
        ),
    ] = 4_000,
) -> None:
    """Serve the Model Context Protocol: read-only tools for agents, each answer small and paged."""
    import sys

    from llm.agents.server import build_server
    from llm.agents.tools import Tools

    server = build_server(Tools(api, max_tokens=max_tokens))
    if http is None:
        server.run("stdio")
        return
    host, port = _host_and_port(http)
    print(f"MCP at http://{http}/mcp; stop with Ctrl-C", file=sys.stderr)
    server.run("streamable-http", host=host, port=port, stateless_http=True, json_response=True)


def _host_and_port(address: str) -> tuple[str, int]:
    from collector.errors import InvalidInput

    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise InvalidInput(f"--http {address}", hint="write HOST:PORT, e.g. 127.0.0.1:4321")
    return host.strip("[]"), int(port)
