"""Spyhop's command line: composes the packages' commands."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True)


def main() -> None:
    app()
