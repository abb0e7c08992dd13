"""What people may be told of one incident, as the API and the CLI give it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from midwatch.core.oncall import drafts as written
from midwatch.core.oncall import eta as estimates
from midwatch.model.findings import Incident
from midwatch.model.state import State


def told(state: State, incident: Incident, now: float) -> dict[str, Any]:
    """``drafts`` by audience; ``eta``, when users will be well again (None where too few incidents are like it), with
    ``eta_held``: how many past intervals held what came; ``next_update_at``."""
    expected = estimates.eta(state, incident, now)
    held = estimates.coverage(state)
    return {
        "drafts": written.drafts(state, incident, now, expected),
        "eta": asdict(expected) if expected else None,
        "eta_held": asdict(held),
        "next_update_at": written.due_at(incident, now),
    }
