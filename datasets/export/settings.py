"""Settings of exports: `SPYHOP_EXPORT_…`."""

from __future__ import annotations

from pydantic import Field

from collector.setting_fields import SpyhopSettings


class Settings(SpyhopSettings):
    """How training rows are split and bounded."""

    export_seed: int = Field(default=0, description="Another seed, another split; the same seed, the same.")
    export_validation_share: float = Field(
        default=0.1, ge=0, le=0.5, description="Share of the incidents whose rows go to validation."
    )
    export_test_share: float = Field(
        default=0.1, ge=0, le=0.4, description="Share of the incidents whose rows go to the test split."
    )
    export_max_row_tokens: int = Field(
        default=16_000, ge=100, description="Longer rows are refused: a trainer would cut them silently."
    )
