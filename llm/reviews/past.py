"""Similar incidents of the past, with the words of engineers on them.

Incidents of the same structure go first (`llm/analysis/fingerprint.py`), then those whose explanations share
rare words: cosine of TF-IDF vectors over the words without figures. (Embeddings of `wordllama`
would need huggingface-hub, tokenizers and safetensors.) The place that an engineer named is shown
as a name. Their sentences stand in the answer as theirs, never in an explanation's own text or a
model's prompt.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from collector.store.sqlfile import load_sql
from collector.store.store import Store
from llm.analysis.fingerprint import structure, without_figures
from llm.explanation import PastIncident
from llm.redaction.redact import quoted_name, redact_text

MAX_PAST = 3
MAX_COMPARED = 500  # how many of the newest judged explanations are compared
# Of seven explanations: .86 between slow statements of one service, .41 of two services, others .26 at most.
MIN_SIMILARITY = 0.5
SUMMARY_CHARS = 400
_WORD = re.compile(r"[a-z][a-z0-9_./-]+")


def advice(past: PastIncident) -> str:
    """One line for the list of next steps; empty where no verdict named a place."""
    if not past.root_service:
        return ""
    where = f"{quoted_name(past.root_operation)} in " if past.root_operation else ""
    return (
        f"Of an earlier incident of {past.match} ({past.said_at[:10]}), an engineer said that the cause was"
        f" {where}{quoted_name(past.root_service)} (feedback, not measured here)."
    )


def context_structure(context: Mapping[str, Any]) -> str:
    """The fingerprint of an explanation's context, in hexadecimal."""
    facts = ((f["kind"], f["service"], f["operation"]) for f in context.get("facts", ()))
    candidates = ((c["service"], c["operation"]) for c in context.get("candidates", ()))
    return structure(facts, candidates).hex()


def past_incidents(
    store: Store, group_id: str, fingerprint: str, summary: str, iso: Any
) -> tuple[PastIncident, ...]:
    """At most three judged explanations of other incidents that are like this one, the likest first."""
    rows = store.read(
        load_sql("llm.queries", "judged_explanations"),
        {"group_id": group_id, "fingerprint": fingerprint, "limit": MAX_COMPARED},
    ).to_pylist()
    found: dict[str, PastIncident] = {}
    similarities = _cosines(summary, [row["summary"] for row in rows])
    ranked = sorted(
        zip(rows, similarities, strict=True),
        key=lambda pair: (not pair[0]["is_same"], -pair[1], -pair[0]["said_unix_nano"]),
    )
    for row, similarity in ranked:
        if (row["is_same"] or similarity >= MIN_SIMILARITY) and row["group_id"] not in found:
            found[row["group_id"]] = _past(row, similarity, iso)
        if len(found) == MAX_PAST:
            break
    return tuple(found.values())


def _past(row: Mapping[str, Any], similarity: float, iso: Any) -> PastIncident:
    correction = json.loads(row["correction"]) if row["correction"] else {}
    confirmed = json.loads(row["root_causes"]) if row["verdict"] == "right" else []
    place = confirmed[0] if confirmed else {}
    return PastIncident(
        explanation_id=row["explanation_id"],
        subject_kind=row["subject_kind"],
        subject_id=row["subject_id"],
        said_at=iso(row["said_unix_nano"]),
        match="same structure" if row["is_same"] else "similar words",
        similarity=1.0 if row["is_same"] else round(similarity, 2),
        verdict=row["verdict"],
        said_by=row["rater"],
        root_service=correction.get("root_service") or place.get("service", ""),
        root_operation=correction.get("root_operation")
        or ("" if correction.get("root_service") else place.get("operation", "")),
        summary=redact_text(correction.get("summary") or row["summary"], SUMMARY_CHARS),
    )


def _cosines(text: str, others: Sequence[str]) -> list[float]:
    """TF-IDF cosine of `text` and each other one; a word that all share weighs nothing."""
    bags = [Counter(_WORD.findall(without_figures(each))) for each in (text, *others)]
    spread = Counter(word for bag in bags for word in bag)
    weight = {word: math.log((1 + len(bags)) / count) for word, count in spread.items()}
    vectors = [{word: count * weight[word] for word, count in bag.items()} for bag in bags]
    lengths = [math.sqrt(sum(value * value for value in vector.values())) for vector in vectors]
    first, own = vectors[0], lengths[0]
    return [
        sum(value * vector.get(word, 0.0) for word, value in first.items()) / (own * length)
        if own * length
        else 0.0
        for vector, length in zip(vectors[1:], lengths[1:], strict=True)
    ]
