"""What a process that ended too early said last: the end of its log, where the reason is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

MAX_LINES: Final = 3
MAX_CHARACTERS: Final = 400


def last_words(log: Path) -> str:
    """Its last lines in one, at most ``MAX_CHARACTERS``; "no output" when there are none, or no log."""
    try:
        said = log.read_text(errors="replace")
    except OSError:
        return "no output"
    lines = [line.strip() for line in said[-8000:].splitlines() if line.strip()]
    return " / ".join(lines[-MAX_LINES:])[-MAX_CHARACTERS:] or "no output"
