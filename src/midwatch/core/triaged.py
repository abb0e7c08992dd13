"""What triage remembers between two turns (``oncall/triage.py``): how alerts stood, and what they were held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from midwatch.model.alerts import AlertRecord, Inhibition, Silence

Values = tuple[str, ...]


@dataclass(frozen=True)
class Inhibitors:
    """Per rule the alerts that fire on its source side: values of ``equal`` -> key of the alert. ``names`` says how each of
    them is called."""

    rules: tuple[tuple[Inhibition, Mapping[Values, str]], ...]
    names: Mapping[str, str]


@dataclass(frozen=True)
class Look:
    """What the questions are asked against, once per turn. ``silences`` are those that hold now."""

    silences: tuple[Silence, ...]
    rules: tuple[Inhibition, ...]
    over: Inhibitors


@dataclass(frozen=True)
class Triaged:
    """How things stood when the last turn had been through them: the records, what they were held against, how many keep
    each finding open, what incidents they share (``homes.remembered``), and those that time alone can change. ``unsure``: an
    alert that inhibits others was put elsewhere, so all are to be looked at again."""

    alerts: Mapping[str, AlertRecord]
    look: Look
    counts: Mapping[str, int]
    shared: Mapping[str, str]
    restless: frozenset[str]
    unsure: bool
