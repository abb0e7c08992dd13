"""Grafana OnCall's API -> people. What its lists answer with under ``results``: users, teams, schedules, on_call_shifts,
escalation_chains, escalation_policies, integrations, routes.

Format: grafana.com/docs/oncall/latest/oncall-api-reference. Entries are known by their fields, as an answer does not say of
what it is a list. A shift of a higher ``level`` wins; those of one level that are at the same time are all on call, so each
becomes a schedule of its own. A chain is a list of steps: those between two waits are one level.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from midwatch.adapters.importers.common import (
    DAY_SECONDS,
    Imported,
    Lost,
    Names,
    Unread,
    daily,
    entries,
    known_zone,
    lanes,
    moment,
    rotation,
    schedules_of,
    text,
    utc,
    wait_of,
    weekly,
    whole,
    with_members,
)
from midwatch.model.people import (
    DAY_MINUTES,
    WEEK_MINUTES,
    Contact,
    EscalationPolicy,
    Layer,
    Level,
    Override,
    People,
    Person,
    Schedule,
    Target,
    Team,
    Window,
)

DAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_TURN: Final = {"hourly": 3600, "daily": DAY_SECONDS, "weekly": 7 * DAY_SECONDS}
REPEATS: Final = 6  # "repeat escalation" goes round five more times


def kind_of(one: dict[str, Any]) -> str:
    """What an entry is; "" for none of those that are read."""
    if "escalation_chain_id" in one and "position" in one:
        return "route" if "routing_regex" in one or "routing_type" in one else "step"
    if "duration" in one and "start" in one:
        return "shift"
    if "default_route" in one or "integration" in one:
        return "integration"
    if "on_call_now" in one or text(one, "type") in ("web", "calendar", "ical"):
        return "schedule"
    if "username" in one:
        return "user"
    if "avatar_url" in one or "email" in one:
        return "team"
    return "chain" if "name" in one and "team_id" in one else ""


def read(documents: Iterable[Any], now: float, email_channel: str = "email") -> Imported:
    """All answers together, in any order. ``now`` (unix seconds): what ended before it is left behind."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for document in documents:
        value = document.get("results", [document]) if isinstance(document, dict) else document
        for one in entries(value):
            if (kind := kind_of(one)) and text(one, "id"):
                found.setdefault(kind, {})[text(one, "id")] = one
    return _Import(found, now, email_channel).all()


class _Import:
    def __init__(self, found: dict[str, dict[str, dict[str, Any]]], now: float, channel: str) -> None:
        self.found, self.now, self.channel = found, now, channel
        self.lost: list[Lost] = []
        self.people: dict[str, str] = {}
        self.schedules: dict[str, list[Schedule]] = {}
        self.team_names: dict[str, str] = {}
        self._names = {kind: Names() for kind in ("people", "schedules", "teams", "escalations", "services")}

    def all(self) -> Imported:
        people = tuple(self._person(ident, one) for ident, one in self.found.get("user", {}).items())
        for ident, one in self.found.get("team", {}).items():
            self.team_names[ident] = self._names["teams"].of(text(one, "name"))
        for ident, one in self.found.get("schedule", {}).items():
            self._schedule(ident, one)
        policies = {}
        for ident, one in self.found.get("chain", {}).items():
            if (made := self._chain(ident, one)) is not None:
                policies[ident] = made
        schedules = tuple(s for many in self.schedules.values() for s in many)
        everybody = People(people, self._teams(policies), schedules, tuple(policies.values()))
        return Imported(with_members(everybody, self.lost), tuple(self.lost))

    def _person(self, ident: str, one: dict[str, Any]) -> Person:
        name = self.people[ident] = self._names["people"].of(text(one, "username") or text(one, "email"), ident.lower())
        zone = text(one, "timezone") or "UTC"
        try:
            known_zone(zone)
        except Unread:
            zone = "UTC"
        email = text(one, "email")
        return Person(name, text(one, "name"), zone, (Contact(self.channel, email),) if email else ())

    # -- schedules --

    def _schedule(self, ident: str, one: dict[str, Any]) -> None:
        what = f"schedule {text(one, 'name')!r}"
        if text(one, "type") == "ical":
            self.lost.append(Lost(what, "is an iCalendar feed there", "write its rotation by hand"))
            return
        if one.get("ical_url_overrides"):
            self.lost.append(Lost(what, "takes overrides from an iCalendar feed there", "enter those to come by hand"))
        zone = text(one, "time_zone") or "UTC"
        by_level: dict[int, list[Layer]] = {}
        overrides: list[tuple[str, float, float]] = []
        for shift in one.get("shifts") or ():
            read = self.found.get("shift", {}).get(str(shift))
            if read is None:
                self.lost.append(Lost(what, f"its shift {shift} is not in this export", "export on_call_shifts too"))
                continue
            try:
                known_zone(zone)
                if text(read, "type") in ("single_event", "override"):
                    overrides += self._once(read, zone)
                else:
                    by_level.setdefault(whole(read, "level"), []).extend(self._layers(read, zone))
            except Unread as error:
                self.lost.append(Lost(f"{what}, shift {text(read, 'name')!r}", str(error), "write it by hand"))
        self.schedules[ident] = self._made(what, text(one, "name"), zone, by_level, overrides)

    def _made(
        self,
        what: str,
        name: str,
        zone: str,
        by_level: dict[int, list[Layer]],
        overrides: list[tuple[str, float, float]],
    ) -> list[Schedule]:
        if not by_level:
            self.lost.append(Lost(what, "has no shift that comes again and could be kept"))
            return []
        order = sorted(by_level, reverse=True)
        wins = [layer for level in order[:-1] for layer in by_level[level]]
        if any(len(lanes(by_level[level])) > 1 for level in order[:-1]):
            self.lost.append(
                Lost(what, "several are on call at once on a level above the lowest; here the first of them")
            )
        at_once = lanes(by_level[order[-1]])
        made = schedules_of(name, zone, [[*wins, *lane] for lane in at_once], self._names["schedules"])
        if len(made) > 1:
            why = f"has several people on call at once: it became {', '.join(s.name for s in made)}"
            self.lost.append(Lost(what, why, "nothing is missing: each level that woke it wakes them all"))
        return [
            Schedule(
                s.name, s.zone, s.layers, tuple(Override(s.name, *o, by="file", reason="OnCall") for o in overrides)
            )
            for s in made
        ]

    def _once(self, read: dict[str, Any], zone: str) -> list[tuple[str, float, float]]:
        start = utc(moment(read.get("start"), text(read, "time_zone") or zone))
        end = start + whole(read, "duration")
        people = self._who([*(read.get("users") or ())])
        if end <= self.now:
            return []
        if len(people) > 1:
            raise Unread("one event of several people")
        return [(people[0], start, end)]

    def _layers(self, read: dict[str, Any], zone: str) -> list[Layer]:
        """One layer for each who is on call at once. Raises Unread."""
        own = text(read, "time_zone")
        start = moment(read.get("rotation_start") or read.get("start"), own or zone)
        if own and own != zone and start.utcoffset() != moment(start.replace(tzinfo=None), zone).utcoffset():
            raise Unread(f"it has a zone of its own, {own}")
        until = moment(read["until"], zone) if read.get("until") else None
        if until is not None and utc(until) <= self.now:
            return []
        first = moment(read.get("start"), own or zone)
        rolling = read.get("rolling_users") if text(read, "type") == "rolling_users" else None
        groups = [self._who(group) for group in rolling] if rolling else [self._who(read.get("users") or [])]
        index = whole(read, "start_rotation_from_user_index") % len(groups)
        groups = [*groups[index:], *groups[:index]]
        most = max(map(len, groups))
        if any(len(group) != most for group in groups):
            raise Unread("its groups have different sizes")
        turn, windows = _pattern(read, first.hour * 60 + first.minute, first.weekday(), len(groups) > 1)
        ends = until.date().isoformat() if until else ""
        return [
            Layer(text(read, "name")[:60], rotation([g[n] for g in groups], first, turn), windows, "as_usual", ends)
            for n in range(most)
        ]

    def _who(self, idents: Iterable[Any]) -> list[str]:
        found = []
        for ident in idents:
            if str(ident) not in self.people:
                raise Unread(f"user {ident} is not in this export")
            found.append(self.people[str(ident)])
        if not found:
            raise Unread("it has nobody")
        return found

    # -- escalation and teams --

    def _chain(self, ident: str, one: dict[str, Any]) -> EscalationPolicy | None:
        what = f"escalation chain {text(one, 'name')!r}"
        steps = [s for s in self.found.get("step", {}).values() if text(s, "escalation_chain_id") == ident]
        levels: list[Level] = []
        targets: list[Target] = []
        rounds, in_turn = 1, False
        for step in sorted(steps, key=lambda s: whole(s, "position")):
            kind = text(step, "type")
            if kind == "wait":
                wait = float(whole(step, "duration", 300))
                if targets:
                    levels.append(Level(tuple(dict.fromkeys(targets)), wait_of(wait, what, self.lost), in_turn=in_turn))
                elif not levels:
                    self.lost.append(Lost(what, f"waits {wait:g} s before it wakes anybody there, and not at all here"))
                else:
                    longer = levels[-1].wait_seconds + wait
                    levels[-1] = Level(levels[-1].targets, wait_of(longer, what, self.lost), in_turn=levels[-1].in_turn)
                targets, in_turn = [], False
            elif kind == "repeat_escalation":
                rounds = REPEATS
            else:
                targets += self._targets(step, kind, what)
                in_turn = in_turn or kind == "notify_person_next_each_time"
        if targets:
            levels.append(Level(tuple(dict.fromkeys(targets)), in_turn=in_turn))
        if not levels:
            self.lost.append(Lost(what, "has no step that could be kept"))
            return None
        return EscalationPolicy(self._names["escalations"].of(text(one, "name")), tuple(levels), rounds)

    def _targets(self, step: dict[str, Any], kind: str, what: str) -> list[Target]:
        if kind == "notify_on_call_from_schedule":
            ident = text(step, "notify_on_call_from_schedule")
            found = [Target("schedule", s.name) for s in self.schedules.get(ident, [])]
        elif kind in ("notify_persons", "notify_person_next_each_time"):
            key = "persons_to_notify" if kind == "notify_persons" else "persons_to_notify_next_each_time"
            found = [Target("person", self.people[str(i)]) for i in step.get(key) or () if str(i) in self.people]
        elif kind == "notify_team_members":
            ident = text(step, "team_to_notify") or text(step, "notify_to_team_members")
            found = [Target("team", self.team_names[ident])] if ident in self.team_names else []
        else:
            found = []
        if not found:
            self.lost.append(Lost(what, f"its step {kind or '?'} was not kept"))
        return found

    def _teams(self, policies: dict[str, EscalationPolicy]) -> tuple[Team, ...]:
        """Integrations are the services of their team; the chain of its default route is what pages it."""
        services: dict[str, list[str]] = {}
        chains: dict[str, dict[str, None]] = {}
        for one in self.found.get("integration", {}).values():
            team = text(one, "team_id")
            services.setdefault(team, []).append(f"service:{self._names['services'].of(text(one, 'name'))}")
            default = one.get("default_route")
            chain = text(default, "escalation_chain_id") if isinstance(default, dict) else ""
            if chain in policies:
                chains.setdefault(team, {})[policies[chain].name] = None
        for ident, one in self.found.get("chain", {}).items():
            if ident in policies and not chains.get(text(one, "team_id")):
                chains.setdefault(text(one, "team_id"), {})[policies[ident].name] = None
        if self.found.get("route"):
            self.lost.append(
                Lost("routes", "chose a chain by the alert's text there", "a service's owner does so here")
            )
        teams = []
        for ident, name in self.team_names.items():
            own = list(chains.get(ident, ()))
            if len(own) > 1:
                why = f"has {len(own)} chains there, {own[0]} was taken"
                self.lost.append(Lost(f"team {name!r}", why, "say under escalation: which one pages it"))
            members = [
                self.people[user]
                for user, one in self.found.get("user", {}).items()
                if ident in (one.get("teams") or ())
            ]
            teams.append(Team(name, tuple(members), tuple(services.get(ident, ())), own[0] if own else ""))
        if services.get(""):
            why = f"{', '.join(services[''])} belong to no team there"
            self.lost.append(Lost("integrations", why, "give each to a team under services:"))
        return tuple(teams)


def _pattern(read: dict[str, Any], minute: int, weekday: int, turns: bool) -> tuple[int, tuple[Window, ...]]:
    """The length of a turn in seconds, and the hours of the week. Raises Unread for what has gaps that no week shows."""
    frequency, interval = text(read, "frequency"), max(1, whole(read, "interval", 1))
    length = whole(read, "duration") // 60
    days = [DAYS.index(day) for day in read.get("by_day") or () if day in DAYS]
    if read.get("by_month") or read.get("by_monthday") or frequency not in _TURN:
        raise Unread(f"it comes again {frequency or 'never'}, by month or day of the month")
    turn = _TURN[frequency] * interval
    if frequency == "weekly":
        if interval > 1 and length < interval * WEEK_MINUTES:
            raise Unread(f"it is on call in one of {interval} weeks only")
        return turn, weekly([day * DAY_MINUTES + minute for day in days or [weekday]], length)
    if frequency == "daily" and days:
        if turns and len(days) < 7:
            raise Unread("its daily turns skip days of the week")
        return turn, weekly([day * DAY_MINUTES + minute for day in days], length)
    if length * 60 >= turn:
        return turn, ()
    if frequency == "daily" and interval == 1:
        return turn, daily(minute, length)
    raise Unread(f"its turns of {turn / 3600:g} h are on call for {length / 60:g} h only")
