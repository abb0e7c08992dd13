"""The form of a people file. What it names in other places is looked up in ``__init__.py``, once all files are read."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from midwatch.model.people import EscalationPolicy, Level, Target
from midwatch.shell.files.parts import EntityKey, Moment, Part, Seconds
from midwatch.shell.files.people.times import Day, Minute, Zone, windows

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,58}[A-Za-z0-9])?$")]
"""Letters, digits, and ``._-`` within: it stands in addresses and keys."""
DAY_SECONDS: Final = 86400.0
_E: Final = EscalationPolicy("")
_L: Final = Level(())


def _contact(value: Any) -> Any:
    return {"channel": value} if isinstance(value, str) else value


def _target(value: Any) -> Any:
    """``schedule:shop``, or ``{schedule: shop}``, which is what YAML makes of it with a space."""
    text = f"{next(iter(value))}:{next(iter(value.values()))}" if isinstance(value, dict) and len(value) == 1 else value
    kind, _, name = str(text).partition(":")
    if kind not in ("schedule", "person", "team") or not name:
        raise ValueError(f"{value!r} is nobody | write schedule:NAME, person:NAME or team:NAME")
    return text


def _address(value: Any) -> Any:
    """A reference, or an address that is no secret. What holds one (a URL with a token) is refused."""
    text = f"{next(iter(value))}:{next(iter(value.values()))}" if isinstance(value, dict) and len(value) == 1 else value
    if isinstance(text, str) and "://" in text and not text.startswith(("env:", "file:")):
        raise ValueError("a URL may hold a secret | refer to it: env:NAME or file:/path")
    return text


class ContactForm(Part):
    channel: Name
    to: Annotated[str, BeforeValidator(_address)] = ""


class PersonForm(Part):
    name: str = Field("", max_length=100)
    zone: Zone = "UTC"
    contacts: list[Annotated[ContactForm, BeforeValidator(_contact)]] = Field(default_factory=list, max_length=10)
    away: str = ""
    known_as: list[Annotated[str, StringConstraints(pattern=r"^\S+$", max_length=320)]] = Field(
        default_factory=list, max_length=20
    )


class TeamForm(Part):
    members: list[Name] = Field(default_factory=list, max_length=500)
    services: list[EntityKey] = Field(default_factory=list, max_length=5000)
    escalation: str = ""


class LayerForm(Part):
    name: str = Field("", max_length=60)
    people: list[Name] = Field(min_length=1, max_length=100)
    starts_on: Day
    every: Seconds = 7 * DAY_SECONDS
    at: list[Minute] = Field(default_factory=lambda: [9 * 60], min_length=1, max_length=24)
    windows: list[str] = Field(default_factory=list, max_length=50)
    holidays: Literal["as_usual", "off", "only"] = "as_usual"
    ends_on: Day = ""

    @model_validator(mode="after")
    def _whole_days(self) -> LayerForm:
        if self.every < DAY_SECONDS or self.every % DAY_SECONDS:
            raise ValueError("every is in whole days | 1d, 7d; two shifts a day are two times under at")
        for one in self.windows:
            windows(one)
        return self


class OverrideForm(Part):
    person: Literal[""] | Name
    start: Moment
    end: Moment
    instead_of: str = ""
    reason: str = Field("", max_length=500)

    @model_validator(mode="after")
    def _forward(self) -> OverrideForm:
        if self.end <= self.start:
            raise ValueError("end must come after start")
        return self


class ScheduleForm(Part):
    zone: Zone = "UTC"
    layers: list[LayerForm] = Field(min_length=1, max_length=20)
    overrides: list[OverrideForm] = Field(default_factory=list, max_length=500)
    holidays: str = ""


class LevelForm(Part):
    wake: list[Annotated[str, BeforeValidator(_target)]] = Field(min_length=1, max_length=50)
    wait: Seconds = Field(_L.wait_seconds, ge=30, le=DAY_SECONDS)
    repeats: int = Field(_L.repeats, ge=0, le=20)
    in_turn: bool = _L.in_turn
    at_once: int = Field(_L.at_once, ge=0, le=4)

    def targets(self) -> tuple[Target, ...]:
        named = (one.partition(":") for one in self.wake)
        return tuple(Target(kind, name) for kind, _, name in named)  # type: ignore[arg-type]


class EscalationForm(Part):
    levels: list[LevelForm] = Field(min_length=1, max_length=20)
    rounds: int = Field(_E.rounds, ge=1, le=100)
    quiet: str = ""
    quiet_severity: int = Field(_E.quiet_severity, ge=1, le=4)
    ack_expires: Seconds = Field(_E.ack_seconds, ge=0, le=30 * DAY_SECONDS)


class PeopleFile(Part):
    """The keys of a people file; several files add up."""

    people: dict[Name, PersonForm] = Field(default_factory=dict)
    teams: dict[Name, TeamForm] = Field(default_factory=dict)
    schedules: dict[Name, ScheduleForm] = Field(default_factory=dict)
    escalations: dict[Name, EscalationForm] = Field(default_factory=dict)
    catch_all: str = ""


KEYS: Final = frozenset(PeopleFile.model_fields)
