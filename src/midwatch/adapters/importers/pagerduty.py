"""PagerDuty's REST API -> people. What its lists and objects answer with: ``users``, ``teams``,
``schedules`` (with ``schedule_layers``), ``escalation_policies``, ``services``.

Format: developer.pagerduty.com/api-reference. The first of ``schedule_layers`` is the layer that wins, as in our files. A
restriction's ``start_day_of_week`` is 1 for Monday.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

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
    late,
    minutes_of,
    moment,
    rotation,
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
)

KINDS = ("users", "teams", "schedules", "escalation_policies", "services")


def read(documents: Iterable[Any], now: float, email_channel: str = "email") -> Imported:
    """All answers together, in any order. ``now`` (unix seconds): what ended before it is left behind."""
    found: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in KINDS}
    for document in documents:
        if not isinstance(document, dict):
            continue
        for kind in KINDS:
            single = {"users": "user", "escalation_policies": "escalation_policy"}.get(kind, kind.removesuffix("s"))
            for one in entries([document.get(single), *entries(document.get(kind))]):
                if text(one, "id"):
                    known = found[kind].get(text(one, "id"), {})
                    found[kind][text(one, "id")] = {**known, **one}
    return _Import(found, now, email_channel).all()


class _Import:
    def __init__(self, found: dict[str, dict[str, dict[str, Any]]], now: float, channel: str) -> None:
        self.found, self.now, self.channel = found, now, channel
        self.lost: list[Lost] = []
        self.names = {kind: Names() for kind in KINDS}
        self.person: dict[str, str] = {}
        self.schedule: dict[str, str] = {}

    def all(self) -> Imported:
        people = tuple(self._person(ident, one) for ident, one in self.found["users"].items())
        schedules = tuple(filter(None, (self._schedule(i, one) for i, one in self.found["schedules"].items())))
        policies = {i: self._policy(one) for i, one in self.found["escalation_policies"].items()}
        kept = {i: p for i, p in policies.items() if p is not None}
        teams = self._teams(kept)
        made = with_members(People(people, teams, schedules, tuple(kept.values())), self.lost)
        return Imported(made, tuple(self.lost))

    def _person(self, ident: str, one: dict[str, Any]) -> Person:
        email = text(one, "email")
        name = self.names["users"].of(email.partition("@")[0] or text(one, "name"), ident.lower())
        self.person[ident] = name
        zone = text(one, "time_zone") or "UTC"
        try:
            known_zone(zone)
        except Unread as error:
            self.lost.append(Lost(f"user {name}", str(error), "UTC was taken"))
            zone = "UTC"
        other = sorted({text(m, "type").removesuffix("_contact_method") for m in entries(one.get("contact_methods"))})
        if other := [kind for kind in other if kind not in ("email", "", "email_contact_method_reference")]:
            why = f"is reached by {', '.join(other)} there"
            self.lost.append(Lost(f"user {name}", why, "add a contact over a channel of settings.yaml"))
        contacts = (Contact(self.channel, email),) if email else ()
        return Person(name, text(one, "name"), zone, contacts, known_as=tuple(filter(None, (ident, email))))

    # -- schedules --

    def _schedule(self, ident: str, one: dict[str, Any]) -> Schedule | None:
        what = f"schedule {text(one, 'name')!r}"
        if "schedule_layers" not in one:
            self.lost.append(Lost(what, "has no layers in this export", "export it by itself: GET /schedules/{id}"))
            return None
        try:
            zone = known_zone(text(one, "time_zone") or "UTC")
        except Unread as error:
            self.lost.append(Lost(what, str(error)))
            return None
        layers = []
        for read in entries(one.get("schedule_layers")):
            try:
                layer = self._layer(read, zone)
            except Unread as error:
                self.lost.append(Lost(f"{what}, {text(read, 'name') or 'a layer'}", str(error), "write it by hand"))
                continue
            if layer is not None:
                layers.append(layer)
        if not layers:
            self.lost.append(Lost(what, "has no layer that could be kept"))
            return None
        name = self.names["schedules"].of(text(one, "name"), ident.lower())
        self.schedule[ident] = name
        return Schedule(name, zone, tuple(layers), tuple(self._overrides(one, name, zone)))

    def _layer(self, read: dict[str, Any], zone: str) -> Layer | None:
        """None for one that is over. Raises Unread."""
        people = [self._who(within(user, "user", "id") or user.get("id")) for user in entries(read.get("users"))]
        ends = moment(read["end"], zone) if read.get("end") else None
        if ends is not None and utc(ends) <= self.now:
            return None
        if not people:
            raise Unread("it has nobody")
        length = read.get("rotation_turn_length_seconds")
        if not isinstance(length, int) or length <= 0:
            raise Unread("it does not say how long a turn is")
        virtual = moment(read.get("rotation_virtual_start") or read.get("start"), zone)
        begins = moment(read.get("start") or read.get("rotation_virtual_start"), zone)
        if len(set(people)) == 1:  # turns of one person are no turns
            people, length = people[:1], DAY_SECONDS * max(1, length // DAY_SECONDS)
        turned, starts = late(people, virtual, begins, length)
        made = rotation(turned, starts, length)
        windows = self._windows(entries(read.get("restrictions")))
        return Layer(text(read, "name")[:60], made, windows, "as_usual", ends.date().isoformat() if ends else "")

    def _windows(self, restrictions: list[dict[str, Any]]) -> tuple[Any, ...]:
        if not restrictions:
            return ()
        covered = bytearray(WEEK_MINUTES)
        for one in restrictions:
            clock = re.fullmatch(r"(\d{1,2}):(\d{2})(:\d{2})?", text(one, "start_time_of_day"))
            if clock is None:
                raise Unread(f"hours from {one.get('start_time_of_day')!r}")
            length, start = whole(one, "duration_seconds") // 60, int(clock[1]) * 60 + int(clock[2])
            if one.get("type") == "weekly_restriction":
                day = whole(one, "start_day_of_week", 1) - 1
                windows = weekly([day * DAY_MINUTES + start], length)
            else:
                windows = daily(start, length)
            for one_minute in minutes_of(windows):
                covered[one_minute] = 1
        return from_minutes(covered)

    def _overrides(self, one: dict[str, Any], name: str, zone: str) -> list[Override]:
        found = []
        rendered = within(one, "overrides_subschedule", "rendered_schedule_entries")
        for read in [*entries(one.get("overrides")), *entries(rendered)]:
            try:
                start, end = moment(read.get("start"), zone), moment(read.get("end"), zone)
                person = self._who(within(read, "user", "id"))
            except Unread as error:
                self.lost.append(Lost(f"an override of {name}", str(error)))
                continue
            made = Override(name, person, utc(start), utc(end), by="file", reason="PagerDuty")
            if made.end_at > max(self.now, made.start_at) and made not in found:
                found.append(made)
        return found

    def _who(self, ident: Any) -> str:
        name = self.person.get(str(ident))
        if name is None:
            raise Unread(f"user {ident} is not in this export")
        return name

    # -- escalation and teams --

    def _policy(self, one: dict[str, Any]) -> EscalationPolicy | None:
        what = f"escalation policy {text(one, 'name')!r}"
        levels = []
        for number, rule in enumerate(entries(one.get("escalation_rules")), 1):
            targets = [self._target(t, f"{what}, level {number}") for t in entries(rule.get("targets"))]
            kept = tuple(t for t in targets if t is not None)
            wait = wait_of(whole(rule, "escalation_delay_in_minutes", 30) * 60.0, f"{what}, level {number}", self.lost)
            in_turn = within(rule, "escalation_rule_assignment_strategy", "type") == "round_robin"
            if kept:
                levels.append(Level(kept, wait, in_turn=in_turn))
            else:
                self.lost.append(Lost(f"{what}, level {number}", "has nobody who could be kept, and is left out"))
        if not levels:
            self.lost.append(Lost(what, "has no level that could be kept"))
            return None
        name = self.names["escalation_policies"].of(text(one, "name"))
        return EscalationPolicy(name, tuple(levels), whole(one, "num_loops") + 1)

    def _target(self, read: dict[str, Any], what: str) -> Target | None:
        ident, kind = text(read, "id"), text(read, "type")
        if kind.startswith("schedule") and ident in self.schedule:
            return Target("schedule", self.schedule[ident])
        if kind.startswith("user") and ident in self.person:
            return Target("person", self.person[ident])
        self.lost.append(Lost(what, f"{kind or 'a target'} {text(read, 'summary') or ident} was not kept"))
        return None

    def _teams(self, policies: dict[str, EscalationPolicy]) -> tuple[Team, ...]:
        """A service there has a policy; here a team owns services and has one. So a team for each policy that services
        use, under the team's own name where it has a single one."""
        services: dict[str, list[str]] = defaultdict(list)
        names = self.names["services"]
        for one in self.found["services"].values():
            policy = str(within(one, "escalation_policy", "id"))
            if policy in policies:
                services[policy].append(f"service:{names.of(text(one, 'name'))}")
            else:
                self.lost.append(Lost(f"service {text(one, 'name')!r}", "its escalation policy was not kept"))
        of_team: dict[str, list[str]] = defaultdict(list)
        for policy in policies:
            for team in entries(self.found["escalation_policies"][policy].get("teams")):
                of_team[text(team, "id")].append(policy)
        teams, used = [], set()
        for ident, one in self.found["teams"].items():
            own = of_team.get(ident, [])
            if len(own) == 1:
                used.add(own[0])
                teams.append(self._team(text(one, "name"), {ident}, own[0], services, policies))
            else:
                name = text(one, "name")
                why = f"has {len(own)} escalation policies there: each that services use became a team of its own"
                self.lost.append(Lost(f"team {name!r}", why, "put them together by hand if you like"))
        for policy, made in policies.items():
            if policy not in used and services.get(policy):
                of = {text(t, "id") for t in entries(self.found["escalation_policies"][policy].get("teams"))}
                teams.append(self._team(made.name, of, policy, services, policies))
        return tuple(teams)

    def _team(
        self,
        name: str,
        idents: set[str],
        policy: str,
        services: dict[str, list[str]],
        policies: dict[str, EscalationPolicy],
    ) -> Team:
        members = [
            self.person[user]
            for user, one in self.found["users"].items()
            if idents & {text(t, "id") for t in entries(one.get("teams"))}
        ]
        made = self.names["teams"].of(name)
        return Team(made, tuple(members), tuple(services.get(policy, ())), policies[policy].name)
