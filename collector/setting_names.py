"""Refuses `SPYHOP_…` variables that no setting reads, with the nearest name or what to do instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pydantic_settings import BaseSettings

from collector.errors import UnknownSetting
from collector.setting_fields import is_constant

PREFIX = "SPYHOP_"
# What to do instead of a setting that went. One that became a constant says its value by itself.
REPLACED = {
    "SPYHOP_LLM_INPUT_PRICE": "put the model into SPYHOP_GENAI_PRICES",
    "SPYHOP_LLM_OUTPUT_PRICE": "put the model into SPYHOP_GENAI_PRICES",
    "SPYHOP_EXCHANGE_SEED": "give `spyhop exchange` --seed",
    "SPYHOP_EXCHANGE_TRANSFER_SHARE": "give `spyhop exchange` --transfer-share",
    "SPYHOP_EXCHANGE_CANCEL_SHARE": "give `spyhop exchange` --cancel-share",
}


def variables(model: type[BaseSettings]) -> dict[str, str]:
    """Field name → environment variable, without constants; a field with an alias has that name alone."""
    return {
        name: field.validation_alias if isinstance(field.validation_alias, str) else PREFIX + name.upper()
        for name, field in model.model_fields.items()
        if not is_constant(field)
    }


def known_names(models: Iterable[type[BaseSettings]]) -> set[str]:
    """Every environment variable that one of the settings reads."""
    return {variable for model in models for variable in variables(model).values()}


def check_names(environment: Iterable[str], models: Iterable[type[BaseSettings]]) -> None:
    """Refuse an environment with a `SPYHOP_…` variable that no setting reads.

    Raises:
        UnknownSetting: names the variable and the nearest known one.
    """
    models = list(models)
    known, constants = known_names(models), _constants(models)
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            if name in constants:
                raise UnknownSetting(
                    f"{name} is not a setting: Spyhop always uses {constants[name]!r}",
                    hint=f"unset {name}; `spyhop settings` lists what can be set",
                )
            if name in REPLACED:
                raise UnknownSetting(
                    f"{name} is not a setting any more", hint=f"unset it and {REPLACED[name]}"
                )
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]}?" if near else "unset it, or see `spyhop settings`"
            raise UnknownSetting(f"unknown setting {name}", hint=advice)


def _constants(models: Iterable[type[BaseSettings]]) -> dict[str, object]:
    """Environment variable → value of what is a field for code alone, some of which were settings once."""
    return {
        PREFIX + name.upper(): field.get_default(call_default_factory=True, validated_data={})
        for model in models
        for name, field in model.model_fields.items()
        if is_constant(field)
    }
