"""Alerts that other systems send: what was said (Alert), what became of it (AlertRecord), and what people said beforehand
about some of them (Silence, Inhibition)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from msgspec import Struct, field

INFORMS: Final = 5
"""The severity of an alert that only informs."""
MAX_KEY: Final = 600
MAX_NAME: Final = 200
MAX_SUMMARY: Final = 1024
MAX_LABELS: Final = 64
MAX_LABEL_CHARS: Final = 512
MAX_LINKS: Final = 10
MAX_LINK_CHARS: Final = 1000


class Alert(Struct, frozen=True, omit_defaults=True, gc=False):
    """One message about one alert, from any sender. There may be a hundred thousand, and none can be part of a cycle, so the
    garbage collector need not look at them.

    ``key`` is what makes two messages the same alert: the integration's name and the sender's own key. ``state`` is firing,
    acknowledged or resolved, ``severity`` 1 (worst) to 4 as incidents have it, or 5: it informs. ``at`` is when this was
    said, ``since_at`` when it began (unix seconds). ``entity`` is an entity's key, "" when nothing tells. ``group`` is the
    sender's own grouping, "" for none.
    """

    key: str
    source: str
    state: str
    at: float
    since_at: float
    severity: int = 3
    name: str = ""
    summary: str = ""
    entity: str = ""
    group: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    links: tuple[str, ...] = ()
    by: str = ""  # who acknowledged or closed it, in the sender's words
    runbook: str = ""  # the link that says what to do about it; one of ``links``
    page_lines: tuple[str, ...] = ()  # what a page shows beside its words: links, a few details; short, without secrets


class AlertNote(Struct, frozen=True):
    at: float
    by: str
    text: str


class AlertRecord(Struct, frozen=True, omit_defaults=True, gc=False):
    """An alert's life. ``alert`` is the newest message that said something new; ``seen_at`` and ``count`` take in those
    that did not. ``changed_at`` are the last moments at which it fired or resolved, oldest first.

    ``place`` (grouped, silenced, maintenance, inhibited, informs, flapping or over; "" before triage) and ``why`` say what
    became of it; ``finding`` and ``incident`` where it counts.
    """

    alert: Alert
    first_at: float
    seen_at: float
    count: int = 1
    changed_at: tuple[float, ...] = ()
    place: str = ""
    why: str = ""
    finding: str = ""
    incident: str = ""
    notes: tuple[AlertNote, ...] = ()

    @property
    def firing(self) -> bool:
        return self.alert.state != "resolved"


class Judged(Struct, frozen=True, omit_defaults=True):
    """Where triage put the alert ``key``, and why."""

    key: str
    place: str
    why: str
    finding: str = ""
    incident: str = ""


class Matcher(Struct, frozen=True, omit_defaults=True):
    """``name op value`` over an alert's labels. ``op`` is one of ``= != =~ !~``; patterns must match the whole value. A
    label that is not there is the empty text."""

    name: str
    op: str
    value: str

    def holds(self, labels: Mapping[str, str]) -> bool:
        said = labels.get(self.name, "")
        if self.op in ("=", "!="):
            return (said == self.value) == (self.op == "=")
        return bool(_pattern(self.value).fullmatch(said)) == (self.op == "=~")

    def __str__(self) -> str:
        return f'{self.name}{self.op}"{self.value}"'


class Silence(Struct, frozen=True):
    """Alerts that all ``matchers`` fit wake nobody from ``start_at`` until ``end_at`` (unix seconds). ``kind`` is silence
    or maintenance. Without matchers it fits nothing."""

    id: str
    kind: str
    matchers: tuple[Matcher, ...]
    start_at: float
    end_at: float
    by: str
    reason: str

    def active(self, now: float) -> bool:
        return self.start_at <= now < self.end_at


class Inhibition(Struct, frozen=True):
    """While an alert fits ``source`` and fires, those that fit ``target`` and have the same values of ``equal`` wake
    nobody."""

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()


def words_of(alert: Alert) -> dict[str, str]:
    """What matchers look at: the labels, and ``alertname``, ``source``, ``entity`` and ``severity`` as midwatch has them
    where no label is called so."""
    return {
        "alertname": alert.name,
        "source": alert.source,
        "entity": alert.entity,
        "severity": str(alert.severity),
        **alert.labels,
    }


def fits(matchers: tuple[Matcher, ...], words: Mapping[str, str]) -> bool:
    """Whether all of them hold. No matcher fits nothing, never everything."""
    return bool(matchers) and all(m.holds(words) for m in matchers)


_ONE = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|[^",{}\s]+)\s*(?:,|$)')


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """``alertname="Down", service=~"pay.*"``, with or without braces. Raises ValueError that says what is wrong."""
    inner = text.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1].strip()
    found: list[Matcher] = []
    at = 0
    while at < len(inner):
        one = _ONE.match(inner, at)
        if one is None:
            raise ValueError(f'cannot read {inner[at : at + 40]!r}: write name="value", or with != =~ !~')
        name, op, value = one.groups()
        if value.startswith('"'):
            value = re.sub(r'\\(["\\])', r"\1", value[1:-1])
        if op in ("=~", "!~"):
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"{value!r} is no pattern: {error}") from error
        found.append(Matcher(name, op, value))
        at = one.end()
    if not found:
        raise ValueError('say which alerts: alertname="Down"')
    if all(m.holds({}) for m in found):
        raise ValueError("that would fit every alert: one matcher must ask for something that is there")
    return tuple(found)


@lru_cache(maxsize=1000)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)
