"""The triage stage: what becomes of alerts that other systems sent. Each open one goes through the same list of questions,
and the first that has an answer says where it is put and why; what nothing holds back is grouped into incidents.

A function of state and now: a restart or a lost working set changes nothing, and no telemetry is needed. The working set
(``Triaged``) only saves looking again at what did not change since the last turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from midwatch.core.oncall import flapping, grouping, homes
from midwatch.core.oncall.by_hand import by_hand
from midwatch.core.oncall.inhibition import inhibitors, leads, over
from midwatch.core.oncall.silences import covered, ended
from midwatch.core.triaged import Look, Triaged
from midwatch.core.turn import Turn
from midwatch.model.alerts import INFORMS, AlertRecord, Judged, words_of
from midwatch.model.events import AlertsJudged, FindingClosed, IncidentAcknowledged
from midwatch.model.findings import ALERT, Incident

Answer = tuple[str, str]
"""(place, why)."""
COUNTING: Final = ("grouped", "flapping")
"""Places in which an alert keeps its finding open."""


def silenced(look: Look, record: AlertRecord, words: Mapping[str, str]) -> Answer | None:
    return covered(look.silences, words)


def inhibited(look: Look, record: AlertRecord, words: Mapping[str, str]) -> Answer | None:
    return over(look.over, record.alert.key, words)


def informs(look: Look, record: AlertRecord, words: Mapping[str, str]) -> Answer | None:
    return ("informs", "its severity only informs") if record.alert.severity >= INFORMS else None


QUESTIONS: Final[tuple[Callable[[Look, AlertRecord, Mapping[str, str]], Answer | None], ...]] = (
    silenced,  # did somebody say beforehand that it wakes nobody?
    inhibited,  # does another alert make it needless?
    informs,  # does it want to wake anybody at all?
)


def triage(turn: Turn) -> Turn:
    """Judge every alert that is not over; journal only what changed."""
    turn = by_hand(turn)
    if not turn.state.alerts and not turn.state.silences:
        return turn
    turn = ended(turn)
    before = turn.memory.triaged
    look, keys, all_of_them = _to_look_at(turn, before)
    known = before.shared if before and not all_of_them else homes.remembered({}, turn.state.alerts.values())
    earlier = turn.state.alerts
    turn, staying = _judge(turn, look, keys, known)
    alerts = turn.state.alerts
    touched = [alerts[key] for key in keys]
    counts = _counts(before, alerts, keys) if before and not all_of_them else _counts(None, alerts, alerts)
    turn = _closed(turn, counts) if touched else turn
    turn = grouping.rerate(turn, (r for r in touched if r.place in COUNTING), counts)
    turn = _answered(turn, staying)
    restless = frozenset(r.alert.key for r in touched if not r.firing and r.place != "over")
    left = any(earlier[r.alert.key].incident not in ("", r.incident) for r in touched)
    shared = homes.remembered({}, turn.state.alerts.values()) if left else homes.remembered(known, touched)
    elsewhere = (r for r in touched if r.place != earlier[r.alert.key].place)
    unsure = any(leads(look.rules, record) for record in elsewhere) if look.rules else False
    return turn.remember(triaged=Triaged(turn.state.alerts, look, counts, shared, restless, unsure))


def _to_look_at(turn: Turn, before: Triaged | None) -> tuple[Look, Iterable[str], bool]:
    """What to hold alerts against, and which of them; True when it is all of them."""
    alerts, rules = turn.state.alerts, turn.state.policy.inhibitions
    silences = tuple(s for s in turn.state.silences.values() if s.active(turn.now))
    changed: list[str] = []
    if before is not None and alerts is not before.alerts:
        known = before.alerts
        changed = [k for k, r in alerts.items() if (old := known.get(k)) is not r and old != r]
    if before is not None and not before.unsure and before.look.silences == silences and before.look.rules == rules:
        pairs = [(before.alerts.get(key), alerts[key]) for key in changed]
        moved = any(old is not None and old.incident not in ("", new.incident) for old, new in pairs)
        dropped = len(alerts) != len(before.alerts) + sum(old is None for old, _ in pairs)
        if (
            not moved
            and not dropped
            and not any(leads(rules, one) for pair in pairs for one in pair if one is not None)
        ):
            restless = sorted(key for key in before.restless.difference(changed) if key in alerts)
            return before.look, [*changed, *restless], False
    return Look(silences, rules, inhibitors(rules, alerts.values())), list(alerts), True


def _judge(turn: Turn, look: Look, keys: Iterable[str], shared: Mapping[str, str]) -> tuple[Turn, list[str]]:
    """Ask the questions about the alerts ``keys``; the incidents whose alerts were acknowledged by their sender."""
    judged: list[Judged] = []
    passing: list[AlertRecord] = []
    answered: list[str] = []
    for key in keys:
        record = turn.state.alerts[key]
        if not record.firing and record.place == "over":
            continue
        answer = _over(turn, record) if not record.firing else _held_back(look, record)
        if answer is not None:
            place, why = answer
            if (place, why) != (record.place, record.why):
                kept = (record.finding, record.incident) if place in ("flapping", "over") else ("", "")
                judged.append(Judged(key, place, why, *kept))
        elif not _stays(turn, record):
            passing.append(record)
        else:
            if record.place != "grouped":
                why = "it came back while that was open"
                judged.append(Judged(key, "grouped", why, record.finding, record.incident))
            if record.alert.state == "acknowledged":
                answered.append(record.incident)
    if passing:
        turn, grouped = grouping.group(turn, passing, shared)
        judged += grouped
    return (turn.emit(AlertsJudged(tuple(judged))) if judged else turn), answered


def _held_back(look: Look, record: AlertRecord) -> Answer | None:
    words = words_of(record.alert) if look.silences or look.rules else {}
    return next((answer for ask in QUESTIONS if (answer := ask(look, record, words)) is not None), None)


def _over(turn: Turn, record: AlertRecord) -> Answer:
    why = flapping.held_open(record, turn.now) if _counted(turn, record) else ""
    return ("flapping", why) if why else ("over", f"resolved{f' by {record.alert.by}' if record.alert.by else ''}")


def _stays(turn: Turn, record: AlertRecord) -> bool:
    """Whether it is, or was a moment ago, in an incident that is still open."""
    return record.place in ("grouped", "flapping", "over", "") and _counted(turn, record)


def _counted(turn: Turn, record: AlertRecord) -> bool:
    return record.finding in turn.state.findings and _is_open(turn.state.incidents.get(record.incident))


def _is_open(incident: Incident | None) -> bool:
    return incident is not None and incident.phase != "resolved"


def _counts(before: Triaged | None, alerts: Mapping[str, AlertRecord], keys: Iterable[str]) -> dict[str, int]:
    """How many alerts keep each finding open, once ``keys`` were looked at."""
    counts = dict(before.counts) if before else {}
    for key in keys:
        for record, step in ((before.alerts.get(key) if before else None, -1), (alerts[key], 1)):
            if record is not None and record.place in COUNTING and record.finding:
                counts[record.finding] = counts.get(record.finding, 0) + step
                if counts[record.finding] == 0:
                    del counts[record.finding]
    return counts


def _closed(turn: Turn, counts: Mapping[str, int]) -> Turn:
    """Close the findings of alerts that no alert counts for any more."""
    gone = {ident for ident, f in turn.state.findings.items() if f.kind == ALERT and ident not in counts}
    if not gone:
        return turn
    latest = {r.finding: r for r in turn.state.alerts.values() if r.finding in gone}
    whys = {ident: latest[ident].why if ident in latest else "no alert says so any more" for ident in gone}
    return turn.emit(*(FindingClosed(ident, whys[ident]) for ident in sorted(gone)))


def _answered(turn: Turn, incidents: Iterable[str]) -> Turn:
    """An incident that alerts alone tell of is acknowledged once each of its firing alerts is, at its sender."""
    for ident in dict.fromkeys(incidents):
        incident = turn.state.incidents[ident]
        if incident.acknowledged_by or not incident.told_by_alerts:
            continue
        firing = [r.alert for r in turn.state.alerts.values() if r.incident == ident and r.firing]
        if firing and all(alert.state == "acknowledged" for alert in firing):
            by = max(firing, key=lambda alert: alert.at)
            turn = turn.emit(IncidentAcknowledged(ident, by.by or by.source))
    return turn
