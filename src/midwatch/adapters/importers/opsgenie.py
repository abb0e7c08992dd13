"""Opsgenie's API -> people. What its lists answer with under ``data``: users, teams, schedules, overrides of a schedule,
escalations, services.

Format: docs.opsgenie.com/docs/{user,team,schedule,schedule-override,escalation,service}-api. An answer does not say of what
it is a list, so each entry is known by its fields. There, all rotations of a schedule are on call at once; where two are at
the same time, each becomes a schedule of its own and is woken with the other. A rule's delay counts from the alert on.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final

from midwatch.adapters.importers.common import (
    DAY_SECONDS,
    Imported,
    Lost,
    Names,
    Unread,
    daily,
    entries,
    from_minutes,
    known_zone,
    lanes,
    minutes_of,
    moment,
    rotation,
    schedules_of,
    text,
    utc,
    wait_of,
    weekly,
    whole,
    with_members,
    within,
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

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TURN: Final = {"hourly": 3600, "daily": DAY_SECONDS, "weekly": 7 * DAY_SECONDS}
_UNIT: Final = {"seconds": 1, "minutes": 60, "hours": 3600, "days": DAY_SECONDS}


def kind_of(one: dict[str, Any]) -> str:
    """What an entry is; "" for none of those that are read."""
    if "rules" in one and "recipient" in str(one["rules"]):
        return "escalation"
    if "timezone" in one:
        return "schedule"
    if "username" in one:
        return "user"
    if "startDate" in one and "alias" in one:
        return "override"
    if "teamId" in one:
        return "service"
    return "team" if "members" in one or "links" in one or set(one) <= {"id", "name", "description"} else ""


def read(documents: Iterable[Any], now: float, email_channel: str = "email") -> Imported:
    """All answers together, in any order. ``now`` (unix seconds): what ended before it is left behind."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for document in documents:
        value = document.get("data") if isinstance(document, dict) else None
        for one in entries(value if isinstance(value, list) else [value]):
            ident = text(one, "id") or text(one, "alias")
            if kind := kind_of(one):
                of = found.setdefault(kind, {})
                of[ident] = {**of.get(ident, {}), **one}
    return _Import(found, now, email_channel).all()


class _Import:
    def __init__(self, found: dict[str, dict[str, dict[str, Any]]], now: float, channel: str) -> None:
        self.found, self.now, self.channel = found, now, channel
        self.lost: list[Lost] = []
        self.people: dict[str, str] = {}  # their id, and their username, -> ours
        self.schedules: dict[str, list[Schedule]] = {}  # their id, and their name
        self.teams: dict[str, str] = {}
        self._schedule_names, self._people_names = Names(), Names()

    def all(self) -> Imported:
        people = tuple(map(self._person, self._of("user")))
        names = Names()
        for one in self._of("team"):
            self.teams[text(one, "id")] = self.teams[text(one, "name")] = names.of(text(one, "name"))
        for one in self._of("schedule"):
            self._schedule(one)
        self._overrides()
        policies: list[EscalationPolicy] = []
        of_team: dict[str, list[str]] = {}
        policy_names = Names()
        for one in self._of("escalation"):
            made = self._policy(one, policy_names)
            if made is not None:
                policies.append(made)
                of_team.setdefault(text(within(one, "ownerTeam") or {}, "id"), []).append(made.name)
        teams = tuple(self._team(one, of_team) for one in self._of("team"))
        schedules = {s.name: s for many in self.schedules.values() for s in many}
        everybody = with_members(People(people, teams, tuple(schedules.values()), tuple(policies)), self.lost)
        return Imported(everybody, tuple(self.lost))

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return list(self.found.get(kind, {}).values())

    def _person(self, one: dict[str, Any]) -> Person:
        username = text(one, "username")
        name = self._people_names.of(username.partition("@")[0] or text(one, "fullName"))
        self.people[text(one, "id")] = self.people[username] = name
        zone = text(one, "timeZone") or "UTC"
        try:
            known_zone(zone)
        except Unread as error:
            self.lost.append(Lost(f"user {name}", str(error), "UTC was taken"))
            zone = "UTC"
        contacts = (Contact(self.channel, username),) if "@" in username else ()
        known_as = tuple(dict.fromkeys(filter(None, (text(one, "id"), username))))
        return Person(name, text(one, "fullName"), zone, contacts, known_as=known_as)

    # -- schedules --

    def _schedule(self, one: dict[str, Any]) -> None:
        what = f"schedule {text(one, 'name')!r}"
        if one.get("enabled") is False:
            self.lost.append(Lost(what, "is switched off there"))
            return
        if "rotations" not in one:
            self.lost.append(Lost(what, "has no rotations in this export", "export it with ?expand=rotation"))
            return
        try:
            zone = known_zone(text(one, "timezone"))
        except Unread as error:
            self.lost.append(Lost(what, str(error)))
            return
        layers = []
        for read in entries(one.get("rotations")):
            try:
                layer = self._layer(read, zone, f"{what}, {text(read, 'name')}")
            except Unread as error:
                self.lost.append(Lost(f"{what}, {text(read, 'name') or 'a rotation'}", str(error), "write it by hand"))
                continue
            if layer is not None:
                layers.append(layer)
        made = schedules_of(text(one, "name"), zone, lanes(layers), self._schedule_names)
        if len(made) > 1:
            why = f"has rotations that are on call at once: it became {', '.join(s.name for s in made)}"
            self.lost.append(Lost(what, why, "nothing is missing: each level that woke it wakes them all"))
        if not made:
            self.lost.append(Lost(what, "has no rotation that could be kept"))
        self.schedules[text(one, "id")] = self.schedules[text(one, "name")] = made

    def _layer(self, read: dict[str, Any], zone: str, what: str) -> Layer | None:
        """None for one that is over. Raises Unread."""
        ends = moment(read["endDate"], zone) if read.get("endDate") else None
        if ends is not None and utc(ends) <= self.now:
            return None
        people = []
        for one in entries(read.get("participants")):
            name = self.people.get(text(one, "id")) or self.people.get(text(one, "username"))
            if text(one, "type") != "user" or name is None:
                raise Unread(f"a turn of {text(one, 'type') or 'somebody'} {text(one, 'username') or text(one, 'id')}")
            people.append(name)
        if not people:
            raise Unread("it has nobody")
        turn = _TURN.get(text(read, "type"))
        if turn is None:
            raise Unread(f"turns of the kind {read.get('type')!r}")
        length = turn * whole(read, "length", 1)
        if len(set(people)) == 1:
            people, length = people[:1], max(DAY_SECONDS, length - length % DAY_SECONDS)
        made = rotation(people, moment(read.get("startDate"), zone), length)
        return Layer(
            text(read, "name")[:60],
            made,
            self._windows(read.get("timeRestriction")),
            "as_usual",
            ends.date().isoformat() if ends else "",
        )

    def _windows(self, read: Any) -> tuple[Window, ...]:
        if not isinstance(read, dict):
            return ()
        if text(read, "type") == "time-of-day":
            hours = within(read, "restriction") or {}
            start, end = _minute(hours, "start"), _minute(hours, "end")
            return daily(start, (end - start) % DAY_MINUTES or DAY_MINUTES)
        covered = bytearray(WEEK_MINUTES)
        for one in entries(read.get("restrictions")):
            days = text(one, "startDay").lower(), text(one, "endDay").lower()
            if not set(days) <= set(DAYS):
                raise Unread(f"hours from {days[0] or '?'} to {days[1] or '?'}")
            start = DAYS.index(days[0]) * DAY_MINUTES + _minute(one, "start")
            end = DAYS.index(days[1]) * DAY_MINUTES + _minute(one, "end")
            for minute in minutes_of(weekly([start], (end - start) % WEEK_MINUTES or WEEK_MINUTES)):
                covered[minute] = 1
        return from_minutes(covered)

    def _overrides(self) -> None:
        for one in self._of("override"):
            what = f"override {text(one, 'alias')}"
            parent = within(one, "parent") or {}
            made = self.schedules.get(text(parent, "id")) or self.schedules.get(text(parent, "name")) or []
            user = within(one, "user") or {}
            person = self.people.get(text(user, "id")) or self.people.get(text(user, "username"))
            if person is None or len(made) != 1:
                self.lost.append(Lost(what, "its person or its one schedule was not kept"))
                continue
            try:
                start, end = utc(moment(one.get("startDate"))), utc(moment(one.get("endDate")))
            except Unread as error:
                self.lost.append(Lost(what, str(error)))
                continue
            if end > max(self.now, start):
                override = Override(made[0].name, person, start, end, by="file", reason="Opsgenie")
                made[0] = Schedule(made[0].name, made[0].zone, made[0].layers, (*made[0].overrides, override))

    # -- escalation and teams --

    def _policy(self, one: dict[str, Any], names: Names) -> EscalationPolicy | None:
        what = f"escalation {text(one, 'name')!r}"
        rules = sorted(entries(one.get("rules")), key=_delay)
        at: dict[float, list[Target]] = {}
        for rule in rules:
            if text(rule, "condition") not in ("", "if-not-acked"):
                why = f"a rule for alerts that are not closed ({text(rule, 'condition')}) stops at an acknowledgement here"
                self.lost.append(Lost(what, why))
            if text(rule, "notifyType") not in ("", "default", "all", "users"):
                self.lost.append(Lost(what, f"wakes {text(rule, 'notifyType')!r} there, and whoever is on call here"))
            targets = self._targets(rule.get("recipient") or {}, what)
            if targets:
                at.setdefault(_delay(rule), []).extend(targets)
        if not at:
            self.lost.append(Lost(what, "has no rule that could be kept"))
            return None
        if min(at) > 0:
            self.lost.append(Lost(what, f"waits {min(at):g} s before it wakes anybody there, and not at all here"))
        delays = sorted(at)
        again = within(one, "repeat") or {}
        last = whole(again, "waitInterval") * 60.0 or 300.0
        waits = [later - delay for delay, later in pairwise(delays)] + [last]
        levels = tuple(
            Level(tuple(dict.fromkeys(at[delay])), wait_of(wait, what, self.lost))
            for delay, wait in zip(delays, waits, strict=True)
        )
        return EscalationPolicy(names.of(text(one, "name")), levels, max(1, whole(again, "count") + 1))

    def _targets(self, read: dict[str, Any], what: str) -> list[Target]:
        kind = text(read, "type")
        keys = [text(read, key) for key in ("id", "username", "name") if text(read, key)]
        if kind == "schedule":
            found = [Target("schedule", s.name) for key in keys for s in self.schedules.get(key, [])]
        elif kind == "user":
            found = [Target("person", self.people[key]) for key in keys if key in self.people]
        else:
            found = [Target("team", self.teams[key]) for key in keys if kind == "team" and key in self.teams]
        if not found:
            self.lost.append(Lost(what, f"{kind or 'a recipient'} {' '.join(keys)} was not kept"))
        return list(dict.fromkeys(found))

    def _team(self, one: dict[str, Any], of_team: dict[str, list[str]]) -> Team:
        ident = text(one, "id")
        members = []
        for member in entries(one.get("members")):
            user = within(member, "user") or {}
            if name := self.people.get(text(user, "id")) or self.people.get(text(user, "username")):
                members.append(name)
        own, names = of_team.get(ident, []), Names()
        services = [f"service:{names.of(text(s, 'name'))}" for s in self._of("service") if text(s, "teamId") == ident]
        what = f"team {text(one, 'name')!r}"
        if len(own) != 1:
            why = f"owns {len(own)} escalations there" + (f", {own[0]} was taken" if own else "")
            self.lost.append(Lost(what, why, "say under escalation: which one pages it"))
        return Team(self.teams[ident], tuple(members), tuple(services), own[0] if own else "")


def _minute(read: dict[str, Any], which: str) -> int:
    return whole(read, f"{which}Hour") * 60 + whole(read, f"{which}Min")


def _delay(rule: dict[str, Any]) -> float:
    """Seconds; a bare number is minutes, as older answers have it."""
    delay = rule.get("delay")
    if isinstance(delay, dict):
        return float(whole(delay, "timeAmount")) * _UNIT.get(text(delay, "timeUnit") or "minutes", 60)
    return float(delay or 0) * 60 if isinstance(delay, int | float) else 0.0
