"""How one source of the settings does: who may ask it now, and who waits because it does not answer."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from midwatch.model.ports import Source
from midwatch.shell.config import SourceSettings
from midwatch.shell.reading_back import PIECE_SECONDS

AT_ONCE: Final = 4  # questions to one source
DOWN_AFTER: Final = 3  # failures on end, of any promises: the source is down, and one promise asks for all
FIRST_BACKOFF_SECONDS: Final = 5.0
MAX_BACKOFF_SECONDS: Final = 300.0


@dataclass
class Served:
    """One source. ``behind`` are the promises whose past is not read yet, the one first whose turn it is; ``reading_back``
    counts the tasks that do it, ``piece_seconds`` is how much they ask for at once."""

    source: Source
    settings: SourceSettings
    slots: asyncio.Semaphore
    failures: int = 0
    not_before: float = 0.0
    asking: int = 0
    behind: deque[str] = field(default_factory=deque)
    reading_back: int = 0
    piece_seconds: float = PIECE_SECONDS

    @property
    def down(self) -> bool:
        return self.failures >= DOWN_AFTER

    def complete_until(self, now: float) -> float:
        """The end of the newest step that is complete by now (unix seconds)."""
        step = self.settings.step_seconds
        return math.floor((now - self.settings.delay_seconds) / step) * step


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures on end."""
    return min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 10))
