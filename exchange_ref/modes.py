"""Which options of `spyhop exchange` apply to what it is asked to do; one that does not is an error."""

from __future__ import annotations

from collections.abc import Collection

import typer

from exchange_ref.errors import InvalidUse

OF_SCENARIOS = ("out", "split", "parallel")
OF_HISTORIES = ("orders_per_hour",)
# A scenario set plans its own load, faults and folders; only its seed is free.
WITH_SCENARIO = ("scenario", *OF_SCENARIOS, "seed", "as_json")
NOT_WITH_HISTORY = ("rhythm", "bursts")  # it has a rhythm of its own


def given_options(context: typer.Context | None) -> set[str]:
    """The parameters that stand on the command line; none without a command."""
    if context is None:
        return set()
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def check_options(given: Collection[str]) -> None:
    """Refuse options that what is asked for would drop in silence.

    Raises:
        InvalidUse: with the options, and what they do not apply to.
    """
    if "scenario" in given:
        what, dropped = "--scenario", set(given) - set(WITH_SCENARIO)
    elif "history" in given:
        what, dropped = "--history", set(given) & {*NOT_WITH_HISTORY, *OF_SCENARIOS}
    else:
        what, dropped = "a run without --scenario or --history", set(given) & {*OF_SCENARIOS, *OF_HISTORIES}
    if dropped:
        names = ", ".join(sorted(f"--{name.strip('_').replace('_', '-')}" for name in dropped))
        raise InvalidUse(f"{names}: not an option of {what}; leave it out")
