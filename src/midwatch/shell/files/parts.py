"""What the files have in common: durations, moments, references to secrets."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict

from midwatch.model.entity import ENTITY_KINDS

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_DURATION: Final = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*$")


class Part(BaseModel):
    """A mapping in a file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def seconds(value: Any) -> float:
    """``30d``, ``5m``, ``90s``, ``250ms``, or a number of seconds. A text after `` | `` in the error is its hint."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be a duration | write for example 30d, 6h, 5m, 90s or 250ms")
    if isinstance(value, int | float):
        return float(value)
    match = _DURATION.match(value)
    if match is None:
        raise ValueError(f"{value!r} is not a duration | write for example 30d, 6h, 5m, 90s or 250ms")
    return float(match[1]) * _UNITS[match[2]]


def moment(value: Any) -> float:
    """A time with its zone (``2026-12-20T18:00:00Z``), or unix seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"{value!r} is not a time | write for example 2026-12-20T18:00:00Z") from None
    # PyYAML turns a time with a zone into UTC; what has no zone is refused rather than guessed.
    if at.tzinfo is None:
        raise ValueError("a time needs its zone | end it with Z for UTC, or +01:00")
    return at.astimezone(UTC).timestamp()


def entity(value: Any) -> str:
    """``kind:name``; a bare name is a service."""
    text = str(value).strip()
    kind, mark, name = text.partition(":")
    if not mark:
        kind, name = "service", text
    if kind not in ENTITY_KINDS or not name:
        kinds = ", ".join(sorted(ENTITY_KINDS))
        raise ValueError(f"{text!r} is not an entity | write kind:name, with one of the kinds {kinds}")
    return f"{kind}:{name}"


def ratio(value: Any) -> float:
    """``75%``, or 0.75."""
    text = str(value).strip()
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise ValueError(f"{value!r} is not a share | write for example 75% or 0.75") from None


Ratio = Annotated[float, BeforeValidator(ratio)]
Seconds = Annotated[float, BeforeValidator(seconds)]
Moment = Annotated[float, BeforeValidator(moment)]
EntityKey = Annotated[str, BeforeValidator(entity)]
