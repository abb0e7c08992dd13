"""Backstage's ``catalog-info.yaml``: who owns which component, and who is in which group.

Components, resources, APIs and systems with ``spec.owner`` become services of that team; groups give teams, users people.
Only names are taken: how to reach a person, and when, stands in a people file.
"""

from __future__ import annotations

from typing import Any, Final

from midwatch.model.entity import ENTITY_KINDS
from midwatch.shell.files.yaml_lines import Document, Problem

API: Final = "backstage.io/"
_OWNED: Final = ("Component", "Resource", "API", "System")
_KINDS: Final = {"database": "database", "cache": "cache", "queue": "queue"}
KEY_ANNOTATION: Final = "midwatch.dev/entity"
"""Says which entity a component is, where its name does not."""


def is_backstage(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("apiVersion", "")).startswith(API)


def owned(document: Document) -> tuple[list[tuple[str, str]], list[tuple[str, str]], list[Problem]]:
    """(team, entity key) and (team, member) as one entity descriptor says, and what is wrong with it."""
    value = document.value
    metadata, spec = value.get("metadata"), value.get("spec")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        return [], [], [document.problem((), "has no metadata.name", "every Backstage entity has one", "backstage")]
    name, kind = metadata["name"], str(value.get("kind", ""))
    spec = spec if isinstance(spec, dict) else {}
    if kind in _OWNED:
        team = bare(spec.get("owner"))
        return ([(team, _entity(name, metadata, spec))] if team else []), [], []
    if kind == "Group":
        return [], [(name, bare(one)) for one in _list(spec.get("members"))], []
    if kind == "User":
        return [], [(bare(one), name) for one in _list(spec.get("memberOf"))], []
    return [], [], []


def bare(reference: Any) -> str:
    """``group:default/shop`` is shop."""
    return str(reference or "").rpartition(":")[2].rpartition("/")[2]


def _entity(name: str, metadata: dict[str, Any], spec: dict[str, Any]) -> str:
    annotations = metadata.get("annotations")
    said = str(annotations.get(KEY_ANNOTATION, "")) if isinstance(annotations, dict) else ""
    if said.partition(":")[0] in ENTITY_KINDS and said.partition(":")[2]:
        return said
    return f"{_KINDS.get(str(spec.get('type', '')).lower(), 'service')}:{name}"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
