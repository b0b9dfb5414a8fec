"""The exchange's settings: environment variables `SPYHOP_…`, each also an option of `spyhop exchange`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from exchange_ref.host_port import parse_host_port


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SPYHOP_", extra="ignore")

    exchange_otlp: str = Field(
        default="http://127.0.0.1:4317", description="OTLP/gRPC endpoint that spans are sent to."
    )
    exchange_rate: float = Field(default=50.0, gt=0, le=5_000, description="Mean orders per second.")
    exchange_broker: str = Field(
        default="memory",
        description="Message broker between API and matcher: memory, or amqp://USER:PASSWORD@HOST:PORT/.",
    )
    exchange_broker_command: str = Field(
        default="",
        description="Command that stops and starts the broker's server for a broker_outage, called with "
        "stop and start (service rabbitmq-server); without one, the connection is cut instead.",
    )
    exchange_gateway: str = Field(
        default="127.0.0.1:8000",
        description="Address of the gateway, also for the dashboard; port 0 picks a free one.",
    )
    exchange_api: str = Field(
        default="127.0.0.1:5000", description="Address of the exchange API; port 0 picks a free one."
    )
    exchange_data: Path = Field(
        default=Path("spyhop-data/exchange"),
        description="Folder for the exchange's database, journal and accepted orders.",
    )
    exchange_admin_token: str = Field(
        default="",
        description="Token for /admin/ at the gateway, which switches faults and load, and for orders of any "
        "trader (x-user-id); also for the dashboard; closed without one.",
    )

    @field_validator("exchange_gateway", "exchange_api")
    @classmethod
    def _is_an_address(cls, text: str) -> str:
        parse_host_port(text)
        return text
