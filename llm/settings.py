"""Settings of the explainer: `SPYHOP_LLM_…`."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from collector.setting_fields import constant
from collector.settings import ModelPrices


class Settings(ModelPrices):
    """Without a base URL and a model, explanations are deterministic and nothing leaves the process."""

    llm_base_url: str | None = Field(
        default=None,
        description="OpenAI-compatible endpoint, e.g. http://127.0.0.1:11434/v1. Unset: no model is asked.",
    )
    llm_model: str | None = Field(
        default=None, description="Model name at that endpoint. Unset: no model is asked."
    )
    llm_api_key: SecretStr | None = Field(
        default=None, description="Key for that endpoint; local ones need none. OPENAI_API_KEY is never used."
    )
    llm_auto_severity: int = Field(
        default=3,
        ge=0,
        le=5,
        description="Incidents of SEV1 to this one are explained as they open and grow; 0: when asked for.",
    )
    llm_deadline_s: float = Field(
        default=45.0,
        gt=0,
        description="Total time for a model's answer, retries included; then the text of code stands.",
    )
    llm_request_timeout_s: float = constant(30.0, gt=0, description="Time for one attempt at the endpoint.")
    llm_context_tokens: int = Field(
        default=6000,
        ge=500,
        description="Budget for the data in the prompt, estimated at four characters a token.",
    )
    llm_max_output_tokens: int = Field(
        default=4000, ge=100, description="Always sent: some endpoints cut answers short silently otherwise."
    )
    llm_max_answer_bytes: int = constant(
        1_000_000,  # 4,000 tokens are about 16 kB; models that send their reasoning along, 100 kB
        ge=10_000,
        description="Bytes read of one answer of the endpoint; a longer one is not used.",
    )
    llm_max_concurrent: int = constant(
        default=2, ge=1, description="Model requests at the same time; others wait within their deadline."
    )

    llm_allowed_hosts: str = Field(
        default="",
        description="Hosts that SPYHOP_LLM_BASE_URL may name, with commas; any without.",
    )
    llm_max_calls_per_hour: int = Field(
        default=600, ge=0, description="Model requests in an hour; beyond, the text of code stands."
    )
    llm_max_tokens_per_hour: int = Field(
        default=5_000_000, ge=0, description="Tokens of prompts and answers in an hour."
    )
    llm_max_cost_per_hour: float | None = Field(
        default=None, ge=0, description="Cost in an hour, by SPYHOP_GENAI_PRICES; no limit without."
    )

    @field_validator("llm_allowed_hosts")
    @classmethod
    def _allowed_host(cls, value: str, info: ValidationInfo) -> str:
        hosts = {host.strip().lower() for host in value.split(",")} - {""}
        host = urlsplit(info.data.get("llm_base_url") or "").hostname
        if host and hosts and host not in hosts:
            raise ValueError(f"SPYHOP_LLM_BASE_URL names {host!r}, which is not among them")
        return value

    @field_validator("llm_max_cost_per_hour")
    @classmethod
    def _has_a_price(cls, value: float | None, info: ValidationInfo) -> float | None:
        model, prices = info.data.get("llm_model"), info.data.get("genai_prices", {})
        if value is not None and model and not any(model.startswith(start) for start in prices):
            raise ValueError(
                f"SPYHOP_GENAI_PRICES has no price of {model!r}, without which no cost is known: add"
                f' {{"{model}": [INPUT, OUTPUT]}}, of a million tokens'
            )
        return value

    @property
    def model_configured(self) -> bool:
        return bool(self.llm_base_url and self.llm_model)
