from __future__ import annotations

from detectors.settings import Settings


def test_every_setting_says_what_it_does():
    """No setting is without a description, and severities rise."""
    assert all(field.description for field in Settings.model_fields.values())
    sigmas = Settings().severity_sigmas()
    assert list(sigmas) == sorted(sigmas)


def test_environment_is_read(monkeypatch):
    """Settings come from `SPYHOP_…`, but for the one variable without a prefix."""
    monkeypatch.setenv("SPYHOP_DETECT_MIN_RATIO", "2.5")
    monkeypatch.setenv("ENABLE_AMOUNT_ANOMALY_DETECTION", "0")
    settings = Settings()
    assert settings.detect_min_ratio == 2.5
    assert settings.enable_amount_anomaly_detection is False
