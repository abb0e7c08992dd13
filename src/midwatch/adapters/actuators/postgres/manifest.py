"""What PostgreSQL lets midwatch do."""

from __future__ import annotations

from typing import Final

from midwatch.adapters.actuators.common import by_verb
from midwatch.model.actions import ParameterSpec, VerbSpec

VERBS: Final = by_verb(
    VerbSpec(
        "kill_session",
        "end the session that holds the lock that others wait for",
        "transient",
        ("postgres.signal_backend",),
        ("database",),
        {
            "pid": ParameterSpec(
                "int", required=False, minimum=2, maximum=2**31 - 1, description="the blocker; found when not given"
            )
        },
        cost_seconds=1.0,
    ),
    VerbSpec(
        "rebuild_index",
        "build an index that is known and missing, without blocking writers",
        "transient",
        ("postgres.create_index",),
        ("database",),
        {"index": ParameterSpec("str", required=False, description="its name; every missing one when not given")},
        cost_seconds=10.0,
        timeout_seconds=25.0,
    ),
)
