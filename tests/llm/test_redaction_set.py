"""Redaction on labelled texts: `redaction/secrets.txt` marks each secret, `redaction/plain.txt` has none."""

from __future__ import annotations

import random
import re
import time
import uuid
from pathlib import Path

import pytest

from llm.redaction.redact import redact_text
from tests.pace import check_cpu

_FOLDER = Path(__file__).parent / "redaction"
_MARKED = re.compile("«(.*?)(?:»|$)")
_PIECE = re.compile(r"[\w@#%!.+/=-]{2,}")


def _lines(name: str) -> list[str]:
    text = (_FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


SECRETS, PLAIN = _lines("secrets"), _lines("plain")


def leaked(marked: str) -> list[str]:
    """Pieces of the marked secrets that redaction leaves; what also stands outside marks does not count."""
    secrets = _MARKED.findall(marked)
    text = re.sub("[«»]", "", marked)
    left = re.sub(r"\[redacted:\w+\]", "", redact_text(text))
    pieces = [piece for secret in secrets for piece in _PIECE.findall(secret)]
    return [p for p in pieces if p in left and text.count(p) <= sum(s.count(p) for s in secrets)]


def test_precision_and_recall() -> None:
    """Nothing of 390 marked secrets is left, and of 380 texts without one all stay as they are."""
    missed = {text: leaks for text in SECRETS if (leaks := leaked(text))}
    changed = {text: redact_text(text) for text in PLAIN if redact_text(text) != text}
    found = len(SECRETS) - len(missed)
    recall, precision = found / len(SECRETS), found / (found + len(changed))
    print(f"recall {recall:.3f} of {len(SECRETS)}, precision {precision:.3f} with {len(PLAIN)} plain texts")
    assert len(SECRETS) >= 280
    assert len(PLAIN) >= 360
    assert recall == 1, missed
    assert precision == 1, changed


@pytest.mark.parametrize(
    "around", ["{}", "pay failed: {}", "[warn] {} ", '{{"msg": "x"}} {}', "a\n{}\nb", "ERROR {}"]
)
def test_secrets_within_longer_texts(around: str) -> None:
    """A secret is found wherever in a message it stands."""
    missed = {text: leaks for text in SECRETS if (leaks := leaked(around.format(text)))}
    assert not missed


def test_redacting_twice_changes_nothing() -> None:
    """Redacted text is redacted again on its way to a model or an export, and stays the same."""
    for text in SECRETS:
        once = redact_text(re.sub("[«»]", "", text))
        assert redact_text(once) == once


@pytest.mark.parametrize("around", ["order {}", "{}", "trace_id={}", "GET /orders/{}", "request {} failed"])
def test_ids_stay(around: str) -> None:
    """UUIDs, trace ids and span ids stay readable in any place: people search by them."""
    random_ = random.Random(2611)
    for _ in range(1000):
        number = uuid.UUID(int=random_.getrandbits(128))
        for id_ in (str(number), number.hex, number.hex[:16]):
            assert redact_text(around.format(id_)) == around.format(id_)


def test_an_id_in_the_place_of_a_secret_goes() -> None:
    """A key may have the form of an id: the word beside it decides."""
    for text in ("api_key={}", "password {}", "Authorization: Bearer {}", "?token={}&n=1"):
        assert "550e8400" not in redact_text(text.format("550e8400-e29b-41d4-a716-446655440000"))


@pytest.mark.parametrize(
    "text",
    ["a" * 1200, "password " * 130, "-" * 1200, "0 " * 600, "a=" * 600, "A2" * 600, "a:" * 600, "<a " * 400,
     "ab cd " * 200, '"' * 1200, "\\" * 1200, "-p" * 600, "token=" * 200, "a." * 600, "/home" * 240,
     "1-" * 600, "born " * 240, "tax id 1 2 " * 100, "/webhook/" * 130, "user a@" * 170,
     "password=" + "a " * 500, "auth: " + "b_" * 500],
    ids=lambda text: text[:9],
)  # fmt: skip
def test_no_text_is_slow(text: str) -> None:
    """Hostile repetition costs milliseconds, not seconds."""
    started_s = time.thread_time()  # of this thread's own work, whatever else the machine does
    redact_text(text)
    check_cpu(time.thread_time() - started_s, 0.25)
