"""People files -> ``model/people.py``: people, teams, schedules, escalations; calendars beside them; Backstage's catalogue.

Several documents add up. What one names and no other defines is a problem with its line.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from midwatch.model.people import (
    Calendar,
    Contact,
    EscalationPolicy,
    Layer,
    Level,
    Override,
    People,
    Person,
    Rotation,
    Schedule,
    Team,
)
from midwatch.shell.files.people.backstage import is_backstage, owned
from midwatch.shell.files.people.forms import KEYS, LayerForm, PeopleFile, ScheduleForm
from midwatch.shell.files.people.ical import read_calendar
from midwatch.shell.files.people.times import windows
from midwatch.shell.files.yaml_lines import Document, Place, Problem, suggest, validate

__all__ = ["is_people", "people_of"]


def is_people(value: Any) -> bool:
    return is_backstage(value) or (isinstance(value, dict) and bool(KEYS & set(value)))


def people_of(documents: Iterable[Document], now: float | None = None) -> tuple[People, list[Problem]]:
    """What the documents say together, and what is wrong with them. Calendars are written out from the year before ``now``
    to the end of the year after."""
    read = _Read(datetime.fromtimestamp(time.time() if now is None else now, UTC).year)
    catalogue: list[Document] = []
    for document in documents:
        if is_backstage(document.value):
            catalogue.append(document)
            continue
        file, problems = validate(PeopleFile, document)
        read.problems += problems
        if file is not None:
            read.take(document, file)
    for document in catalogue:
        read.take_owner(document)
    read.look_up()
    return read.people(), read.problems


class _Read:
    """What was read so far, and where it stood."""

    def __init__(self, year: int) -> None:
        self.horizon = (datetime(year - 1, 1, 1, tzinfo=UTC), datetime(year + 2, 1, 1, tzinfo=UTC))
        self.persons: dict[str, Person] = {}
        self.teams: dict[str, Team] = {}
        self.schedules: dict[str, Schedule] = {}
        self.escalations: dict[str, EscalationPolicy] = {}
        self.calendars: dict[str, Calendar] = {}
        self.catch_all = ""
        self.called: dict[str, str] = {}  # what other products call a person -> the person
        self.problems: list[Problem] = []
        self._named: list[tuple[str, str, Document, Place]] = []  # kind, name, where it was named
        self._owned: list[tuple[str, str, Document, Place]] = []  # entity, team, where that was said

    def take(self, document: Document, file: PeopleFile) -> None:
        for ident, p in file.people.items():
            if self._new(document, ("people", ident), self.persons):
                contacts = tuple(Contact(c.channel, c.to) for c in p.contacts)
                away = self._calendar(document, ("people", ident, "away"), p.away, p.zone)
                self._known_as(document, ident, p.known_as)
                self.persons[ident] = Person(ident, p.name, p.zone, contacts, away, tuple(p.known_as))
        for name, t in file.teams.items():
            if self._new(document, ("teams", name), self.teams):
                self._name("person", t.members, document, ("teams", name, "members"))
                self._name("escalation", [t.escalation], document, ("teams", name, "escalation"))
                self._owned += [(entity, name, document, ("teams", name, "services")) for entity in t.services]
                self.teams[name] = Team(name, tuple(dict.fromkeys(t.members)), tuple(t.services), t.escalation)
        for name, s in file.schedules.items():
            if self._new(document, ("schedules", name), self.schedules):
                self.schedules[name] = self._schedule(document, name, s)
        for name, e in file.escalations.items():
            if self._new(document, ("escalations", name), self.escalations):
                at: Place = ("escalations", name)
                for index, level in enumerate(e.levels):
                    for number, target in enumerate(level.targets()):
                        self._named.append((target.kind, target.name, document, (*at, "levels", index, "wake", number)))
                levels = tuple(Level(v.targets(), v.wait, v.repeats, v.in_turn, v.at_once) for v in e.levels)
                quiet = self._calendar(document, (*at, "quiet"), e.quiet, "UTC")
                self.escalations[name] = EscalationPolicy(
                    name, levels, e.rounds, quiet, e.quiet_severity, e.ack_expires
                )
        if file.catch_all:
            self._name("team", [file.catch_all], document, ("catch_all",))
            if self.catch_all and self.catch_all != file.catch_all:
                self.problems.append(document.problem(("catch_all",), "catch_all is said twice", self.catch_all))
            self.catch_all = file.catch_all

    def take_owner(self, document: Document) -> None:
        """Backstage adds services and members to teams; its people can be woken once a people file says how."""
        services, members, problems = owned(document)
        self.problems += problems
        for name, entity in services:
            self._owned.append((entity, name, document, ("spec", "owner")))
            team = self.teams.get(name, Team(name))
            if entity not in team.services:
                self.teams[name] = Team(name, team.members, (*team.services, entity), team.escalation)
        for name, ident in members:
            team = self.teams.get(name, Team(name))
            self.persons.setdefault(ident, Person(ident))
            if ident not in team.members:
                self.teams[name] = Team(name, (*team.members, ident), team.services, team.escalation)

    def look_up(self) -> None:
        """Everything that was named must be there."""
        known: dict[str, Iterable[str]] = {
            "person": self.persons,
            "team": self.teams,
            "schedule": self.schedules,
            "escalation": self.escalations,
        }
        for kind, name, document, place in self._named:
            if name not in known[kind]:
                hint = suggest(name, known[kind])
                self.problems.append(document.problem(place, f"there is no {kind} {name!r}", hint, "unknown-name"))
        owners: dict[str, str] = {}
        for entity, team, document, place in self._owned:
            if owners.setdefault(entity, team) != team:
                message = f"{entity} is owned by {owners[entity]} and by {team}"
                self.problems.append(document.problem(place, message, "one team owns a service", "two-owners"))

    def people(self) -> People:
        return People(
            tuple(self.persons.values()),
            tuple(self.teams.values()),
            tuple(self.schedules.values()),
            tuple(self.escalations.values()),
            tuple(self.calendars.values()),
            self.catch_all,
        )

    def _known_as(self, document: Document, ident: str, names: Iterable[str]) -> None:
        """What is done elsewhere under one name is done by one person."""
        for index, name in enumerate(names):
            if self.called.setdefault(name.casefold(), ident) != ident:
                message = f"{self.called[name.casefold()]} is known as {name} already"
                place = ("people", ident, "known_as", index)
                self.problems.append(document.problem(place, message, "one person has it", "duplicate-name"))

    def _schedule(self, document: Document, name: str, read: ScheduleForm) -> Schedule:
        at: Place = ("schedules", name)
        for index, layer in enumerate(read.layers):
            self._name("person", layer.people, document, (*at, "layers", index, "people"))
        for index, one in enumerate(read.overrides):
            self._name("person", [one.person, one.instead_of], document, (*at, "overrides", index))
        layers = tuple(_layer(layer, index) for index, layer in enumerate(read.layers))
        overrides = tuple(
            Override(name, o.person, o.start, o.end, o.instead_of, "file", o.reason) for o in read.overrides
        )
        holidays = self._calendar(document, (*at, "holidays"), read.holidays, read.zone)
        return Schedule(name, read.zone, layers, overrides, holidays)

    def _calendar(self, document: Document, place: Place, text: str, zone: str) -> str:
        """The name under which the file's spans are kept: the file's own, and whose days they are."""
        if not text:
            return ""
        name = f"{Path(text).name} in {zone}"
        if name not in self.calendars:
            path = Path(document.path).parent / text
            self.calendars[name], problems = read_calendar(path, name, zone, self.horizon)
            at = f"{document.path}:{document.line(place)}"
            self.problems += [Problem(p.path, p.line, at, p.message, p.hint, p.code) for p in problems]
        return name

    def _new(self, document: Document, place: Place, known: Iterable[str]) -> bool:
        if str(place[-1]) in known:
            self.problems.append(document.problem(place, f"{place[-1]} is there already", "", "duplicate-name"))
            return False
        return True

    def _name(self, kind: str, names: Iterable[str], document: Document, place: Place) -> None:
        self._named += [(kind, name, document, place) for name in names if name]


def _layer(read: LayerForm, index: int) -> Layer:
    rotation = Rotation(tuple(read.people), read.starts_on, int(read.every // 86400), tuple(sorted(set(read.at))))
    return Layer(
        read.name or f"layer {index + 1}", rotation, tuple(_windows(read.windows)), read.holidays, read.ends_on
    )


def _windows(many: Iterable[str]) -> Iterator[Any]:
    for one in many:
        yield from windows(one)
