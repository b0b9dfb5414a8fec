"""The two kinds of fields of a settings class: settings of a user, and constants that only code changes."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

_CONSTANT: JsonDict = {"constant": True}


def constant(default: Any, description: str, **limits: Any) -> Any:
    """A figure that was measured and that no user has to turn: tests and benchmarks give another in code.

    It is no environment variable and stands in no list of settings.
    """
    return Field(default, description=description, json_schema_extra=_CONSTANT, **limits)


def is_constant(field: FieldInfo) -> bool:
    return field.json_schema_extra == _CONSTANT


class SpyhopSettings(BaseSettings):
    """Fields come from `SPYHOP_…` environment variables; constants only from code."""

    model_config = SettingsConfigDict(env_prefix="SPYHOP_", extra="ignore", populate_by_name=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Environment(settings_cls)


class _Environment(EnvSettingsSource):
    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields
        constants = {name for name, field in fields.items() if is_constant(field)}
        return {name: value for name, value in super().__call__().items() if name not in constants}
