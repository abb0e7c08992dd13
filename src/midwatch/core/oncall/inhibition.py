"""Inhibition: while one alert fires, others that follow from it wake nobody. Rules are the policy's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from midwatch.core.triaged import Inhibitors, Values
from midwatch.model.alerts import AlertRecord, Inhibition, fits, words_of


def over(known: Inhibitors, key: str, words: Mapping[str, str]) -> tuple[str, str] | None:
    """(place, why) of the alert ``key``, None when none stands over it. No alert inhibits itself, and one that fits both
    sides of a rule is held back by none of that rule, so that two never silence each other."""
    for rule, firing in known.rules:
        if not fits(rule.target, words) or fits(rule.source, words):
            continue
        by = firing.get(_values(rule, words), "")
        if by and by != key:
            return "inhibited", f"{known.names[by]} fires, which makes this needless"
    return None


def inhibitors(rules: Iterable[Inhibition], alerts: Iterable[AlertRecord]) -> Inhibitors:
    rules = tuple(rules)
    names: dict[str, str] = {}
    sides: tuple[dict[Values, str], ...] = tuple({} for _ in rules)
    for record in alerts if rules else ():
        if not record.firing or record.place in ("silenced", "maintenance"):
            continue
        words = words_of(record.alert)
        for rule, firing in zip(rules, sides, strict=True):
            if fits(rule.source, words):
                firing.setdefault(_values(rule, words), record.alert.key)
                names[record.alert.key] = record.alert.name or record.alert.key
    return Inhibitors(tuple(zip(rules, sides, strict=True)), names)


def leads(rules: Iterable[Inhibition], record: AlertRecord) -> bool:
    """Whether it stands on the source side of a rule: what it does may change what others are put to."""
    rules = tuple(rules)
    words = words_of(record.alert) if rules else {}
    return any(fits(rule.source, words) for rule in rules)


def _values(rule: Inhibition, words: Mapping[str, str]) -> Values:
    return tuple(words.get(name, "") for name in rule.equal)
