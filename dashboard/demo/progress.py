"""The demo's running figures: one live line on a terminal, events only elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from collector.visible import visible
from dashboard.demo.counts import Counts


class Progress:
    """Prints events as lines and, on a terminal, keeps the newest counts in place below them.

    Args:
        console: where to print; with `--json` that is standard error.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = (
            Live(console=console, refresh_per_second=2, transient=True) if console.is_terminal else None
        )

    def __enter__(self) -> Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def event(self, text: str) -> None:
        self._console.print(visible(text, keep="\n"), highlight=False, markup=False, soft_wrap=True)

    def show(self, elapsed_s: float, counts: Counts) -> None:
        if self._live is not None:
            self._live.update(_table(elapsed_s, counts))


def _table(elapsed_s: float, counts: Counts) -> Table:
    table = Table.grid(padding=(0, 2))
    figures = {
        "elapsed": f"{elapsed_s:.0f} s",
        "orders": f"{counts.orders:,}",
        "spans": f"{counts.spans:,}",
        "anomalies": f"{counts.anomalies:,}",
        "whales": f"{counts.whales:,}",
        "incidents": f"{counts.incidents:,}",
    }
    table.add_row(*(f"[dim]{name}[/dim] [bold]{value}[/bold]" for name, value in figures.items()))
    return table
