"""What the forms share: names that every Prometheus accepts, windows and numbers as it writes them, alert labels."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

import promql_parser

from midwatch.core.slo.promql import quoted
from midwatch.core.slo.rules import Rule
from midwatch.model.indicators import Alerting, Notice

_LABEL_CHARS: Final = re.compile(r"[^a-zA-Z0-9_]")
_DASHES: Final = re.compile(r"[^a-z0-9]+")


@lru_cache(maxsize=256)
def window_name(seconds: float) -> str:
    """A window as Prometheus prints it, which is also legal in a metric's name: 5m, 1h30m, 30d, 4w."""
    return promql_parser.display_duration(timedelta(seconds=round(seconds)))


def number(value: float) -> str:
    """Twelve digits: ``1 - 0.999`` carries float noise that nobody wants to read."""
    return f"{value:.12g}"


def selector(metric: str, labels: dict[str, str], window: str = "") -> str:
    matchers = ", ".join(f"{name}={quoted(value)}" for name, value in labels.items())
    return f"{metric}{{{matchers}}}" + (f"[{window}]" if window else "")


def label_names(labels: dict[str, str], *, reserved: frozenset[str] = frozenset()) -> dict[str, str]:
    """A team's labels with names that every Prometheus accepts; those in ``reserved`` are the rule's own."""
    named: dict[str, str] = {}
    for name, value in labels.items():
        legal = _LABEL_CHARS.sub("_", name)
        legal = f"_{legal}" if legal[:1].isdigit() else legal
        if legal and not legal.startswith("__") and legal not in reserved:
            named[legal] = value
    return named


def slug(text: str, longest: int = 63) -> str:
    """A name that Kubernetes and URLs accept."""
    return _DASHES.sub("-", text.lower()).strip("-")[:longest].strip("-") or "slo"


def notice(alerting: Alerting, pages: bool) -> Notice:
    """What an alert of one urgency carries: the common labels and annotations under its own."""
    own = alerting.page if pages else alerting.ticket
    return Notice(own.disabled, {**alerting.labels, **own.labels}, {**alerting.annotations, **own.annotations})


def record(name: str, expr: str, labels: dict[str, str]) -> Rule:
    return {"record": name, "expr": expr, "labels": labels}


def alert(name: str, expr: str, labels: dict[str, str], annotations: dict[str, str], **more: Any) -> Rule:
    return {"alert": name, "expr": expr, **more, "labels": labels, "annotations": annotations}
