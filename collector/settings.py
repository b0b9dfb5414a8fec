"""Settings of the collector, from SPYHOP_… environment variables and command-line options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from collector.setting_fields import SpyhopSettings, constant

MIB = 1024 * 1024


Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ModelPrices(SpyhopSettings):
    """The price list of language models: of those that are observed, and of the one that explains."""

    genai_prices: dict[str, tuple[Price, Price]] = Field(
        default_factory=dict,
        description="Prices of a million input and output tokens by how a model's name begins, as JSON: "
        '{"gpt-4o": [2.5, 10]}.',
    )

    def price_of(self, model: str) -> tuple[float, float] | None:
        """Of a million input and output tokens, by the longest beginning that fits; None: not in the list."""
        fitting = [start for start in self.genai_prices if model.startswith(start)]
        return self.genai_prices[max(fitting, key=len)] if fitting else None


class Settings(ModelPrices):
    data: Path = Field(
        default=Path("spyhop-data"), description="The data folder: database, spool, quarantine."
    )
    lake: Path | None = Field(
        default=None,
        description="Folder of the Parquet lake, which several servers may share; empty: in the data folder.",
    )
    new_database: bool = Field(
        default=False,
        description="Begin a new database where the data folder holds a spool or a lake without one.",
    )
    otlp_grpc: str = Field(
        default="127.0.0.1:4317", description="Address of OTLP/gRPC; port 0 picks a free one."
    )
    otlp_http: str = Field(
        default="127.0.0.1:4318", description="Address of OTLP/HTTP; port 0 picks a free one."
    )
    api: str = Field(
        default="127.0.0.1:4320", description="Address of the HTTP API; port 0 picks a free one."
    )
    api_allowed_hosts: list[str] = Field(
        default_factory=list,
        description="Host names, as a JSON list, that the API answers to besides the local ones and its own.",
    )
    # The longest SQL text and the longest feedback are 100 kB and 64 kB.
    api_max_body_bytes: int = constant(
        MIB, ge=1024, description="Largest request body of the HTTP API, in bytes."
    )
    api_timeout_s: float = constant(
        15.0,
        gt=0,
        description="Seconds in which a client of the HTTP API must send its headers, and each piece of its "
        "body.",
    )
    otlp_max_body_bytes: int = Field(
        default=64 * MIB, ge=1024, description="Largest OTLP request after decompression, in bytes."
    )
    otlp_max_value_bytes: int = Field(
        default=MIB,
        ge=64 * 1024,
        description="Longest attribute value, log body or other text, in bytes; what is longer is cut there.",
    )
    otlp_max_name_chars: int = constant(
        4096,
        ge=1,
        description="Longest span or metric name, in characters, where it is cut: names are keys of lists.",
    )
    otlp_max_age_days: float = Field(
        default=3650.0,
        ge=0,
        description="Oldest span, log record or data point that is taken, in days before now; 0: any.",
    )
    otlp_max_ahead_s: float = Field(
        default=3600.0,
        ge=0,
        description="Latest span, log record or data point that is taken, in seconds after now; 0: any.",
    )
    otlp_grpc_threads: int = constant(8, ge=1, description="Threads that take OTLP/gRPC requests.")
    otlp_tls_cert: Path | None = Field(
        default=None, description="PEM file with the certificate chain of both OTLP receivers; empty: no TLS."
    )
    otlp_tls_key: Path | None = Field(
        default=None, description="PEM file with that certificate's key, unencrypted."
    )
    otlp_tls_client_ca: Path | None = Field(
        default=None,
        description="PEM file with the authority that signs client certificates; set: clients must show one.",
    )
    otlp_token: SecretStr = Field(
        default=SecretStr(""), description="Bearer token that OTLP senders must present; empty: none."
    )
    otlp_http_cors_origins: list[str] = Field(
        default_factory=list,
        description='Web origins, as a JSON list, whose pages may send OTLP/HTTP, e.g. ["https://shop.example"].',
    )
    otlp_http_timeout_s: float = constant(
        default=15.0,
        gt=0,
        description="Seconds in which an OTLP/HTTP client must send its headers, and each piece of its body. "
        "A gRPC message has four times as long.",
    )
    spool_max_bytes: int = Field(
        default=1024 * MIB,
        ge=MIB,
        description="Spool size beyond which senders are asked to retry, in bytes.",
    )
    disk_reserve_bytes: int = Field(
        default=256 * MIB,
        ge=0,
        description="Free disk space below which senders are asked to retry, so that landing can finish.",
    )
    spool_segment_bytes: int = constant(
        32 * MIB, ge=64 * 1024, description="Size at which a spool segment is closed, in bytes."
    )
    land_interval_ms: int = constant(
        200,
        ge=1,
        description="Least time between two landings, in which small requests gather, in milliseconds.",
    )
    # At 16,000 spans/s a span takes 47 µs of CPU in tables, and 56 in files of a second each, joined later;
    # sealing not counted. With more a second the files win (BENCHMARKS.md).
    land_hot_bytes: int = constant(
        2 * MIB,
        ge=0,
        description="Payload bytes of a landing from which on spans or logs go to hot files; 0: never.",
    )
    land_max_bytes: int = constant(
        128 * MIB,
        ge=1024,
        description="Payload bytes that land in one transaction, about, while landing is behind.",
    )
    seal_after_min: float = Field(
        default=120.0,
        ge=0,
        description="Minutes after the end of an hour at which its rows move to Parquet; 0: never.",
    )
    seal_settle_min: float = constant(
        10.0, ge=0, description="Minutes for which landed rows stay in the database at least."
    )
    seal_interval_s: float = constant(
        60.0, gt=0, description="Seconds between two looks for hours to seal or to expire."
    )
    retention_hours: float = Field(
        default=0.0, ge=0, description="Age at which spans, logs and metrics are deleted; 0: never."
    )
    retention_max_bytes: int = Field(
        default=0,
        ge=0,
        description="Bytes of the database's rows and this server's Parquet files together beyond which the "
        "oldest files go, which keep half of it in any case; 0: unlimited. The spool, DuckDB's log (64 MiB) "
        "and, for two minutes, replaced files come on top.",
    )
    metrics_operations: int = constant(
        500,
        ge=0,
        le=10_000,
        description="Operations for which /metrics has rate, errors and duration; 0: own figures only.",
    )
    sql_max_rows: int = constant(
        default=10_000, ge=1, description="Rows that /api/sql returns as JSON or CSV when no limit is given."
    )
    sql_limit_rows: int = Field(
        default=1_000_000, ge=1, description="Most rows that /api/sql returns, whatever the limit."
    )
    sql_limit_bytes: int = Field(
        default=128 * MIB, ge=1024, description="Bytes of a result, as Arrow, beyond which /api/sql cuts it."
    )
    sql_memory_bytes: int = Field(
        default=768 * MIB,
        ge=0,
        description="Bytes by which the server may grow while queries run before it stops them; 0: no limit.",
    )
    sql_check_s: float = constant(
        3.0, gt=0, description="Seconds in which a query must be parsed, bound and rehearsed."
    )
    sql_places: int = constant(4, ge=1, le=6, description="Queries of /api/sql that run at once.")
    sql_timeout_s: float = Field(
        default=30.0, gt=0, description="Seconds after which /api/sql stops a query."
    )
    # With 10 M spans 1 GB is as fast as none (queries 19 / 9 / 39 ms), and sealing takes 1.3 GB instead of
    # 2.6. With 30 M it was too little: a checkpoint found no room at 21.8 M unsealed rows.
    duckdb_memory_limit: str = Field(
        default="",
        description="DuckDB's memory limit, e.g. 2GB; empty for 80% of the machine. Larger queries spill to "
        "disk. With less of it old hours become more and smaller Parquet files, at 6,000 bytes a row. Give "
        "1 GB for each 10 M rows that are not sealed: a checkpoint that finds no room ends the server. At "
        "least 128MB.",
    )
    drain_timeout_s: float = constant(
        3.0, gt=0, description="Seconds in which a stop lands what was accepted."
    )
