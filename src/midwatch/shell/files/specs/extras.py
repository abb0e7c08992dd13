"""What OpenSLO has no field for, in annotations whose names begin with ``midwatch/``.

midwatch/group-by: tenant,route      one budget for each value of these labels
midwatch/max-groups: "50"            at most so many
midwatch/composite: all              a journey: good only as far as every part is
midwatch/name, owner, entity, labels, alerting, tiers    what another format said; ``convert`` writes them as JSON
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from midwatch.model.indicators import Alerting
from midwatch.model.slo import BurnTier
from midwatch.shell.files.parts import entity
from midwatch.shell.files.specs.common import NAMESPACE
from midwatch.shell.files.yaml_lines import Document, Problem, suggest

_LABEL: Final = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")
_PLACE: Final = ("metadata", "annotations")
MAX_GROUPS: Final = 10_000


class Extras(Struct, frozen=True):
    """Read. None and empty: not said."""

    name: str = ""
    owner: str = ""
    entity: str = ""
    group_by: tuple[str, ...] = ()
    max_groups: int = 100
    composite: Literal["weighted", "all"] = "weighted"
    labels: dict[str, str] | None = None
    alerting: Alerting | None = None
    tiers: tuple[BurnTier, ...] | None = None


_TYPES: Final[dict[str, Any]] = {
    "labels": dict[str, str],
    "alerting": Alerting,
    "tiers": tuple[BurnTier, ...],
}
_KNOWN: Final = ("name", "owner", "entity", "group-by", "max-groups", "composite", *_TYPES)


def extras_of(document: Document, annotations: dict[str, str]) -> tuple[Extras, dict[str, str], list[Problem]]:
    """What the annotations say to midwatch, the other annotations, and what is wrong."""
    said: dict[str, Any] = {}
    rest: dict[str, str] = {}
    problems: list[Problem] = []
    for key, text in annotations.items():
        if not key.startswith(NAMESPACE):
            rest[key] = text
            continue
        word = key.removeprefix(NAMESPACE)
        try:
            said[word.replace("-", "_")] = _value(word, text)
        except (ValueError, msgspec.MsgspecError) as error:
            message, _, hint = str(error).partition(" | ")
            code = "unknown-field" if word not in _KNOWN else "annotation-invalid"
            problems.append(document.problem((*_PLACE, key), message, hint, code))
    return (Extras() if problems else Extras(**said)), rest, problems


def _value(word: str, text: str) -> Any:
    if word in _TYPES:
        return msgspec.json.decode(text.encode(), type=_TYPES[word])
    if word in ("name", "owner"):
        return text
    if word == "entity":
        return entity(text)
    if word == "group-by":
        return labels_of(text.split(","))
    if word == "composite":
        if text not in ("weighted", "all"):
            raise ValueError("must be weighted or all")
        return text
    if word == "max-groups":
        if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MAX_GROUPS:
            raise ValueError(f"must be a number from 1 to {MAX_GROUPS}")
        return int(text)
    raise ValueError(f"is not known here | {suggest(word, _KNOWN)}")


def labels_of(names: list[str]) -> tuple[str, ...]:
    """Label names to group by, each once. Raises ValueError."""
    found: list[str] = []
    for name in (n.strip() for n in names):
        if not _LABEL.match(name):
            raise ValueError(f"{name!r} is not a label name")
        if name not in found:
            found.append(name)
    return tuple(found)
