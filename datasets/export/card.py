"""The dataset card: a description of the rows for people, and a header of the splits for loaders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datasets.export.row import Format, Split
from llm.templates import data_block


def card(format_: Format, manifest: Mapping[str, Any], splits: Sequence[Split]) -> str:
    """`README.md` of an export: a YAML header as Hugging Face reads it, then the text."""
    counts, tokens = manifest["counts"], manifest["token_estimates"]
    files = "\n".join(f"  - split: {split}\n    path: {split}.jsonl" for split in splits)
    configs = f"configs:\n- config_name: default\n  data_files:\n{files}\n" if splits else ""
    listed = "\n".join(f"| {split} | {counts[split]:,} |" for split in splits)
    left_out = "\n".join(f"- {count:,} × {reason}" for reason, count in manifest["reject_counts"].items())
    warnings = "".join(f"\n> {line}\n" for line in manifest["warnings"])
    return f"""---
{configs}tags:
- spyhop
- root-cause-analysis
---

# Explanations of incidents, judged by engineers ({format_.name})

Each row is the prompt that Spyhop sends to a language model (measured facts about one incident as JSON, with
possible causes), and the answer that an engineer confirmed or corrected.
{warnings}
| split | rows |
|---|---|
{listed}

Tokens a row, estimated: p50 {tokens["p50"]:,}, p99 {tokens["p99"]:,}, at most {tokens["max"]:,};
{tokens["total"]:,} in all.

- **Labels**: {_counted(manifest["label_sources"])}. Verdicts: {_counted(manifest["verdicts"])}.
- **Targets are checked**: a sentence stays only where the facts of its own prompt bear it out
  ({_counted(manifest["sentences"]) or "no sentences"}).
- **Splits** are by the structure of the incident (services, operations, kinds of facts), not by row: what is
  equal up to figures and ids is on one side, and once. Seed {manifest["seed"]}.
- **Redaction** {manifest["redaction_version"]}: secrets, addresses and personal numbers are marks such as
  `[redacted:email]`. Names of reviewers and their comments are not here, those of services and
  operations are.
- **Filters**: `{data_block({k: v for k, v in manifest["filters"].items() if v not in (None, 0, "")})}`

Left out, of {counts["labelled"]:,} verdicts:

{left_out or "- nothing"}

`manifest.json` has all counts and hashes, `provenance.json` the origin of each row. Limits: the facts come
from one installation; the estimate of tokens is bytes / 4.
"""


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
