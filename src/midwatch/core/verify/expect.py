"""The verify stage: did what was done change what it should? Only the World says so.

An expectation is met, missed (and taken back, through the guards) or unknown (held, and paged). Nothing sleeps: the
deadline is kept in state, and a later tick finds it passed.
"""

from __future__ import annotations

import math

from midwatch.core.decide.expectation import holds
from midwatch.core.decide.propose import OPEN
from midwatch.core.decide.sight import harm, place, sees_incident, warming_up
from midwatch.core.decide.stage import judged, put, undo_action, undo_of
from midwatch.core.slo.measure import measure
from midwatch.core.turn import Turn
from midwatch.model.actions import Check, Expectation
from midwatch.model.events import ExpectationJudged
from midwatch.model.state import ActionRecord
from midwatch.model.world import World


def verify(turn: Turn) -> Turn:
    """Judge every action that is done and has an expectation; take back what missed."""
    verifying = [r for r in turn.state.actions.values() if r.status == "done" and not r.action.undo_of]
    for record in verifying:
        turn = _judge(turn, record)
    held = {k: v for k, v in turn.memory.held_since.items() if _status(turn, k) == "done"}
    if held != turn.memory.held_since:
        turn = turn.remember(held_since=held)
    for record in tuple(turn.state.actions.values()):
        if record.status == "missed":
            turn = _take_back(turn, record)
    return turn


def _status(turn: Turn, action_id: str) -> str:
    record = turn.state.actions.get(action_id)
    return record.status if record else ""


def _judge(turn: Turn, record: ActionRecord) -> Turn:
    expected, done_at = record.action.expectation, record.ended_at
    if done_at is None or warming_up(turn.memory, turn.now):
        return turn
    if expected is None or not expected.checks:
        return _without_checks(turn, record, done_at)
    values = [_value(turn.world, check, done_at) for check in expected.checks]
    since = turn.memory.held_since.get(record.action.id)
    if all(holds(check, value) for check, value in zip(expected.checks, values, strict=True)):
        since = turn.now if since is None else since
        if turn.now - since >= expected.hold_seconds:
            return _say(turn, record, "met", f"{_sentence(expected, values)}, for {turn.now - since:.0f} s")
        return turn.remember(held_since={**turn.memory.held_since, record.action.id: since})
    if since is not None:
        kept = {k: v for k, v in turn.memory.held_since.items() if k != record.action.id}
        turn = turn.remember(held_since=kept)
    if turn.now <= _deadline(turn, done_at, expected):
        return turn
    waited = turn.now - done_at
    if any(math.isnan(v) for v in values):
        return _say(turn, record, "unknown", f"no data after {waited:.0f} s: {_sentence(expected, values)}")
    if _calm(turn, record.action.incident) or _users_well(turn, record.action.incident, expected, values):
        return _say(turn, record, "met", f"users no longer feel it ({_sentence(expected, values)})")
    return _say(turn, record, "missed", f"after {waited:.0f} s {_sentence(expected, values)}")


def _deadline(turn: Turn, done_at: float, expected: Expectation) -> float:
    """Counted from the effect, or from when the working set came back: its loss must not make anything missed."""
    return max(done_at, turn.memory.started_at) + expected.within_seconds


def _without_checks(turn: Turn, record: ActionRecord, done_at: float) -> Turn:
    """Nothing measurable was promised: it is judged by whether users still feel the incident, after the usual time."""
    if turn.now - done_at < Expectation(()).within_seconds:
        return turn
    incident = turn.state.incidents.get(record.action.incident)
    if incident is None or not sees_incident(turn.world, incident):
        return _say(turn, record, "unknown", "no data of what hurt")
    if _calm(turn, record.action.incident):
        return _say(turn, record, "met", "users no longer feel it")
    return _say(turn, record, "missed", "users still feel it")


def _calm(turn: Turn, incident_id: str) -> bool:
    incident = turn.state.incidents.get(incident_id)
    return incident is not None and not harm(turn.state, incident) and sees_incident(turn.world, incident)


def _users_well(turn: Turn, incident_id: str, expected: Expectation, values: list[float]) -> bool:
    """Where requests enter, all is as expected. What goes on behind may be no longer of their making: an instance that is
    drained still takes work from its queue, and to send it requests again would help nobody."""
    incident = turn.state.incidents.get(incident_id)
    entry = incident.impact.entry if incident is not None and incident.impact is not None else ""
    felt = [holds(c, value) for c, value in zip(expected.checks, values, strict=True) if c.subject == entry]
    return bool(felt) and all(felt)


def _value(world: World, check: Check, done_at: float) -> float:
    """What the check is about, over steps that lie after the effect only; NaN while there is none, or no data."""
    since = world.series.end_at - done_at
    window = min(check.window_seconds, math.floor(since / world.series.step_seconds) * world.series.step_seconds)
    return measure(world, check.subject, check.signal, window) if window > 0 else float("nan")


def _say(turn: Turn, record: ActionRecord, result: str, why: str) -> Turn:
    return turn.emit(ExpectationJudged(record.action.id, result, why))


def _sentence(expected: Expectation, values: list[float]) -> str:
    return ", ".join(said(check, value) for check, value in zip(expected.checks, values, strict=True))


def said(check: Check, value: float) -> str:
    """``error ratio of gateway is 1.2 % (wanted <= 3.0 %)``."""
    name = check.signal.partition(":")[0].replace("_", " ")
    seen = "unknown" if math.isnan(value) else number(value, check.unit)
    return (
        f"{name} of {place(check.subject)} is {seen} (wanted {check.comparison} {number(check.threshold, check.unit)})"
    )


def number(value: float, unit: str) -> str:
    """A number as people read it: a ratio as a percentage, else with its unit."""
    if unit == "ratio":
        return f"{100 * value:.1f} %"
    return f"{value:.3g} {unit}".strip() if abs(value) < 1000 else f"{value:.0f} {unit}".strip()


def _take_back(turn: Turn, record: ActionRecord) -> Turn:
    """The undo of a missed action, through the guards; while they refuse, it is judged again each tick."""
    incident = turn.state.incidents.get(record.action.incident)
    before = undo_of(turn, record.action.id)
    if incident is None or incident.phase == "resolved" or (before is not None and before.status not in OPEN):
        return turn
    action = undo_action(turn, record, f"{record.action.id} missed: {record.result_why}")
    return turn if action is None else put(turn, action, judged(turn, action), before)
