"""Is there data of something right now?"""

from __future__ import annotations

import math
from typing import Final

from midwatch.core.slo.measure import measure
from midwatch.model import signals
from midwatch.model.world import World

SIGHT_SECONDS: Final = 30.0
_SIGNS_OF_LIFE: Final = (signals.REQUESTS, signals.CALLS, signals.QUEUE_LAG_SECONDS, signals.UP, signals.CONSUMED)


def sees(world: World, subject: str, window_seconds: float = SIGHT_SECONDS) -> bool:
    """Whether anything was reported of ``subject`` within the window. False is "no data", never "ok"."""
    return any(not math.isnan(measure(world, subject, sign, window_seconds)) for sign in _SIGNS_OF_LIFE)
