"""The mail that an exchange would send: JSON lines in the data folder, which only its owner reads."""

from __future__ import annotations

import json
import os
from pathlib import Path


class Outbox:
    def __init__(self, path: Path) -> None:
        self._path = path

    def newest(self, to: str) -> str:
        """The text of the newest mail to somebody.

        Raises:
            KeyError: there is none.
        """
        for line in reversed(self._path.read_text(encoding="utf-8").splitlines()):
            mail: dict[str, str] = json.loads(line)
            if mail["to"] == to:
                return mail["text"]
        raise KeyError(to)

    def send(self, to: str, subject: str, text: str) -> None:
        line = json.dumps({"to": to, "subject": subject, "text": text}) + "\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(line)
