"""Which burn-rate tiers hold for a promise: its own, or the policy's, scaled to its period.

A tier is a share of the budget spent within its long window. The policy's factors are meant for 30 days; for another
period the share is kept and the factor follows: ``factor = share * period / long``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from midwatch.model.indicators import Composite, EventRatio, Histogram
from midwatch.model.policy import Policy
from midwatch.model.slo import STANDARD_TIERS, AlertRules, BurnTier, Slo

REFERENCE_SECONDS: Final = 30 * 86400.0
NO_RULES: Final = AlertRules(min_failures=0.0, ticket_z=0.0, outage=False, wake=False)


class AlertPolicy(Struct, frozen=True):
    """A way to alert that can be simulated and compared. ``scaled``: the tiers are meant for 30 days, and scaled to the
    promise's period; else they are taken as written. ``counting``: ``sums`` of good and total over each window, or
    ``ratios``: the mean of 5-minute ratios, as some generators record them."""

    name: str
    tiers: tuple[BurnTier, ...] = STANDARD_TIERS
    rules: AlertRules = AlertRules()
    scaled: bool = True
    counting: Literal["sums", "ratios"] = "sums"

    def tiers_for(self, slo: Slo) -> tuple[BurnTier, ...]:
        return scaled(self.tiers, slo.period_seconds) if self.scaled else self.tiers

    def rules_for(self, slo: Slo) -> AlertRules:
        return guards(slo, self.rules)


GUARDED: Final = AlertPolicy("guarded")
TEXTBOOK: Final = AlertPolicy("textbook", rules=NO_RULES)
AVERAGED: Final = AlertPolicy("averaged ratios", rules=NO_RULES, counting="ratios")


def tiers_of(slo: Slo, policy: tuple[BurnTier, ...]) -> tuple[BurnTier, ...]:
    """What the promise says itself, taken as written; else the policy's tiers, scaled to its period."""
    return slo.tiers if slo.tiers is not None else scaled(policy, slo.period_seconds)


def in_force(slo: Slo, policy: Policy, name: str = "in force") -> AlertPolicy:
    """How the watch alerts on this promise today."""
    rules = replace(policy.alerts, outage=pages_outages(slo, policy.alerts))
    return AlertPolicy(name, heard(slo, policy.tiers), rules, scaled=False)


def heard(slo: Slo, policy: tuple[BurnTier, ...]) -> tuple[BurnTier, ...]:
    """``tiers_of`` less those of an urgency that the team has switched off (``page_alert: {disable: true}``)."""
    said = slo.alerting
    return tuple(
        tier
        for tier in tiers_of(slo, policy)
        if said is None or not (said.page if tier.pages else said.ticket).disabled
    )


def pages_outages(slo: Slo, rules: AlertRules) -> bool:
    """Whether the outage rule holds for this promise: it counts failures, and its pages are not switched off."""
    return rules.outage and counts_events(slo) and not (slo.alerting is not None and slo.alerting.page.disabled)


def share(tier: BurnTier, period_seconds: float = REFERENCE_SECONDS) -> float:
    """The part of the period's budget (0..1 and above) that is spent when the tier fires."""
    return tier.factor * tier.long_seconds / period_seconds


def scaled(tiers: tuple[BurnTier, ...], period_seconds: float) -> tuple[BurnTier, ...]:
    """``tiers`` (meant for 30 days) for another period, at the same share of the budget.

    No factor falls below 1: at a burn of 1 the promise is just kept, and an alert on less would ask people to mend what
    is whole. A tier whose long window is no shorter than the period is left out: it would see the period's end only.
    """
    if period_seconds == REFERENCE_SECONDS:
        return tiers
    return tuple(
        replace(tier, factor=max(1.0, share(tier) * period_seconds / tier.long_seconds))
        for tier in tiers
        if tier.long_seconds < period_seconds
    )


def chosen(tiers: tuple[BurnTier, ...], *, only: Iterable[str] = (), off: Iterable[str] = ()) -> tuple[BurnTier, ...]:
    """The tiers named in ``only`` (none named: all) without those named in ``off``. ValueError names what is not there."""
    names = {tier.name for tier in tiers}
    wanted, unwanted = tuple(only), frozenset(off)
    unknown = sorted({*wanted, *unwanted} - names)
    if unknown:
        raise ValueError(f"no such tier: {', '.join(unknown)} (there are {', '.join(tier.name for tier in tiers)})")
    return tuple(t for t in tiers if (not wanted or t.name in wanted) and t.name not in unwanted)


def counts_events(slo: Slo) -> bool:
    """Whether the promise counts events that can fail each by itself. The age of a queue, a gauge or a threshold is looked
    at again and again: five looks at one stuck queue are one failure, so tests that count failures leave them alone."""
    if slo.sli == "source":
        return isinstance(slo.indicator, EventRatio | Histogram) and slo.slices is None
    return slo.sli in ("ratio", "latency") and slo.slices is None


def guards(slo: Slo, rules: AlertRules, slos: Mapping[str, Slo] = MappingProxyType({})) -> AlertRules:
    """``rules`` as they hold for this promise, in the running watch and in the rules of a Prometheus alike. How many looks
    there are is no measure of how sure one can be (a source that is asked more often has more), so guards that count
    failures leave them alone. Of a composite the failures of its parts count, if those of all parts do (``slos`` by name;
    a part that is not among them is taken to): its own events are a way to say how sure it is, and no tickets' bound."""
    if counts_events(slo):
        return rules
    if isinstance(slo.indicator, Composite):
        parts = [slos[part.slo] for part in slo.indicator.parts if part.slo in slos]
        if all(guards(part, rules, slos).min_failures for part in parts):
            return replace(rules, ticket_z=0.0)
    return replace(rules, min_failures=0.0, ticket_z=0.0)


def stretched(tiers: tuple[BurnTier, ...], step_seconds: float) -> tuple[BurnTier, ...]:
    """``tiers`` where nothing is counted more often than each ``step_seconds``: no window is shorter."""
    return tuple(
        replace(
            tier,
            long_seconds=max(step_seconds, tier.long_seconds),
            short_seconds=max(step_seconds, tier.short_seconds),
        )
        for tier in tiers
    )
