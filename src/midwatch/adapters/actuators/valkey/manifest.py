"""What a Valkey or Redis server lets midwatch do."""

from __future__ import annotations

from typing import Final

from midwatch.adapters.actuators.common import by_verb
from midwatch.model.actions import VerbSpec

VERBS: Final = by_verb(
    VerbSpec(
        "flush_cache",
        "throw away what is cached; it is filled again from the database",
        "transient",
        ("valkey.flush",),
        ("cache",),
        cost_seconds=20.0,
    ),
)
