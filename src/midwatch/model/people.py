"""Who is on call for what, and who is woken after whom: what a team wrote in its people files. Times of day are minutes
after local midnight, dates are ISO 8601, and a schedule's zone says whose local time it is."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES


class Contact(Struct, frozen=True):
    """A channel (a name that the shell knows), and where it finds the person: ``to`` is a reference (``env:ANA_PHONE``) or
    an address that is no secret; "" where the channel itself leads to one place only."""

    channel: str
    to: str = ""


class Person(Struct, frozen=True):
    """``contacts`` in the order in which they are tried. ``away`` names a calendar: while it has an entry, the person is not
    to be woken. ``known_as``: what other products call the person, an id or an e-mail address."""

    ident: str
    name: str = ""
    zone: str = "UTC"
    contacts: tuple[Contact, ...] = ()
    away: str = ""
    known_as: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        return self.name or self.ident


class Team(Struct, frozen=True):
    """``services`` are entity keys that it owns. ``escalation`` names the policy that pages it."""

    name: str
    members: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    escalation: str = ""


class Span(Struct, frozen=True):
    """[``start_at``, ``end_at``) in unix seconds."""

    start_at: float
    end_at: float
    summary: str = ""


class Calendar(Struct, frozen=True):
    """Holidays, absences or quiet hours, written out. ``known_until_at``: after that nothing is known, 0 for no limit."""

    name: str
    spans: tuple[Span, ...] = ()
    known_until_at: float = 0.0


class Rotation(Struct, frozen=True):
    """``people`` in turn. A hand-off lies on every ``every_days``-th day after the first, ``starts_on``, at each of the
    minutes ``at`` (ascending): two of them make two shifts a day."""

    people: tuple[str, ...]
    starts_on: str
    every_days: int = 7
    at: tuple[int, ...] = (9 * 60,)


class Window(Struct, frozen=True):
    """Part of every week: minutes after Monday 00:00, local. ``end`` <= ``start`` wraps around the week's end."""

    start: int
    end: int


class Layer(Struct, frozen=True):
    """A rotation, and when it counts: in any of ``windows`` (none: always), and as ``holidays`` say. ``ends_on`` is the
    first day on which it no longer counts."""

    name: str
    rotation: Rotation
    windows: tuple[Window, ...] = ()
    holidays: Literal["as_usual", "off", "only"] = "as_usual"
    ends_on: str = ""


class Override(Struct, frozen=True):
    """``person`` stands in from ``start_at`` to ``end_at``, whoever would be on call (``instead_of``, if it is said, is the
    only one who is relieved). "" for nobody: the next layer is not asked. A later one goes before an earlier one."""

    schedule: str
    person: str
    start_at: float
    end_at: float
    instead_of: str = ""
    by: str = ""
    reason: str = ""
    ident: str = ""


class Schedule(Struct, frozen=True):
    """The first layer that has somebody says who is on call. ``holidays`` names a calendar."""

    name: str
    zone: str = "UTC"
    layers: tuple[Layer, ...] = ()
    overrides: tuple[Override, ...] = ()
    holidays: str = ""


class Target(Struct, frozen=True):
    """Whom a level wakes: whoever is on call in a ``schedule``, a ``person``, or all members of a ``team``."""

    kind: Literal["schedule", "person", "team"]
    name: str


class Level(Struct, frozen=True):
    """After ``wait_seconds`` without an answer the next level is woken too; until then ``repeats`` more pages are spread
    over that time. ``in_turn``: one of the people for each incident, the next one for the next. An incident of severity
    ``at_once`` or worse wakes this level along with the first."""

    targets: tuple[Target, ...]
    wait_seconds: float = 300.0
    repeats: int = 0
    in_turn: bool = False
    at_once: int = 0


class EscalationPolicy(Struct, frozen=True):
    """``levels`` in order, all of them ``rounds`` times, then more rarely. While ``quiet`` (a calendar) has an entry, only
    incidents of severity ``quiet_severity`` and worse wake anybody; the others wait for its end. An acknowledgement of an
    incident that still hurts holds for ``ack_seconds``; 0 for ever."""

    name: str
    levels: tuple[Level, ...] = ()
    rounds: int = 3
    quiet: str = ""
    quiet_severity: int = 2
    ack_seconds: float = 3600.0


class People(Struct, frozen=True):
    """Everything that the people files say, each by name. ``catch_all`` names the team that gets what nobody owns."""

    people: tuple[Person, ...] = ()
    teams: tuple[Team, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    escalations: tuple[EscalationPolicy, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    catch_all: str = ""

    def person(self, ident: str) -> Person | None:
        return next((p for p in self.people if p.ident == ident), None)

    def known(self, *names: str) -> Person | None:
        """Whom another product calls one of ``names`` (an id, an e-mail address), by ``known_as``, else by the address of a
        contact that is nobody else's."""
        wanted = {name.casefold() for name in names if name}
        for called in (lambda p: p.known_as, lambda p: [c.to for c in p.contacts if "@" in c.to]):
            found = [p for p in self.people if wanted & {name.casefold() for name in called(p)}]
            if len(found) == 1:
                return found[0]
        return None

    def team(self, name: str) -> Team | None:
        return next((t for t in self.teams if t.name == name), None)

    def schedule(self, name: str) -> Schedule | None:
        return next((s for s in self.schedules if s.name == name), None)

    def escalation(self, name: str) -> EscalationPolicy | None:
        return next((p for p in self.escalations if p.name == name), None)

    def calendar(self, name: str) -> Calendar | None:
        return next((c for c in self.calendars if c.name == name), None)

    def owner(self, entity: str) -> Team | None:
        """The team that owns ``entity``, if any."""
        return next((t for t in self.teams if entity in t.services), None)


class Swap(Struct, frozen=True):
    """``by`` asks ``to`` ("" for anybody of the team) to take a shift, and takes another in return if ``back_*`` say one.
    Open until somebody answered it or its shift has begun."""

    ident: str
    schedule: str
    by: str
    start_at: float
    end_at: float
    to: str = ""
    back_start_at: float = 0.0
    back_end_at: float = 0.0
    asked_at: float = 0.0
    answer: Literal["", "accepted", "refused", "withdrawn"] = ""
    answered_by: str = ""


class OnCall(Struct, frozen=True):
    """Who is on call in a schedule, as last journaled; "" for nobody."""

    person: str
    since_at: float


class Told(Struct, frozen=True):
    """When a person was last paged in an escalation, and how often before (0 for the first page)."""

    at: float
    repeat: int = 0


class Escalation(Struct, frozen=True):
    """The newest escalation of an incident, the ``number``-th. ``ahead_seconds`` is how far it was moved on, by a person or
    because nobody was there; less than 0 while only ``holder``, who acknowledged it before, is asked. ``turn`` is whose turn
    it is where people take turns; ``topics`` what was paged about in any of the incident's escalations; ``told`` whom this
    one has paged, by person; ``asked_by`` who wanted it, whatever the incident pages about by itself."""

    policy: str
    team: str
    started_at: float
    number: int = 1
    turn: int = 0
    ahead_seconds: float = 0.0
    topics: tuple[str, ...] = ()
    told: dict[str, Told] = {}
    asked_by: str = ""
    holder: str = ""
