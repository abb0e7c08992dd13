"""Which secrets were read, for the audit in the journal: references and counts, never what they refer to.

The one thing here that belongs to the process and not to a watch: secrets are looked up wherever they are used, down to
adapters that know nothing of a journal.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

MAX_REFERENCES: Final = 1000
OTHERS: Final = "others"


class Reads:
    """Thread-safe. ``note`` counts, ``take`` gives what was counted since the last time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, int]] = {}

    def note(self, reference: str, ok: bool) -> None:
        with self._lock:
            if reference not in self._counts and len(self._counts) >= MAX_REFERENCES:
                reference = OTHERS
            read, failed = self._counts.get(reference, (0, 0))
            self._counts[reference] = (read + ok, failed + (not ok))

    def take(self) -> Mapping[str, tuple[int, int]]:
        """Reference -> (times read, times it could not be read)."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return taken


READS: Final = Reads()
