"""Keeps the exact version of every package in `pyproject.toml`, `[tool.uv]`: of the whole tree as
`constraint-dependencies`, of what builds the project as `build-constraint-dependencies`.

    python .ci/constraints.py            write what the present ones resolve to (after adding a package)
    python .ci/constraints.py --upgrade  resolve anew, to the newest versions that pyproject.toml allows
    python .ci/constraints.py --check    exit 1 when a package has no exact version, or another one
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
TREE = "constraint-dependencies"
BUILD = "build-constraint-dependencies"


def uv(*arguments: str, text: str | None = None) -> str:
    command = ["uv", *arguments]
    done = subprocess.run(
        command, cwd=PROJECT.parent, input=text, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def resolved_tree() -> list[str]:
    """One `name==version ; marker` for each package of the whole tree, on every platform."""
    exported = uv(
        "export",
        "--quiet",
        "--all-groups",
        "--no-emit-project",
        "--no-hashes",
        "--no-annotate",
        "--no-header",
    )
    return sorted(line.strip() for line in exported.splitlines() if line.strip())


def resolved_build(project: dict[str, object], present: list[str]) -> list[str]:
    """The same for the build backend, which the lock file does not hold. `present` versions are kept."""
    wanted = "\n".join([*project["build-system"]["requires"], *present])
    compiled = uv(
        *("pip", "compile", "--quiet", "--universal", "--no-annotate", "--no-header"),
        *("--python-version", "3.11", "-"),
        text=wanted,
    )
    return sorted(line.strip() for line in compiled.splitlines() if line.strip())


def replaced(text: str, name: str, lines: list[str]) -> str:
    block = re.compile(rf"^{name} = \[\n(.*?)^\]\n", re.DOTALL | re.MULTILINE)
    if not block.search(text):
        sys.exit(f"pyproject.toml has no {name} block")
    rows = "".join(f'    "{line}",\n' for line in lines)
    return block.sub(lambda _: f"{name} = [\n{rows}]\n", text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true")
    mode.add_argument("--upgrade", action="store_true")
    options = parser.parse_args()

    before = PROJECT.read_text(encoding="utf-8")
    project = tomllib.loads(before)
    build_present = project["tool"]["uv"][BUILD]
    if options.upgrade:
        PROJECT.write_text(replaced(before, TREE, []), encoding="utf-8")
        uv("lock", "--quiet", "--upgrade")
        build_present = []
    after = replaced(before, TREE, resolved_tree())
    after = replaced(after, BUILD, resolved_build(project, build_present))
    if options.check:
        if after != before:
            sys.exit("the exact versions are not what resolves: run `python .ci/constraints.py` and commit")
        return
    PROJECT.write_text(after, encoding="utf-8")
    uv("lock", "--quiet")


if __name__ == "__main__":
    main()
