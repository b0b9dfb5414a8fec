"""The text that the demo prints at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dashboard.demo.counts import Counts
from dashboard.demo.judge import Verdict


@dataclass(frozen=True)
class Report:
    """Totals and verdicts of one run."""

    counts: Counts
    verdicts: Sequence[Verdict]
    data_dir: Path

    @property
    def every_fault_detected(self) -> bool:
        return all(verdict.detected for verdict in self.verdicts)

    def as_dict(self) -> dict[str, object]:
        return {
            **asdict(self.counts),
            "faults": [verdict.public() for verdict in self.verdicts],
            "data_dir": str(self.data_dir),
        }

    def lines(self) -> list[str]:
        """The same for people."""
        counts = self.counts
        return [
            f"{counts.orders:,} orders, {counts.traces:,} traces, {counts.spans:,} spans; "
            f"{counts.anomalies:,} anomalies (whales: {counts.whales:,}) in {counts.incidents:,} incidents; "
            f"{counts.explanations:,} explanations",
            *(_line(verdict) for verdict in self.verdicts),
        ]


def _line(verdict: Verdict) -> str:
    if not verdict.detected:
        return f"  {verdict.kind}: NOT detected"
    where = "named first" if verdict.localised else "NOT named first"
    return (
        f"  {verdict.kind}: detected {verdict.detection_delay_s:.1f} s after it began, "
        f"root service {verdict.root_service} {where}"
    )
