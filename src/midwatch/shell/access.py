"""Who may do what: roles per team, scopes of programs' tokens.

    viewer       sees everything
    responder    answers: acknowledges, resolves, silences, regroups, notes, takes roles, refuses an action, says hands off
    operator     lets midwatch act: approves, undoes, sets autonomy, adjusts budgets, says hands on
    admin        all of it, in every team, and the audit

Whoever may respond may stop everything; starting it again takes an operator. A command needs the role in the teams that own
what it is about (``owned.py``); one about nothing in particular needs it for ``*``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final, get_args

from midwatch.model.errors import Forbidden
from midwatch.model.events import CommandGiven
from midwatch.model.state import State
from midwatch.shell.access_settings import AccessSettings, Role, Roles, Scope
from midwatch.shell.owned import teams_of

ROLES: Final[tuple[str, ...]] = get_args(Role)
EVERYWHERE: Final = "*"
NEEDS: Final[Mapping[str, Role]] = {
    **dict.fromkeys(("ack", "unack", "resolve", "note", "confirm_cause", "silence", "unsilence"), "responder"),
    **dict.fromkeys(("item", "item_done"), "responder"),
    **dict.fromkeys(("merge", "split", "move", "move_alert", "close_alert", "declare", "refuse", "hands_off"), "responder"),
    **dict.fromkeys(("role", "decide", "tick", "untick", "task", "task_give", "task_done", "severity"), "responder"),
    **dict.fromkeys(("escalate", "override", "override_end", "swap", "swap_answer"), "responder"),
    **dict.fromkeys(("approve", "undo", "autonomy", "adjust", "hands_on"), "operator"),
}  # fmt: skip
"""Verb -> the least role; a verb that is not listed needs an admin."""
MAX_REMEMBERED: Final = 10_000


class Access:
    """What the settings allow. ``remember`` says in which groups somebody signed in."""

    def __init__(self, settings: AccessSettings) -> None:
        self._settings = settings
        self._groups: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    @property
    def strict(self) -> bool:
        """Whether anything is set: without, whoever is let in may do everything."""
        s = self._settings
        return bool(s.people or s.oidc or s.machines or (s.proxy and s.proxy.user))

    @property
    def names(self) -> frozenset[str]:
        """Whose names nobody else may use."""
        return frozenset((*self._settings.people, *self._settings.machines))

    def remember(self, name: str, groups: Iterable[str]) -> None:
        self._groups[name] = tuple(groups)
        self._groups.move_to_end(name)
        while len(self._groups) > MAX_REMEMBERED:
            self._groups.popitem(last=False)

    def granted(self, name: str) -> tuple[Roles, ...]:
        """Everything that ``name`` was given. "" is the folder's own token or a loopback page without a sign-in: whoever has
        it owns this machine's watch."""
        s = self._settings
        if not name or not self.strict:
            return ("admin",)
        if name in s.machines:
            one = s.machines[name]
            return (one.role,) if "commands" in one.scopes else ()
        found = [s.people[name]] if name in s.people else []
        for by_group in (s.oidc, s.proxy):
            if by_group is None or name not in self._groups:
                continue
            of_groups = [by_group.roles[g] for g in self._groups[name] if g in by_group.roles]
            if not of_groups and not found and by_group.default != "none":
                of_groups = [by_group.default]
            found += of_groups
        if not found and name not in self._groups:
            return ("viewer",)  # a token of one's own, and no word on what for
        return tuple(found)

    def role(self, name: str, team: str = "") -> str:
        """The strongest role of ``name`` in ``team`` ("" for what belongs to none); "" for none at all."""
        best = -1
        for one in self.granted(name):
            given = one if isinstance(one, str) else one.get(team) or one.get(EVERYWHERE)
            best = max(best, ROLES.index(given) if given else -1)
        return ROLES[best] if best >= 0 else ""

    def sees(self, name: str) -> bool:
        """Whether ``name`` may look at anything."""
        return bool(self.granted(name))

    def scope(self, name: str, scope: Scope) -> bool:
        """A program may do what its token is for; a person's token is for everything."""
        machine = self._settings.machines.get(name)
        return machine is None or scope in machine.scopes

    def check(self, given: CommandGiven, state: State) -> None:
        """Raises Forbidden when the holder of the credential may not say this. Who comes from a chat without one is a
        stranger, not the owner of the folder."""
        who = given.credential or (given.by if given.via == "chat" else "")
        needed = NEEDS.get(given.verb, "admin")
        for team in teams_of(given, state):
            has = self.role(who, team)
            if not has or ROLES.index(has) < ROLES.index(needed):
                where = f" in the team {team}" if team else ""
                raise Forbidden(
                    f"{given.verb} takes the role {needed}{where}; {who} has {has or 'none'}",
                    hint="roles are given in the settings, under access",
                )
