"""The invariants of how bad incidents are rated."""

from __future__ import annotations

from midwatch.gym.simulator.checked import Checked, states
from midwatch.gym.simulator.trace import Trace
from midwatch.model import events as e
from midwatch.model.fold import fold


def nothing_is_milder_too_soon(trace: Trace, c: Checked) -> None:
    """The facts make an incident milder only once it has stood for as long as the policy says since it was last rated worse,
    with a reason, and never milder than a person said. The highest it ever was is kept."""
    since: dict[str, float] = {}
    for state, recorded in states(trace):
        event, at = recorded.event, recorded.at
        if isinstance(event, e.IncidentOpened):
            since[event.incident] = at
        if not isinstance(event, e.IncidentRated) or (before := state.incidents.get(event.incident)) is None:
            continue
        if event.severity <= before.severity or event.by:
            since[event.incident] = since.get(event.incident, at) if event.severity == before.severity else at
            continue
        stood = at - since.get(event.incident, at)
        hold = state.policy.milder_after_seconds
        c.claim(hold > 0, f"entry {recorded.seq} made {event.incident} milder, which is switched off")
        c.claim(stood >= hold, f"entry {recorded.seq} made {event.incident} milder after {stood:.0f} s of {hold:.0f} s")
        said = before.said_severity
        c.claim(not said or event.severity <= said, f"entry {recorded.seq} went below a person's SEV{said}")
        c.claim("milder for" in event.reason, f"entry {recorded.seq} does not say why {event.incident} is milder")
        kept = fold(state, recorded).incidents[event.incident].worst
        c.claim(
            kept <= before.severity,
            f"after entry {recorded.seq} {event.incident} forgot that it was SEV{before.severity}",
        )
