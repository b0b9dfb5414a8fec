"""What holds for the project as a whole."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest

import spyhop
from collector.setting_fields import is_constant
from collector.setting_names import known_names

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["exchange_ref", "collector", "detectors", "llm", "datasets", "dashboard"]


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_are_ours(name: str) -> None:
    """`llm` and `datasets` are other people's distributions too: the ones imported are ours."""
    assert importlib.import_module(name).__file__ == str(ROOT / name / "__init__.py")


def test_every_setting_says_what_it_does() -> None:
    """Each setting has a description, and no two packages share a name unless both inherit the setting."""
    fields = [
        (name, field) for model in spyhop.SETTINGS.values() for name, field in model.model_fields.items()
    ]

    assert [name for name, field in fields if not field.description] == []
    defined = {
        (name, next(base for base in model.__mro__ if name in base.__annotations__))
        for model in spyhop.SETTINGS.values()
        for name, field in model.model_fields.items()
    }
    assert len(defined) == len({name for name, _ in defined})
    turned = {name for name, field in fields if not is_constant(field)}
    assert len(known_names(spyhop.SETTINGS.values())) == len(turned)


def test_every_dependency_says_why() -> None:
    """In pyproject.toml a reason stands beside each runtime dependency."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    lines = [line for line in block[1].splitlines() if line.strip().startswith('"')]

    assert len(lines) == len(tomllib.loads(text)["project"]["dependencies"])
    assert [line for line in lines if "# " not in line] == []


def test_every_package_of_the_tree_is_pinned_exactly() -> None:
    """Each constraint is `name==version`, and each dependency has one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pinned = {re.split(r"==|\s", line)[0] for line in project["tool"]["uv"]["constraint-dependencies"]}
    groups = [
        item for group in project["dependency-groups"].values() for item in group if isinstance(item, str)
    ]
    wanted = {re.split(r"[><=;\s\[]", item)[0] for item in [*project["project"]["dependencies"], *groups]}

    assert all("==" in line for line in project["tool"]["uv"]["constraint-dependencies"])
    assert wanted <= pinned


def test_readme_has_exactly_the_two_commands_of_the_setup() -> None:
    """All set-up is two commands, and the picture is there."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    start = readme.split("## Start")[1].split("\n## ")[0]

    assert re.findall(r"^```\n(.*?)\n```", start, re.DOTALL | re.MULTILINE) == [
        "pip install uv && uv run spyhop demo",
        "uv run pytest",
    ]
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", readme):
        assert (ROOT / picture).is_file()


def test_no_package_host_stands_in_the_project() -> None:
    """Where packages come from is the machine's business."""
    hosts = re.compile(r"pypi\.org|pythonhosted|registry\.npmjs|proxy\.golang|deb\.debian", re.IGNORECASE)
    kinds = {".py", ".toml", ".md", ".json", ".yaml", ".sql", ".mjs", ".js", ""}
    skipped = {".git", ".venv", "node_modules", "spyhop-data"}
    found = [
        path.relative_to(ROOT)
        for path in ROOT.rglob("*")
        if path.is_file()
        and path.suffix in kinds
        and not skipped & set(path.relative_to(ROOT).parts)
        and not any(part.endswith("_cache") for part in path.parts)
        and path != Path(__file__)
        and hosts.search(path.read_text(encoding="utf-8", errors="ignore"))
    ]

    assert found == []


def test_sql_of_detectors_makes_times_that_cannot_overflow() -> None:
    """From the times of spans only `time_at` and `time_plus` make others; `make_timestamp_ns` is for now."""
    for path in (ROOT / "detectors").rglob("*.sql"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"INTERVAL|to_microseconds|make_timestamp_ns\((?!\$now\b)", text), path
