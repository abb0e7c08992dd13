"""What people say about shifts and escalations becomes events, or a refusal with its reason: stand-ins, swaps, "wake the
next ones". It belongs to the obey stage, and stands here because it needs to know who is on call.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from math import isfinite
from typing import Final

from midwatch.core.oncall import escalation
from midwatch.core.oncall.notices import notice, span, zone_of
from midwatch.core.oncall.owners import escalation_of, policy_of, team_of
from midwatch.core.oncall.wake import JUST_AFTER_SECONDS, answered
from midwatch.core.turn import Turn
from midwatch.model.events import (
    AcknowledgementExpired,
    CommandGiven,
    CommandRefused,
    EscalationAdvanced,
    EscalationStarted,
    OverrideEnded,
    OverrideSet,
    SwapAnswered,
    SwapAsked,
)
from midwatch.model.people import Override, Swap, Team
from midwatch.model.people_steps import MAX_OVERRIDES

NOBODY: Final = "nobody"
ANYBODY: Final = "anybody"
AHEAD_SECONDS: Final = 400 * 86400.0
_ANSWERS: Final = {"accept": "accepted", "refuse": "refused", "withdraw": "withdrawn"}


def rota(turn: Turn) -> Turn:
    """Carry out what this tick's commands say about people, in order."""
    for said in turn.inputs:
        if isinstance(said, CommandGiven) and said.verb in _VERBS:
            turn = _VERBS[said.verb](turn, said)
    return turn


def why_not(turn: Turn, said: CommandGiven) -> str:
    """Why the next turn would refuse it, as far as ``turn`` knows; "" when it would obey, or it is no word about people. A
    rehearsal: nothing comes of it."""
    verb = _VERBS.get(said.verb)
    if verb is None:
        return ""
    told = verb(turn, said).events
    return next((event.why for event in told if isinstance(event, CommandRefused)), "")


def _refused(turn: Turn, said: CommandGiven, why: str) -> Turn:
    return turn.emit(CommandRefused(said.verb, said.target, said.by, why))


def _escalate(turn: Turn, said: CommandGiven) -> Turn:
    """Wake the next level of the incident ``target`` now, or with ``value`` another team's first."""
    incident = turn.state.incidents.get(said.target)
    if incident is None:
        return _refused(turn, said, f"no incident is called {said.target!r}")
    if incident.phase == "resolved":
        return _refused(turn, said, f"{incident.id} is resolved")
    people = turn.state.policy.people
    name = said.value.removeprefix("team:")
    other = people.team(name) if name else None
    if name and (other is None or policy_of(people, other) is None):
        return _refused(turn, said, f"there is no team {name!r} with an escalation")
    policy = policy_of(people, other) if other else escalation_of(turn.state, incident)
    if policy is None:
        return _refused(turn, said, "no people file says whom to wake for it")
    run = turn.state.escalations.get(incident.id)
    if run is None or other is not None or answered(incident, run):
        team: Team | None = other or team_of(turn.state, incident)[0]
        number, why = run.number + 1 if run else 1, f"{said.by or 'somebody'} asks for help"
        taken = turn.state.turns.get(policy.name, 0)
        name = team.name if team else ""
        turn = turn.emit(EscalationStarted(incident.id, policy.name, name, why, number, taken, said.by or "somebody"))
        if run is None or other is not None:
            return turn
    run = turn.state.escalations[incident.id]
    elapsed = escalation.elapsed(run, turn.now)
    following = escalation.next_level(policy, incident.severity, elapsed)
    if following is None:
        return _refused(turn, said, "all its levels are awake")
    level, begins = following
    ahead = run.ahead_seconds + begins - elapsed + JUST_AFTER_SECONDS
    why = f"{said.by or 'somebody'} asks for help"
    return turn.emit(EscalationAdvanced(incident.id, level + 1, ahead, why, said.by or "somebody"))


def _unack(turn: Turn, said: CommandGiven) -> Turn:
    """The acknowledgement of the incident ``target`` holds no longer: who is on call now is woken from the first level."""
    incident = turn.state.incidents.get(said.target)
    if incident is None:
        return _refused(turn, said, f"no incident is called {said.target!r}")
    if incident.phase == "resolved":
        return _refused(turn, said, f"{incident.id} is resolved")
    if not incident.acknowledged_by:
        return _refused(turn, said, f"nobody has acknowledged {incident.id}")
    run, policy = turn.state.escalations.get(incident.id), escalation_of(turn.state, incident)
    why = f"{said.by or 'somebody'} took it back" + (f": {said.note}" if said.note else "")
    turn = turn.emit(AcknowledgementExpired(incident.id, incident.acknowledged_by, why))
    if run is None or policy is None or not answered(incident, run):
        return turn
    team, _ = team_of(turn.state, incident)
    policy = policy_of(turn.state.policy.people, team) or policy
    taken = turn.state.turns.get(policy.name, 0)
    return turn.emit(EscalationStarted(incident.id, policy.name, team.name if team else "", why, run.number + 1, taken))


def _override(turn: Turn, said: CommandGiven) -> Turn:
    """``value`` is ``PERSON BEGIN END`` and maybe whom that relieves, for the schedule ``target``; ``note`` says why."""
    words = said.value.split()
    if len(words) not in (3, 4):
        return _refused(turn, said, "say who stands in, a begin and an end, and maybe instead of whom")
    person = "" if words[0] == NOBODY else words[0]
    instead_of = words[3] if len(words) == 4 else ""
    why = _wrong(turn, said.target, (person, instead_of), words[1], words[2])
    if why:
        return _refused(turn, said, why)
    if len(turn.state.overrides) >= MAX_OVERRIDES:
        return _refused(turn, said, f"there are {MAX_OVERRIDES} overrides: write the lasting ones into the schedule")
    made = _made(turn, said.target, person, _at(words[1]), _at(words[2]), instead_of, said.by, said.note)
    turn = turn.emit(OverrideSet(made))
    turn = _tell(turn, said.by, made, made.instead_of, f"{made.ident}/relieved", "is relieved")
    if made.start_at <= turn.now:
        return turn  # who comes on call now hears it as a hand-off
    return _tell(turn, said.by, made, made.person, made.ident, "stands in")


def _tell(turn: Turn, by: str, one: Override, ident: str, key: str, what: str) -> Turn:
    """A notice of a stand-in to the person ``ident``; none to who said it, or where it names nobody."""
    person, schedule = turn.state.policy.people.person(ident), turn.state.policy.people.schedule(one.schedule)
    if person is None or ident == by:
        return turn
    who = by or "somebody"
    subject = {
        "stands in": f"{who} put you on call in {one.schedule} ({one.ident})",
        "is relieved": f"{who} relieved you in {one.schedule} ({one.ident})",
        "is over": f"{who} ended your standing in for {one.schedule} ({one.ident})",
    }[what]
    text = f"It is about {span(one.start_at, one.end_at, zone_of(person, schedule))}."
    text += f"\nWhy: {one.reason}" if one.reason else ""
    return turn.emit(*notice(turn.state, person, key, subject, text))


def _override_end(turn: Turn, said: CommandGiven) -> Turn:
    known = next((o for o in turn.state.overrides if o.ident == said.target), None)
    if known is None or known.end_at <= turn.now:
        return _refused(turn, said, f"no override that holds is called {said.target!r}")
    turn = turn.emit(OverrideEnded(known.ident, said.by))
    return _tell(turn, said.by, known, known.person, f"{known.ident}/ended", "is over")


def _swap(turn: Turn, said: CommandGiven) -> Turn:
    """``by`` asks: ``value`` is ``PERSON BEGIN END`` (``anybody`` for whoever takes it) for the schedule ``target``, and
    maybe the begin and the end of what is taken in return."""
    words = said.value.split()
    if len(words) not in (3, 5):
        return _refused(turn, said, "say whom you ask, a begin and an end, and maybe those of the shift in return")
    to = "" if words[0] == ANYBODY else words[0]
    why = _wrong(turn, said.target, (to, said.by or "?"), words[1], words[2])
    if not why and len(words) == 5:
        why = _wrong(turn, said.target, (), words[3], words[4])
    if not why and to == said.by:
        why = "you cannot swap with yourself"
    if why:
        return _refused(turn, said, why)
    back = (_at(words[3]), _at(words[4])) if len(words) == 5 else (0.0, 0.0)
    swap = Swap(f"SWP-{turn.state.next_swap}", said.target, said.by, _at(words[1]), _at(words[2]), to, *back)
    turn = turn.emit(SwapAsked(swap))
    subject = f"{said.by} asks you to take a shift of {swap.schedule} ({swap.ident})"
    asked = turn.state.policy.people.person(to)
    text = _asked(swap, zone_of(asked, turn.state.policy.people.schedule(swap.schedule)))
    return turn.emit(*notice(turn.state, asked, swap.ident, subject, text))


def _asked(swap: Swap, zone: str) -> str:
    lines = [f"The shift: {span(swap.start_at, swap.end_at, zone)}."]
    if swap.back_end_at > swap.back_start_at:
        lines.append(f"In return {swap.by} takes: {span(swap.back_start_at, swap.back_end_at, zone)}.")
    lines.append(f"Say yes: midwatch oncall accept {swap.ident}. Say no: midwatch oncall decline {swap.ident}.")
    return "\n".join(lines)


def _swap_answer(turn: Turn, said: CommandGiven) -> Turn:
    """``value`` is accept, refuse or withdraw, for the swap ``target``. Who is asked accepts or refuses, who asked
    withdraws; what was put to anybody, anybody else may accept."""
    swap = next((s for s in turn.state.swaps if s.ident == said.target), None)
    if swap is None or swap.answer:
        return _refused(turn, said, f"no open swap is called {said.target!r}")
    if said.value not in _ANSWERS:
        return _refused(turn, said, "say accept, refuse or withdraw")
    if said.value == "withdraw" and said.by != swap.by:
        return _refused(turn, said, f"only {swap.by} can withdraw it")
    if said.value != "withdraw" and (said.by == swap.by or said.by != (swap.to or said.by)):
        return _refused(turn, said, f"{swap.to or 'somebody else'} is asked, not {said.by or 'you'}")
    if said.value == "refuse" and not swap.to:
        return _refused(turn, said, "it was put to anybody: leave it, and somebody else may take it")
    if said.value == "accept":
        why = _wrong(turn, swap.schedule, (said.by or "?",), f"{swap.start_at}", f"{swap.end_at}")
        if why:
            return _refused(turn, said, why)
    answer = _ANSWERS[said.value]
    turn = turn.emit(SwapAnswered(swap.ident, answer, said.by))  # type: ignore[arg-type]
    if said.by != swap.by:
        asker = turn.state.policy.people.person(swap.by)
        zone = zone_of(asker, turn.state.policy.people.schedule(swap.schedule))
        text = f"It is about {span(swap.start_at, swap.end_at, zone)}."
        said_it = f"{said.by} {answer} your swap {swap.ident} of {swap.schedule}"
        turn = turn.emit(*notice(turn.state, asker, f"{swap.ident}/{answer}", said_it, text))
    if said.value != "accept":
        return turn
    made = (turn, swap.schedule, said.by, swap.start_at, swap.end_at, swap.by, said.by, swap.ident)
    turn = turn.emit(OverrideSet(_made(*made)))
    if swap.back_end_at > swap.back_start_at:
        back = (turn, swap.schedule, swap.by, swap.back_start_at, swap.back_end_at, said.by, said.by, swap.ident)
        turn = turn.emit(OverrideSet(_made(*back)))
    return turn


def _made(
    turn: Turn, schedule: str, person: str, start_at: float, end_at: float, instead_of: str, by: str, reason: str
) -> Override:
    ident = f"OVR-{turn.state.next_override}"
    return Override(schedule, person, start_at, end_at, instead_of, by, reason.strip()[:500], ident)


def _wrong(turn: Turn, schedule: str, named: tuple[str, ...], begin: str, end: str) -> str:
    """Why nobody can stand in like that; "" when they can."""
    people = turn.state.policy.people
    if people.schedule(schedule) is None:
        return f"there is no schedule {schedule!r}"
    unknown = [ident for ident in named if ident and people.person(ident) is None]
    if unknown:
        return f"no people file knows {unknown[0]!r}"
    start_at, end_at = _at(begin), _at(end)
    if not (isfinite(start_at) and isfinite(end_at)):
        return "a time is written like 2026-11-25T10:00:00Z, with its zone, or in unix seconds"
    if not start_at < end_at or end_at <= turn.now or end_at > turn.now + AHEAD_SECONDS:
        return "a shift ends after it begins, in the future, within 400 days"
    return ""


def _at(word: str) -> float:
    """Unix seconds; NaN for what is no time, or has no zone."""
    with suppress(ValueError):
        return float(word)
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(word)
        if moment.tzinfo is not None:
            return moment.timestamp()
    return float("nan")


_VERBS: Final[dict[str, Callable[[Turn, CommandGiven], Turn]]] = {
    "unack": _unack,
    "escalate": _escalate,
    "override": _override,
    "override_end": _override_end,
    "swap": _swap,
    "swap_answer": _swap_answer,
}
