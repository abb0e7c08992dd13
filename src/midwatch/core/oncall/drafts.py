"""Drafts of what to tell whom about an incident, made from the journal's facts: engineers, support, executives, customers.

A person reads them before they go anywhere. Every number is measured; what is not known is said to be unknown. It is the
same facts in other words: engineers get causes and actions, support gets what to tell a caller, executives get cost and
expectation, customers get nothing from inside. Times are UTC.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from midwatch.core.decide.sight import place
from midwatch.core.oncall.eta import Eta
from midwatch.core.oncall.words import cause_words, clock, happens, harm, percent, update
from midwatch.model.findings import Incident
from midwatch.model.state import State

EVERY_SECONDS: Final[Mapping[int, float]] = {1: 900.0, 2: 1800.0, 3: 3600.0, 4: 14_400.0}
"""How often people are told how it stands, by severity, though nothing is new."""
AUDIENCES: Final = ("engineers", "support", "executives", "customers")


def drafts(state: State, incident: Incident, now: float, expected: Eta | None = None) -> dict[str, str]:
    """One text for each of ``AUDIENCES``."""
    return {
        "engineers": _engineers(state, incident, expected),
        "support": _support(incident, expected),
        "executives": _executives(incident, now, expected),
        "customers": _customers(incident, expected),
    }


def due_at(incident: Incident, now: float) -> float | None:
    """By when people should hear again how it stands: the next stroke of a clock that began when the incident opened. None
    for what is over."""
    if incident.phase == "resolved":
        return None
    every = EVERY_SECONDS.get(incident.severity, EVERY_SECONDS[4])
    return incident.opened_at + every * (math.floor(max(0.0, now - incident.opened_at) / every) + 1)


def until(expected: Eta | None) -> str:
    """``users well between 09:50 and 10:20, before 10:02 in half of 14 SEV2 incidents``; "" without an estimate."""
    if expected is None:
        return ""
    return (
        f"users well between {clock(expected.early_at)} and {clock(expected.late_at)}, before {clock(expected.middle_at)} in"
        f" half of {expected.cases} {expected.of} that lasted as long"
    )


def _engineers(state: State, incident: Incident, expected: Eta | None) -> str:
    said = [f"{incident.id}: {update(state, incident).text}"]
    others = [f"{cause_words(h)} {percent(h.probability)} %" for h in incident.hypotheses[1:3] if h.probability >= 0.05]
    if incident.phase != "resolved":
        if others:
            said.append(f"Also possible: {', '.join(others)}; none of these {percent(incident.unknown)} %.")
        if incident.hypotheses and (check := incident.hypotheses[0].next_check):
            said.append(f"Next to check: {check}" if check.endswith("?") else f"Next to check: {check}.")
        if expected is not None:
            said.append(f"Expected: {until(expected)}.")
    return " ".join(said)


def _support(incident: Incident, expected: Eta | None) -> str:
    said = [_felt(incident)]
    if incident.phase == "resolved":
        said.append("Whoever still meets it meets something else: please report it.")
    elif not harm(incident):
        said.append("Whoever calls about it helps us to know: please report it.")
    elif incident.mitigated_at is not None:
        said.append("It no longer happens. Trying again helps.")
    else:
        said.append("It is being worked on. Trying again may help, since not every request is hit.")
        said.append(_when(expected))
    return " ".join(said)


def _executives(incident: Incident, now: float, expected: Eta | None) -> str:
    end = incident.resolved_at if incident.resolved_at is not None else now
    minutes = max(1, round((end - incident.onset_at) / 60))
    going = f"lasted {minutes} min" if incident.phase == "resolved" else f"going on for {minutes} min"
    said = [f"SEV{incident.severity}, {going}. {_felt(incident)}"]
    impact = incident.impact
    if impact is not None and not math.isnan(impact.affected_requests):
        said.append(
            f"{impact.affected_requests:,.0f} requests {'so far' if incident.phase != 'resolved' else 'in all'}."
        )
    if impact is not None and impact.slo and impact.budget_spent > 0:
        said.append(f"It has used {percent(impact.budget_spent)} % of the error budget of {impact.slo}.")
    if incident.phase != "resolved" and incident.mitigated_at is None:
        who = f"{incident.acknowledged_by} has it." if incident.acknowledged_by else "Nobody has acknowledged it yet."
        said += [who, _when(expected)]
    return " ".join(said)


def _customers(incident: Incident, expected: Eta | None) -> str:
    over = incident.phase == "resolved"
    since = clock(incident.impact.since_at if incident.impact is not None else incident.onset_at)
    what = happens(incident, over)
    if not what:
        return _nothing_known(incident)
    if over and incident.resolved_at is not None:
        return f"Between {since} and {clock(incident.resolved_at)} UTC some requests {what}. It is over. We are sorry."
    if incident.mitigated_at is not None:
        return f"Since {since} UTC some requests failed or were slow. It no longer happens; we are watching it."
    hope = f" We expect it to be over by {clock(expected.late_at)} UTC." if expected is not None else ""
    return f"Since {since} UTC some requests {what}. We are working on it.{hope} We are sorry."


def _nothing_known(incident: Incident) -> str:
    """For customers, where nothing was measured of what they may notice."""
    began = clock(incident.opened_at)
    if incident.phase == "resolved" and incident.resolved_at is not None:
        until = clock(incident.resolved_at)
        return f"From {began} to {until} UTC we looked into a possible problem. Nothing was measured that you could notice."
    after = (
        "The signs of it are gone; we are watching whether it stays so." if incident.mitigated_at is not None else ""
    )
    known = after or "Nothing is known yet of what you may notice."
    return f"We have been looking into a possible problem since {began} UTC. {known}"


def _felt(incident: Incident) -> str:
    impact = incident.impact
    where = place(impact.entry) if impact is not None and impact.entry else ""
    where = where or (place(incident.symptoms[0]) if incident.symptoms else "the system")
    over = incident.phase == "resolved" or incident.mitigated_at is not None
    verb = happens(incident, over)
    since = clock(impact.since_at if impact is not None else incident.onset_at)
    if not verb:
        by = "other systems say: " if incident.told_by_alerts else ""
        return f"Since {since} UTC {by}{incident.title}. Nothing was measured of what users feel."
    if impact is None or math.isnan(impact.affected_ratio):
        return f"Requests at {where} {verb} since {since} UTC; how many is not known."
    end = incident.mitigated_at if incident.mitigated_at is not None else incident.resolved_at
    when = f"from {since} to {clock(end)} UTC" if over and end is not None else f"since {since} UTC"
    return f"{percent(impact.affected_ratio)} % of the requests at {where} {verb} {when}."


def _when(expected: Eta | None) -> str:
    if expected is None:
        return "When it will be over is not known: too few incidents like it."
    return f"Expected to be over between {clock(expected.early_at)} and {clock(expected.late_at)} UTC."
