"""Settings of the dashboard process."""

from __future__ import annotations

import getpass

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from collector.setting_fields import SpyhopSettings, constant


def _account_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container user without a passwd entry
        return "dashboard"


class Settings(SpyhopSettings):
    """Read from `SPYHOP_…` environment variables."""

    dashboard_api_url: str = Field(
        default="http://127.0.0.1:4320", description="Spyhop server the dashboard reads"
    )
    dashboard_host: str = Field(default="127.0.0.1", description="Address the dashboard listens on")
    dashboard_allowed_hosts: list[str] = Field(
        default_factory=list,
        description="Host names, as a JSON list, the dashboard answers to besides local ones and its own",
    )
    dashboard_port: int = Field(
        default=8501, ge=0, le=65535, description="Port of the dashboard; 0 picks a free one"
    )
    dashboard_refresh_s: float = constant(default=2.0, ge=0.5, description="Seconds between live refreshes")
    dashboard_rater: str = Field(
        default_factory=_account_name,
        description="Name under which feedback is stored unless the page says other",
    )
    dashboard_window_min: int = constant(
        default=15, ge=1, le=1440, description="Minutes of the time range with which pages open"
    )
    dashboard_analyze_timeout_s: float = constant(
        60.0, gt=0, description="Longest wait for an explanation; a language model may be slow"
    )


class ExchangeAddress(BaseSettings):
    """Where the reference exchange is: variables that the exchange itself reads, so that both agree."""

    model_config = SettingsConfigDict(env_prefix="SPYHOP_", extra="ignore")

    exchange_gateway: str = "127.0.0.1:8000"
    exchange_admin_token: str = ""

    @property
    def url(self) -> str:
        """Empty where it cannot be known."""
        return "" if self.exchange_gateway.endswith(":0") else f"http://{self.exchange_gateway}"
