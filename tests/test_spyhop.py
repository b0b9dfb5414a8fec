"""The command line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import spyhop
from collector.errors import UnknownSetting
from collector.setting_names import REPLACED, check_names, known_names
from collector.settings import Settings

ROOT = Path(spyhop.__file__).parent
KINDS = {".py", ".sql", ".md"}


def test_all_commands_are_there() -> None:
    """`spyhop --help` lists the commands of all packages."""
    shown = CliRunner().invoke(spyhop.app, ["--help"]).output

    for command in ("demo", "serve", "exchange", "dashboard", "sql", "explain", "export", "settings"):
        assert f" {command} " in shown


def test_settings_lists_every_setting() -> None:
    """Each environment variable that is read is listed with its default."""
    shown = CliRunner(env={"COLUMNS": "300"}).invoke(spyhop.app, ["settings"]).output

    assert [name for name in known_names(spyhop.SETTINGS.values()) if name not in shown] == []


def test_a_constant_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Constants are refused in the environment, are not listed, and are read from code alone."""
    with pytest.raises(
        UnknownSetting, match=r"SPYHOP_SPOOL_SEGMENT_BYTES is not a setting: Spyhop always uses \d+"
    ):
        check_names(["SPYHOP_SPOOL_SEGMENT_BYTES"], spyhop.SETTINGS.values())
    monkeypatch.setenv("SPYHOP_SPOOL_SEGMENT_BYTES", "1000000")
    assert Settings().spool_segment_bytes == Settings.model_fields["spool_segment_bytes"].default
    assert Settings(spool_segment_bytes=1_000_000).spool_segment_bytes == 1_000_000


def test_the_command_line_is_light() -> None:
    """No command pays for the database, or for frames, that it does not use."""
    heavy = ("duckdb", "fastapi", "grpc", "numpy", "polars", "pyarrow", "scipy", "streamlit")
    code = f"import sys, spyhop; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_settings_stand_in_groups() -> None:
    """Each group has a heading, and they are few enough to read."""
    shown = CliRunner(env={"COLUMNS": "300"}).invoke(spyhop.app, ["settings"]).output
    headings = {line.strip() for line in shown.splitlines()}
    assert set(spyhop.SETTINGS) <= headings
    assert len(known_names(spyhop.SETTINGS.values())) <= 62


def test_a_misspelt_setting_is_refused_with_the_nearest_name() -> None:
    """The error names both."""
    with pytest.raises(UnknownSetting, match=r"SPYHOP_SPOOL_MAX_BITES.*SPYHOP_SPOOL_MAX_BYTES"):
        check_names(["PATH", "SPYHOP_SPOOL_MAX_BITES"], spyhop.SETTINGS.values())


def test_every_setting_that_is_named_exists() -> None:
    """Messages, comments and pages name no variable that a start refuses."""
    known = known_names(spyhop.SETTINGS.values())
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "spyhop.py"]
    packages = ("collector", "detectors", "llm", "datasets", "dashboard", "exchange_ref")
    sources = [path for package in packages for path in (ROOT / package).rglob("*") if path.suffix in KINDS]
    named = {
        (path.name, name)
        for path in [*pages, *sources]
        if path.name not in {"CHANGELOG.md", "setting_names.py"}
        for name in re.findall(r"\bSPYHOP_[A-Z_]*[A-Z]\b(?!_)", path.read_text())
    }
    assert named
    assert {(page, name) for page, name in named if name not in known} == set()


@pytest.mark.parametrize("name", sorted(REPLACED))
def test_a_setting_that_went_says_what_to_do_instead(name: str) -> None:
    """The error names it and its successor."""
    with pytest.raises(UnknownSetting, match=f"{name} is not a setting any more") as failure:
        check_names([name], spyhop.SETTINGS.values())
    assert REPLACED[name] in str(failure.value)


def test_a_setting_unlike_any_other_is_refused_with_the_way_to_the_list() -> None:
    """Where nothing is near, the list is."""
    with pytest.raises(UnknownSetting, match="spyhop settings"):
        check_names(["SPYHOP_QQQQQQQQQQQQ"], spyhop.SETTINGS.values())


def test_known_settings_and_other_programs_variables_pass() -> None:
    """Only our prefix is looked at."""
    check_names(["PATH", "SPYHOP", "OTEL_X", "SPYHOP_DATA"], spyhop.SETTINGS.values())


def test_an_unknown_command_is_wrong_use() -> None:
    """Exit code 2, as for every wrong use."""
    assert CliRunner().invoke(spyhop.app, ["sevre"]).exit_code == 2
