"""The triage stage: what becomes of alerts that other systems sent. Each open one goes through the same list of questions,
and the first that has an answer says where it is put and why; what nothing holds back is grouped into incidents.

A function of state and now: a restart or a lost working set changes nothing, and no telemetry is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from midwatch.core.oncall import flapping, grouping
from midwatch.core.oncall.inhibition import Inhibitors, inhibitors
from midwatch.core.oncall.silences import covered, ended
from midwatch.core.turn import Turn
from midwatch.model.alerts import INFORMS, AlertRecord, Judged, Silence, words_of
from midwatch.model.events import AlertsJudged, FindingClosed
from midwatch.model.findings import ALERT

Answer = tuple[str, str]
"""(place, why)."""


@dataclass(frozen=True)
class Look:
    """What the questions are asked against, once per turn."""

    now: float
    silences: tuple[Silence, ...]
    over: Inhibitors


def silenced(look: Look, record: AlertRecord, words: Mapping[str, str]) -> Answer | None:
    return covered(look.silences, words, look.now)


def inhibited(look: Look, record: AlertRecord, words: Mapping[str, str]) -> Answer | None:
    return look.over.over(record.alert.key, words)


def informs(look: Look, record: AlertRecord, words: Mapping[str, str]) -> Answer | None:
    return ("informs", "its severity only informs") if record.alert.severity >= INFORMS else None


QUESTIONS: Final[tuple[Callable[[Look, AlertRecord, Mapping[str, str]], Answer | None], ...]] = (
    silenced,  # did somebody say beforehand that it wakes nobody?
    inhibited,  # does another alert make it needless?
    informs,  # does it want to wake anybody at all?
)


def triage(turn: Turn) -> Turn:
    """Judge every alert that is not over; journal only what changed."""
    if not turn.state.alerts and not turn.state.silences:
        return turn
    turn = ended(turn)
    alerts, state = turn.state.alerts, turn.state
    look = Look(turn.now, tuple(state.silences.values()), inhibitors(state.policy.inhibitions, alerts.values()))
    judged: list[Judged] = []
    passing: list[AlertRecord] = []
    counting: dict[str, list[AlertRecord]] = {}
    for key, record in alerts.items():
        if not record.firing and record.place == "over":
            continue
        answer = _over(turn, record) if not record.firing else _held_back(look, record)
        if answer is not None:
            place, why = answer
            counts = place == "flapping"
            if counts:
                counting.setdefault(record.finding, []).append(record)
            if (place, why) != (record.place, record.why):
                kept = (record.finding, record.incident) if counts or place == "over" else ("", "")
                judged.append(Judged(key, place, why, *kept))
        elif _stays(turn, record):
            counting.setdefault(record.finding, []).append(record)
            if record.place != "grouped":
                judged.append(
                    Judged(key, "grouped", "it came back while that was open", record.finding, record.incident)
                )
        else:
            passing.append(record)
    if passing:
        turn, grouped = grouping.group(turn, passing, counting)
        judged += grouped
    if judged:
        turn = turn.emit(AlertsJudged(tuple(judged)))
    return grouping.worse(_closed(turn, counting), counting)


def _held_back(look: Look, record: AlertRecord) -> Answer | None:
    words = words_of(record.alert) if look.silences or look.over.rules else {}
    return next((answer for ask in QUESTIONS if (answer := ask(look, record, words)) is not None), None)


def _over(turn: Turn, record: AlertRecord) -> Answer:
    why = flapping.held_open(record, turn.now) if _counts(turn, record) else ""
    return ("flapping", why) if why else ("over", f"resolved{f' by {record.alert.by}' if record.alert.by else ''}")


def _stays(turn: Turn, record: AlertRecord) -> bool:
    """Whether it is, or was a moment ago, in an incident that is still open."""
    return record.place in ("grouped", "flapping", "over", "") and _counts(turn, record)


def _counts(turn: Turn, record: AlertRecord) -> bool:
    return record.finding in turn.state.findings and grouping.is_open(turn.state.incidents.get(record.incident))


def _closed(turn: Turn, counting: Mapping[str, list[AlertRecord]]) -> Turn:
    """Close the findings of alerts that no alert counts for any more."""
    gone = [ident for ident, f in turn.state.findings.items() if f.kind == ALERT and ident not in counting]
    if not gone:
        return turn
    latest: dict[str, AlertRecord] = {}
    for record in turn.state.alerts.values():
        if record.finding in gone:
            latest[record.finding] = record
    whys = {ident: latest[ident].why if ident in latest else "no alert says so any more" for ident in gone}
    return turn.emit(*(FindingClosed(ident, whys[ident]) for ident in gone))
