"""Settings of the detectors, each a `SPYHOP_…` environment variable."""

from __future__ import annotations

from pydantic import Field

from collector.setting_fields import SpyhopSettings, constant


class Settings(SpyhopSettings):
    """Thresholds of anomalies and incidents, and the learning of baselines."""

    detect_min_samples: int = constant(
        100,
        ge=20,
        description="Samples from which an operation is ready; below, it is judged with more doubt.",
    )
    detect_min_cell_samples: int = constant(
        500, ge=50, description="Samples an hour cell needs before it replaces the whole operation."
    )
    detect_min_ratio: float = Field(
        1.25, ge=1, description="A slow span must take at least this many times the median."
    )
    detect_min_excess_ms: float = Field(
        5.0, ge=0, description="A slow span must exceed the median by at least this much."
    )
    detect_faster_ratio: float = constant(
        2.0, ge=1.25, description="A suddenly fast operation must be at least this many times faster."
    )
    detect_shift_sev4_ratio: float = constant(
        3.0, ge=1, description="A span in a sustained shift, below this many medians, is SEV4 at most."
    )
    detect_shift_sev3_ratio: float = constant(
        10.0, ge=1, description="A span in a sustained shift, below this many medians, is SEV3 at most."
    )
    detect_lone_per_hour: float = Field(
        1.0,
        gt=0,
        description="A slow span that stands alone is an anomaly when chance gives fewer like it in an hour.",
    )
    detect_sigma_sev5: float = constant(3.0, gt=0, description="Calibrated σ from which an anomaly is SEV5.")
    detect_sigma_sev4: float = constant(4.0, gt=0, description="Calibrated σ from which an anomaly is SEV4.")
    detect_sigma_sev3: float = constant(5.0, gt=0, description="Calibrated σ from which an anomaly is SEV3.")
    detect_sigma_sev2: float = constant(6.0, gt=0, description="Calibrated σ from which an anomaly is SEV2.")
    detect_sigma_sev1: float = constant(7.0, gt=0, description="Calibrated σ from which an anomaly is SEV1.")
    enable_amount_anomaly_detection: bool = Field(
        True,
        validation_alias="ENABLE_AMOUNT_ANOMALY_DETECTION",
        description="Look for whales among amounts of orders and transfers, and among tokens and cost of "
        "language models (this variable has no prefix).",
    )
    detect_amount_min_samples: int = constant(
        30, ge=10, description="Amounts an asset and side need before they are scored."
    )
    detect_amount_min_ratio: float = constant(
        3.0, ge=1, description="A whale must be this many times the amount that 99 of 100 stay below."
    )
    detect_chunk_spans: int = constant(200_000, ge=1_000, description="Most spans judged in one pass.")
    detect_interval_ms: float = constant(
        300.0,
        ge=0,
        description="Least time between two passes, in which landed batches gather; a pass costs 10 ms.",
    )
    detect_learn_interval_s: float = constant(2.0, gt=0, description="Pause between two learning passes.")
    detect_learn_delay_s: float = constant(
        5.0, ge=0, description="Spans are learned from this long after landing, when their trace has settled."
    )
    baseline_adopt_deploy_hours: float = Field(
        2.0,
        ge=1,
        description="A stable new level that began with a deploy and fails no more is normal after so long.",
    )
    baseline_adopt_level_hours: float = Field(
        24.0,
        ge=4,
        le=24,
        description="Any other stable new level is normal after so long, if no incident is open on it.",
    )
    baseline_drift_per_day: float = constant(
        0.05,
        ge=0,
        le=0.5,
        description="Baselines follow slow change by at most this share in a day; 0: never.",
    )
    incident_window_s: float = constant(
        30.0, gt=0, description="Anomalies within this time of each other may be one incident."
    )
    incident_min_traces: int = constant(
        3, ge=1, description="Anomalous traces of one operation that an incident needs."
    )
    incident_min_spread_s: float = constant(
        1.0, ge=0, description="An incident's anomalies start at least this far apart."
    )
    incident_moment_ms: float = constant(
        250.0, gt=0, description="Anomalies that begin within this time may be one stall: they count once."
    )
    incident_amount_severity: int = constant(
        4, ge=1, le=5, description="A whale of this severity or worse is an incident of its own at once."
    )
    incident_significance: float = constant(
        1e-6, gt=0, lt=1, description="Chance that so many anomalies are ordinary; above, no incident."
    )
    incident_resolve_s: float = Field(
        120.0, gt=0, description="An incident without news for this long is resolved."
    )

    def severity_sigmas(self) -> tuple[float, float, float, float, float]:
        """The thresholds in rising order: SEV5 … SEV1."""
        return (
            self.detect_sigma_sev5,
            self.detect_sigma_sev4,
            self.detect_sigma_sev3,
            self.detect_sigma_sev2,
            self.detect_sigma_sev1,
        )
