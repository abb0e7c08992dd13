"""The post-mortem: blameless Markdown, made from what is recorded and nothing else. It blames no person: people appear
with what they did, causes are conditions of the system."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec.structs import replace

from midwatch.core.decide.sight import place
from midwatch.core.learn import paged
from midwatch.core.learn.items import cause_of, items_of, same_before, todo
from midwatch.core.learn.timeline import TimelineRow, change_words, sentence, timeline, who
from midwatch.core.oncall.words import at_target, cause_words, clock, did, percent, plain, to_do
from midwatch.model import rating_steps
from midwatch.model.events import CommandGiven, IncidentResolved, Recorded
from midwatch.model.faults import DESCRIPTIONS
from midwatch.model.findings import Hypothesis, Incident
from midwatch.model.state import ActionRecord, State
from midwatch.model.world import Change

CHANGES_BEFORE_SECONDS = 900.0
SLOW_TO_CALM_SECONDS = 300.0


def postmortem(state: State, incident_id: str, recorded: Iterable[Recorded] = ()) -> str:
    """Markdown for one incident. ``recorded`` (the journal, or the incident's part of it) gives the full timeline;
    without it the timeline holds what state remembers. Raises KeyError when the incident is unknown."""
    incident = state.incidents[incident_id]
    rows = timeline(recorded, incident_id) or from_state(state, incident)
    parts = [
        f"# {incident.id}: {incident.title or 'incident'}",
        _section("Summary", _summary(state, incident)),
        _section("Impact", _impact(incident)),
        _section("Timeline (UTC)", _timeline(rows)),
        *_decisions(state, incident),
        *_tasks(state, incident),
        _section("Contributing factors", _factors(state, incident)),
        _section("What went well", _well(state, incident)),
        _section("What went badly", _badly(state, incident)),
        _section("Action items", _items(state, incident)),
        _section("Evidence", _evidence(incident)),
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, lines: list[str]) -> str:
    return f"## {title}\n\n" + "\n".join(lines)


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _exact(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def _cause(incident: Incident) -> str:
    if incident.confirmed_cause:
        entity, _, kind = incident.confirmed_cause.partition(" ")
        return f"{DESCRIPTIONS.get(kind, kind)} in {place(entity)}"
    top = incident.hypotheses[0] if incident.hypotheses else None
    if top is None:
        return "not found"
    return f"not confirmed; most probable: {cause_words(top)} ({percent(top.probability)} %)"


def _fixes(state: State, incident: Incident, *statuses: str) -> list[ActionRecord]:
    return [r for r in state.actions_of(incident.id) if r.status in statuses and not r.action.undo_of]


def _what(record: ActionRecord) -> str:
    return f"{did(record.action.verb)}{at_target(record.action.verb, record.action.target)}"


def _summary(state: State, incident: Incident) -> list[str]:
    end = incident.resolved_at
    lasted = f" and lasted {_span(end - incident.onset_at)}" if end is not None else " and is not over"
    met = _fixes(state, incident, "met")
    ended = (
        f"It ended after midwatch {_what(met[-1])}." if met else "It ended without a fix by midwatch." if end else ""
    )
    noticed = _span(max(0.0, incident.opened_at - incident.onset_at))
    return [
        f"SEV{incident.worst} on {_date(incident.onset_at)}: {_reason(incident)}. "
        f"It began at {clock(incident.onset_at)}, was noticed after {noticed}"
        f"{lasted}. Cause: {_cause(incident)}. {ended}".rstrip()
    ]


def _reason(incident: Incident) -> str:
    """Of the highest rating, and what it was in the end."""
    if incident.worst == incident.severity:
        return incident.severity_reason
    return f"{incident.worst_reason}. Later SEV{incident.severity}: {incident.severity_reason}"


def _impact(incident: Incident) -> list[str]:
    widest, impact = rating_steps.widest(incident), incident.impact or incident.worst_impact
    if impact is None or widest is None:  # as ``_measured`` asks
        return ["Not known: there was no data of what users felt."]
    impact = replace(impact, affected_ratio=widest.affected_ratio)  # as many as it hit at its worst
    ratio = "an unknown share" if math.isnan(impact.affected_ratio) else f"{percent(impact.affected_ratio)} %"
    how = "slow" if impact.what == "slow" else "failed"
    lines = [f"- {ratio} of the requests to {place(impact.entry)} {how}, since {clock(impact.since_at)}."]
    if not math.isnan(impact.affected_requests):
        lines.append(f"- Requests affected: about {impact.affected_requests:.0f}.")
    if impact.slo:
        lines.append(f"- Error budget of {impact.slo}: {percent(impact.budget_spent)} % of the period was spent by it.")
    return lines


def from_state(state: State, incident: Incident) -> list[TimelineRow]:
    """The timeline as far as state remembers it."""
    rows = [TimelineRow(c.at, c.by or c.source, change_words(c)) for c in _changes(state, incident)]
    began = "users begin to feel it" if _measured(incident) else "first signs"
    rows.append(TimelineRow(incident.onset_at, "midwatch", f"{began} (as found out afterwards)"))
    rows.append(TimelineRow(incident.opened_at, "midwatch", f"{incident.id} opened, SEV{incident.severity}"))
    for record in state.actions_of(incident.id):
        what = f"{to_do(record.action.verb)}{at_target(record.action.verb, record.action.target)}"
        rows.append(TimelineRow(record.judged_at, "midwatch", f"{record.action.id}, {what}: {record.verdict.why}"))
        if record.ended_at is not None and record.outcome is not None:
            status = record.outcome.status.replace("_", " ")
            rows.append(
                TimelineRow(record.ended_at, "midwatch", f"{record.action.id}: {status}, {record.outcome.result}")
            )
    rows += _deeds(state, incident)
    rows += paged.rows(state, incident)
    return sorted(rows, key=lambda row: row.at)


def _deeds(state: State, incident: Incident) -> list[TimelineRow]:
    """What people said and did. Who says that it is over is in the row of its end."""
    rows, over_by = [], ""
    actions = {record.action.id: record.action for record in state.actions_of(incident.id)}
    for deed in state.deeds.get(incident.id, ()):
        event = deed.event
        if isinstance(event, CommandGiven) and event.verb == "resolve":
            over_by = event.by
        elif isinstance(event, IncidentResolved) and over_by and event.why.startswith(f"{over_by} said so"):
            rows.append(TimelineRow(deed.at, over_by, "resolved" + event.why.removeprefix(f"{over_by} said so")))
        else:
            rows.append(TimelineRow(deed.at, who(event), sentence(event, actions)))
    return rows


def _measured(incident: Incident) -> bool:
    """Whether anything is known of what users felt."""
    return bool(incident.impact or incident.worst_impact) and rating_steps.widest(incident) is not None


def _timeline(rows: list[TimelineRow]) -> list[str]:
    table = ["| time | who | what |", "|---|---|---|"]
    return table + [f"| {_exact(r.at)} | {_cell(r.who)} | {_cell(r.text)} |" for r in rows]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _decisions(state: State, incident: Incident) -> list[str]:
    room = state.rooms.get(incident.id)
    if room is None or not room.decisions:
        return []
    return [_section("Decisions", _timeline([TimelineRow(d.at, d.by, d.text) for d in room.decisions]))]


def _tasks(state: State, incident: Incident) -> list[str]:
    room = state.rooms.get(incident.id)
    if room is None or not room.tasks:
        return []
    table = ["| task | who | done |", "|---|---|---|"]
    for t in room.tasks:
        done = f"{_exact(t.done_at)}, {_cell(t.done_by)}" if t.done_at is not None else "left open"
        table.append(f"| {_cell(t.what)} | {_cell(t.person or 'nobody')} | {done} |")
    return [_section("Tasks", table)]


def _changes(state: State, incident: Incident) -> list[Change]:
    until = incident.resolved_at or state.at
    return [c for c in state.changes if incident.onset_at - CHANGES_BEFORE_SECONDS <= c.at <= until]


def _factors(state: State, incident: Incident) -> list[str]:
    lines = [f"- Cause: {_cause(incident)}."]
    top = _blamed(incident)
    if top is not None:
        if top.path:
            lines.append(f"- It reached users by {' -> '.join(place(key) for key in top.path)}.")
        lines += [f"- {e.text.rstrip('.')}." for e in top.evidence if e.weight > 0 and e.text][:5]
    for change in _changes(state, incident):
        if change.at <= incident.onset_at:
            before = _span(incident.onset_at - change.at)
            lines.append(f"- A change {before} before the onset (a time, not yet a reason): {change_words(change)}.")
    return lines


def _blamed(incident: Incident) -> Hypothesis | None:
    if incident.confirmed_cause:
        entity, _, kind = incident.confirmed_cause.partition(" ")
        found = [h for h in (*incident.hypotheses, *incident.first_ranked) if (h.entity, h.kind) == (entity, kind)]
        return found[0] if found else None
    return incident.hypotheses[0] if incident.hypotheses else None


def _well(state: State, incident: Incident) -> list[str]:
    lines = []
    noticed = incident.opened_at - incident.onset_at
    if 0 <= noticed <= 60:
        lines.append(f"- It was noticed {_span(noticed)} after it began.")
    first = incident.first_ranked[0] if incident.first_ranked else None
    if first is not None and incident.confirmed_cause == f"{first.entity} {first.kind}":
        lines.append(f"- When it first paged or acted, midwatch named the cause ({percent(first.probability)} %).")
    lines += [f"- midwatch {_what(r)}, and it helped: {r.result_why}." for r in _fixes(state, incident, "met")]
    if incident.acknowledged_at is not None:
        lines.append(
            f"- {incident.acknowledged_by} answered after {_span(incident.acknowledged_at - incident.opened_at)}."
        )
    return lines or ["- Nothing on record."]


def _badly(state: State, incident: Incident) -> list[str]:
    lines = []
    noticed = incident.opened_at - incident.onset_at
    if noticed > 60:
        lines.append(f"- It was noticed only {_span(noticed)} after it began.")
    if not incident.confirmed_cause:
        lines.append("- The cause was not confirmed.")
    lines += [f"- midwatch {_what(r)}, and it did not help: {r.result_why}." for r in _fixes(state, incident, "missed")]
    lines += [
        f"- {r.action.id} ({to_do(r.action.verb)}) failed: {r.outcome.result if r.outcome else 'no outcome'}."
        for r in _fixes(state, incident, "failed")
    ]
    lines += [f"- Nobody knows what {r.action.id} did." for r in _fixes(state, incident, "in_doubt", "unknown")]
    failed = sum(p.status == "failed" for p in state.pages_of(incident.id))
    if failed:
        lines.append(f"- {failed} pages could not be delivered.")
    lines += [f"- {_unanswered(one)}" for one in paged.paged(state, incident) if one.waited]
    if incident.resolved_at is not None and incident.resolved_at - incident.onset_at > SLOW_TO_CALM_SECONDS:
        felt = "Users felt it, or could have, for" if _measured(incident) else "It lasted"
        lines.append(f"- {felt} {_span(incident.resolved_at - incident.onset_at)}.")
    return lines or ["- Nothing on record."]


def _unanswered(one: paged.Told) -> str:
    where = f"Level {one.level} ({one.who})" if one.level else one.who
    return f"{where} was paged {one.times} {'time' if one.times == 1 else 'times'} without an answer."


def _items(state: State, incident: Incident) -> list[str]:
    """What is left to do: as it was written down, else as it would be."""
    records, before = items_of(state, incident.id), same_before(state, incident)
    if records:
        table = ["| item | what | owner | due |", "|---|---|---|---|"]
        for r in records:
            where = f" ([{_cell(r.ref)}]({r.url}))" if r.url else ""
            done = f", {r.status}" if r.status != "open" else ""
            row = f"{r.item.id}{where} | {_cell(r.item.what)}{done} | {_cell(r.item.owner)} | {_date(r.item.due_at)}"
            table.append(f"| {row} |")
    else:
        there = {r.item.kind for r in before}
        left = [f"| {_cell(o.what)} | {_cell(o.owner)} |" for o in todo(state, incident) if o.kind not in there]
        table = ["| what | owner |", "|---|---|", *left] if left else []
    same = "The same cause as in" if cause_of(incident) else "Felt at the same place as"
    for r in before:
        table += ["", f"{same} {r.item.incident}, where {r.item.id} is still open: {_cell(r.item.what)}."]
    return table


def _evidence(incident: Incident) -> list[str]:
    hypotheses = incident.hypotheses[:3]
    if not hypotheses:
        return ["No hypothesis was formed."]
    lines = []
    for hypothesis in hypotheses:
        lines.append(f"- {cause_words(hypothesis)}, {percent(hypothesis.probability)} %")
        for e in hypothesis.evidence:
            numbers = ""
            if not math.isnan(e.value):
                before = "" if math.isnan(e.baseline) else f", before {plain(e.baseline)}"
                numbers = f" [{plain(e.value)}{before}{f' {e.unit}' if e.unit else ''}]"
            lines.append(f"    - {e.kind.replace('_', ' ')}: {e.text}{numbers} (weight {e.weight:+.1f})")
    lines.append(f"- none of these: {percent(incident.unknown)} %")
    return lines
