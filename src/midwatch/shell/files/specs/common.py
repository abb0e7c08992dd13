"""What the spec formats have in common: names, durations, windows, and YAML values as the JSON that they stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from midwatch.model.indicators import Calendar
from midwatch.shell.files.parts import seconds
from midwatch.shell.files.yaml_lines import Document, Place, dotted

NAMESPACE: Final = "midwatch/"  # of annotations that say what a format has no field for
DEFAULT_PERIOD_SECONDS: Final = 30 * 86400.0
MIN_PERIOD_SECONDS: Final = 3600.0
MAX_SIGNAL_PERIOD_SECONDS: Final = 33 * 86400.0  # what midwatch counts itself, it keeps so long
MAX_PERIOD_SECONDS: Final = 400 * 86400.0
WINDOW: Final = "{{.window}}"
_HOUR, _DAY = 3600.0, 86400.0
# Months, quarters and years that roll have the length that the OpenSLO Go SDK gives them.
_SHORTHAND_SECONDS: Final = {
    "m": 60.0,
    "h": _HOUR,
    "d": _DAY,
    "w": 7 * _DAY,
    "M": 30 * _DAY,
    "Q": 90 * _DAY,
    "Y": 365 * _DAY,
}
_CALENDAR_UNITS: Final[Mapping[str, Any]] = {"d": "day", "w": "week", "M": "month", "Q": "quarter", "Y": "year"}
_SHORTHAND: Final = re.compile(r"^(\d{1,6})([mhdwMQY])$")
_PROMETHEUS: Final = re.compile(
    r"^(?:(\d{1,6})y)?(?:(\d{1,6})w)?(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?(?:(\d{1,6})ms)?$"
)
_PROMETHEUS_SECONDS: Final = (365 * _DAY, 7 * _DAY, _DAY, _HOUR, 60.0, 1.0, 0.001)
_DNS_LABEL: Final = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
_MONTH_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class SpecPart(BaseModel):
    """A mapping in a spec: unknown keys are refused, a known key with nothing behind it counts as left out, and no number
    is infinite."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_nothing(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        known = {f.alias or name for name, f in cls.model_fields.items()}
        return {key: one for key, one in value.items() if one is not None or key not in known}


@dataclass(frozen=True)
class Shorthand:
    """``2w``: a count and a unit (m, h, d, w, M, Q, Y; s for what is written otherwise)."""

    count: float
    unit: str

    @property
    def seconds(self) -> float:
        return self.count * _SHORTHAND_SECONDS.get(self.unit, 1.0)


def shorthand(value: Any) -> Shorthand:
    """OpenSLO's duration, or what ``parts.seconds`` reads besides (``90s``, ``1.5h``, a number of seconds)."""
    if isinstance(value, Shorthand):
        return value
    match = _SHORTHAND.match(value) if isinstance(value, str) else None
    found = Shorthand(float(match[1]), match[2]) if match else Shorthand(seconds(value), "s")
    if not found.seconds > 0:
        raise ValueError("must be longer than nothing | write for example 30d | duration-invalid")
    return found


def prometheus_seconds(value: Any) -> float:
    """A duration as Prometheus writes it (``4w``, ``1h30m``). Raises ValueError with a hint."""
    match = _PROMETHEUS.match(value) if isinstance(value, str) else None
    found = sum(int(n) * unit for n, unit in zip(match.groups(), _PROMETHEUS_SECONDS, strict=True) if n) if match else 0
    if not found > 0:
        raise ValueError(f"{value!r} is not a duration | write for example 4w, 30d or 1h30m | duration-invalid")
    return found


def dns_label(value: Any) -> Any:
    """A name by RFC 1123, which OpenSLO asks for."""
    if isinstance(value, str) and not _DNS_LABEL.match(value):
        better = slug(value)
        hint = f"write {better}" if better else "lower case letters, digits and dashes, at most 63"
        raise ValueError(f"{value!r} is not a DNS label | {hint} | name-invalid")
    return value


def slug(text: str) -> str:
    """The closest DNS label; may be empty."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")


def time_zone(value: Any) -> Any:
    """An IANA name that this machine knows."""
    if isinstance(value, str):
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            hint = "write an IANA name, for example Europe/Berlin | time-zone-invalid"
            raise ValueError(f"{value!r} is not a time zone | {hint}") from None
    return value


def start_time(value: Any) -> Any:
    """``2022-01-01 12:00:00``, local time."""
    if isinstance(value, str):
        try:
            datetime.strptime(value, "%Y-%m-%d %H:%M:%S")
        except ValueError:
            raise ValueError(
                f"{value!r} is not a start time | write for example 2022-01-01 12:00:00 | start-time-invalid"
            ) from None
    return value


DnsLabel = Annotated[str, BeforeValidator(dns_label), Field(min_length=1)]
Duration = Annotated[Shorthand, BeforeValidator(shorthand)]
PrometheusDuration = Annotated[float, BeforeValidator(prometheus_seconds)]
TimeZone = Annotated[str, BeforeValidator(time_zone)]
StartTime = Annotated[str, BeforeValidator(start_time)]


def calendar_of(duration: Shorthand, start: str, zone: str) -> Calendar | None:
    """The calendar window of a duration, or None when wall clocks have no such unit (minutes, hours)."""
    unit = _CALENDAR_UNITS.get(duration.unit)
    return Calendar(unit, int(duration.count), zone, start.replace(" ", "T")) if unit else None


def longest_seconds(calendar: Calendar) -> float:
    """How long the longest period of ``calendar`` is: with the most days, and the hour that daylight saving may add."""
    if calendar.unit in ("day", "week"):
        return calendar.count * (7 if calendar.unit == "week" else 1) * _DAY + _HOUR
    months = calendar.count * {"month": 1, "quarter": 3}.get(calendar.unit, 12)
    # Over 24 months and a leap day: enough for every run of months to be seen from each start.
    lengths = (*_MONTH_DAYS, 31, 29, *_MONTH_DAYS[2:])
    years, rest = divmod(months, 12)
    return (years * 366 + max(sum(lengths[first : first + rest]) for first in range(12))) * _DAY + _HOUR


def json_like(document: Document) -> Document:
    """``document`` with what JSON has no word for (times, binary) as the text that was written, as every OpenSLO tool
    reads it."""

    def walk(value: Any, place: Place) -> Any:
        if isinstance(value, dict):
            return {key: walk(one, (*place, key)) for key, one in value.items()}
        if isinstance(value, list):
            return [walk(one, (*place, index)) for index, one in enumerate(value)]
        if isinstance(value, datetime | date | bytes):
            return document.texts.get(document.original(place), str(value))
        return value

    return Document(document.path, walk(document.value, ()), document.lines, document.texts, document.moved)


def text_map(document: Document, place: Place) -> dict[str, str]:
    """The mapping at ``place`` with values as text, as they were written; a list becomes ``a,b``. Empty without one.

    Raises ValueError, with the key, for a value that is a mapping or a list of such.
    """
    value: Any = document.value
    for step in place:
        here = isinstance(value, dict) and step in value
        here = here or (isinstance(value, list) and isinstance(step, int) and step < len(value))
        value = value[step] if here else None
    return {key: _text(document, (*place, key), one) for key, one in value.items()} if isinstance(value, dict) else {}


def _text(document: Document, place: Place, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join(_text(document, (*place, index), one) for index, one in enumerate(value))
    if isinstance(value, dict):
        raise ValueError(f"{dotted(place)} must be text")
    return document.texts.get(document.original(place), "" if value is None else str(value))
