"""Who must say yes: nobody, a person, two people; or it is only said what would be done."""

from __future__ import annotations

import math
from typing import Final

from midwatch.core.decide.guards.context import Context
from midwatch.core.decide.sight import hurt, place, service_of, standing
from midwatch.model.actions import AUTONOMY_LADDER, Action, Verdict
from midwatch.model.entity import kind_of

NEARLY_TOTAL: Final = 0.8
STOPS: Final = frozenset({"restart"})
"""Verbs during which the target serves nobody."""


def rehearsal(action: Action, context: Context) -> Verdict | None:
    if not context.state.policy.rehearse:
        return None
    return Verdict("rehearse", "rehearsal", "a rehearsal: everything is judged and nothing is touched")


def shadow(action: Action, context: Context) -> Verdict | None:
    level, because = _level(action, context)
    if level != "shadow":
        return None
    return Verdict("rehearse", "shadow", f"{because}: midwatch says what it would do and touches nothing")


def irreversible(action: Action, context: Context) -> Verdict | None:
    """Two names with one credential may be one person."""
    people = min(len(set(context.approved_by)), len(set(context.credentials)))
    if action.action_class != "irreversible" or people >= 2:
        return None
    why = f"it cannot be taken back: two people must say yes, each with a token of their own, and {people} did"
    return Verdict("ask", "irreversible", why)


def own_undo(action: Action, context: Context) -> Verdict | None:
    """Whoever allowed the action allowed its undo: it was declared with it."""
    if not action.undo_of:
        return None
    return Verdict("run", "undo", f"takes {action.undo_of} back")


def approved(action: Action, context: Context) -> Verdict | None:
    people = sorted(set(context.approved_by))
    return Verdict("run", "approved", f"approved by {' and '.join(people)}") if people else None


def only_one(action: Action, context: Context) -> Verdict | None:
    """Stopping the only instance of what still serves somebody well makes an outage out of a slowness: a person says yes,
    unless the playbook accepts the downtime. It never allows more than the level does."""
    if action.verb not in STOPS or action.undo_of or (context.playbook and context.playbook.accepts_downtime):
        return None
    if _level(action, context)[0] not in ("canary", "auto"):
        return None
    service = service_of(context.world, action.target)
    left = [key for key in standing(context.world, service) if key != action.target]
    share = hurt(context.state, context.world, service)
    if len(left) >= (1 if action.target != service else 2) or share >= NEARLY_TOTAL:
        return None
    why = f"no second instance of {place(service)} is seen that would serve meanwhile"
    served = "nobody knows how many it serves well" if math.isnan(share) else f"{1 - share:.0%} is still served well"
    return Verdict("ask", "only_one", f"{why}, and {served}: a person must say yes")


def autonomy(action: Action, context: Context) -> Verdict | None:
    level, because = _level(action, context)
    if level == "suggest":
        return Verdict("rehearse", "autonomy", f"{because}: midwatch suggests, people act")
    if level == "ask":
        return Verdict("ask", "autonomy", f"{because}: a person must say yes")
    if level == "canary":
        if kind_of(action.target) == "instance" or action.blast_radius <= 1:
            return Verdict("run", "autonomy", f"{because}: it touches one thing only")
        return Verdict(
            "ask", "autonomy", f"{because}: it can touch {action.blast_radius} things, so a person must say yes"
        )
    if level == "auto":
        return Verdict("run", "autonomy", because)
    return None


def _level(action: Action, context: Context) -> tuple[str, str]:
    """The lower of the mode and of what the playbook has earned, and a sentence that says which."""
    mode = context.state.policy.mode
    book = context.state.playbooks.get(action.playbook)
    if action.undo_of or book is None:
        return mode, f"the mode is {mode}"
    if _rung(book.level) < _rung(mode):
        earned = f"{book.met} met, {book.missed} missed"
        return book.level, f"the playbook {action.playbook} is at {book.level} ({earned})"
    return mode, f"the mode is {mode}"


def _rung(level: str) -> int:
    return AUTONOMY_LADDER.index(level) if level in AUTONOMY_LADDER else 0
