"""Incidents as people label them, for back-tests: YAML or CSV with ``start``, ``end`` and, if wanted, ``name`` and ``slo``.

::

    incidents:
      - {start: 2026-10-03T14:05:00Z, end: 2026-10-03T14:40:00Z, name: bad deploy, slo: checkout}
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

from msgspec import Struct
from pydantic import Field, ValidationError, model_validator

from midwatch.model.errors import ConfigError
from midwatch.shell.files.parts import Moment, Part
from midwatch.shell.files.yaml_lines import Document, problem_of, read_documents, validate

MAX_INCIDENTS: Final = 100_000


class Incident(Struct, frozen=True):
    """[start_at, end_at) in unix seconds; ``slo`` empty: it concerns every promise."""

    start_at: float
    end_at: float
    name: str = ""
    slo: str = ""


class _Incident(Part):
    start: Moment
    end: Moment
    name: str = Field("", max_length=200)
    slo: str = ""

    @model_validator(mode="after")
    def _forward(self) -> _Incident:
        if self.end <= self.start:
            raise ValueError("end must come after start")
        return self


class _File(Part):
    incidents: list[_Incident] = Field(max_length=MAX_INCIDENTS)


def read_incidents(path: Path) -> tuple[Incident, ...]:
    """In order of time. Raises ConfigError with line and key of the first that cannot be read."""
    read = _csv(path) if path.suffix.lower() == ".csv" else _yaml(path)
    found = (
        Incident(one.start, one.end, one.name or f"incident {number}", one.slo)
        for number, one in enumerate(read, start=1)
    )
    return tuple(sorted(found, key=lambda one: one.start_at))


def _yaml(path: Path) -> list[_Incident]:
    documents, problems = read_documents(path)
    if problems:
        raise problems[0].error()
    found: list[_Incident] = []
    for document in documents:
        read, wrong = validate(_File, document, ())
        if read is None:
            raise wrong[0].error()
        found += read.incidents
    return found


def _csv(path: Path) -> list[_Incident]:
    found = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            for row in reader:
                given = {key: _time(value) if key in ("start", "end") else value for key, value in row.items() if value}
                try:
                    found.append(_Incident.model_validate(given))
                except ValidationError as error:
                    here = Document(str(path), given, {(): reader.line_num})
                    raise problem_of(here, (), dict(error.errors()[0]), _Incident).error() from None
    except UnicodeDecodeError as error:
        raise ConfigError("is not UTF-8", path=str(path), hint="save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=str(path)) from error
    except csv.Error as error:
        raise ConfigError(f"is no CSV: {error}", path=str(path)) from error
    return found


def _time(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text
