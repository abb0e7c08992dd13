"""Deterministic crash points, so that a test can kill midwatch exactly before or after an append or an effect.

Off unless ``MIDWATCH_CRASH_AT=name:n`` is set: the n-th time (from 1) that ``name`` is passed, the process kills itself
with SIGKILL, as a power cut would. ``*`` stands for any point. Names: ``before_append``, ``after_append``,
``before_effect``, ``after_effect``.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field

CRASH_VARIABLE = "MIDWATCH_CRASH_AT"
POINTS = ("before_append", "after_append", "before_effect", "after_effect")


@dataclass
class CrashPoints:
    """Callable hook; ``passed`` counts how often each point was passed (for tests that enumerate them)."""

    name: str = ""
    at: int = 0
    passed: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_environment(cls) -> CrashPoints:
        name, _, count = os.environ.get(CRASH_VARIABLE, "").partition(":")
        return cls(name, int(count) if count.isdigit() else 1) if name else cls()

    def __call__(self, point: str) -> None:
        for name in (point, "*"):
            self.passed[name] = self.passed.get(name, 0) + 1
        if self.name in (point, "*") and self.passed[self.name] == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
