"""What every benchmark answers with, and what it becomes in JSON.

    {"benchmark": "petshop", "scores": {...}, "cases": [{"id", "truth", "ranked": [{"entity", "probability"}...],
     "seconds"}...], "peers": {...}, "notes": [...]}

``scores`` holds numbers under names that end in their unit where they have one, and further dicts of the same kind, one
per system or split. A number that cannot be had is NaN here and null in JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct, convert, field, to_builtins

from midwatch.model.errors import UsageError

# Told what is being done; a line each, for a person who waits.
Progress = Callable[[str], None]


class Ranked(Struct, frozen=True):
    """``probability`` that it is ``entity``; NaN for a method that states none."""

    entity: str
    probability: float


class BenchCase(Struct, frozen=True):
    """One case. ``truth`` names the culprit (several when any counts; None: nothing is wrong). ``ranked`` is the answer,
    best first; empty for "nothing is wrong" or "don't know". ``group`` is the system, day or split that it belongs to.
    ``details`` is whatever else a reader of the failures wants."""

    id: str
    truth: str | tuple[str, ...] | None
    ranked: tuple[Ranked, ...]
    seconds: float
    group: str = ""
    details: dict[str, Any] = field(default_factory=dict)


class Result(Struct, frozen=True):
    """Everything that a benchmark found. ``peers`` is scores by the peer's name, from the same run. ``notes`` are sentences
    for the page: failures by name, what was left out."""

    benchmark: str
    scores: dict[str, Any]
    cases: tuple[BenchCase, ...]
    peers: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def to_json(result: Result) -> dict[str, Any]:
    """Plain values that JSON can carry."""
    plain: dict[str, Any] = _finite(to_builtins(result))
    return plain


def from_json(text: str | bytes) -> Result:
    """What ``to_json`` was written as. Raises ValueError for anything else."""

    def stated(one: dict[str, Any]) -> dict[str, Any]:
        return {**one, "probability": math.nan} if one.get("probability", math.nan) is None else one

    return convert(json.loads(text, object_hook=stated), Result)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def folder(data: Path, needs: str, *found: object) -> Path:
    """``data``, when it is a folder and one of ``found`` is true; else a UsageError that says what it must hold."""
    if not data.is_dir():
        raise UsageError(f"{data} is not a folder", hint=f"--data DIR must hold {needs}")
    if not any(found):
        raise UsageError(f"{data} has not the layout of this benchmark", hint=f"it must hold {needs}")
    return data


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong while ``path`` is read becomes a UsageError that names it."""
    try:
        yield
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise UsageError(f"{path} cannot be read as this benchmark's data: {type(error).__name__}: {error}") from error
