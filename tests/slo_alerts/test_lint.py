"""Every lint rule, by a promise that breaks it and one that does not."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from midwatch.core.slo.lint import RULES, Facts, lint, selectors_of
from midwatch.core.slo.lint.needs import needs
from midwatch.core.slo.tiers import GUARDED, TEXTBOOK, AlertPolicy
from midwatch.model.indicators import Composite, EventRatio, Histogram, Part, RawRatio
from midwatch.model.slo import BurnTier, Slo

PLAIN = Slo("s", "service:pay", "ratio", 0.999)
RATIO = EventRatio(
    "sum(rate(http_requests_total{job='pay'}[{{.window}}]))",
    bad="sum(rate(http_requests_total{job='pay',code=~'5..'}[{{.window}}]))",
)
SOURCED = replace(PLAIN, sli="source", indicator=RATIO)
BUCKETS = replace(PLAIN, sli="source", indicator=Histogram("latency_seconds_bucket", 0.3))
KNOWN = Facts(
    per_minute=600.0,
    buckets=(0.1, 0.25, 0.3, 0.5, float("inf")),
    retention_seconds=90 * 86400.0,
    matched={s: 3 for slo in (SOURCED, BUCKETS) for s in selectors_of(slo)},
    dependencies={"database:pg": 0.9999},
    impossible_steps=0,
)
WEAK = AlertPolicy("weak", (BurnTier("early", 0.5, 3600, 300, True),))

BROKEN = [
    ("dead-tier", "error", replace(PLAIN, target=0.9), GUARDED, {}, "more than all requests failing"),
    ("factor-below-1", "error", PLAIN, WEAK, {}, "below 1 the promise is kept"),
    ("single-failure", "error", PLAIN, TEXTBOOK, {"per_minute": 1.0}, "a single failure fires the fast tier"),
    ("starved-tier", "warning", PLAIN, GUARDED, {"per_minute": 0.05}, "hold 3 events, and it takes 5 failures"),
    ("missing-bucket", "error", BUCKETS, GUARDED, {"buckets": (0.1, 0.25, 0.5)}, "the nearest are 0.25 and 0.5"),
    ("good-above-total", "error", SOURCED, GUARDED, {"impossible_steps": 7}, "7 steps count more good"),
    ("short-retention", "warning", SOURCED, GUARDED, {"retention_seconds": 15 * 86400.0}, "keeps 360 h"),
    ("short-retention", "error", SOURCED, GUARDED, {"retention_seconds": 86400.0}, "keeps 24 h"),
    (
        "unparsable",
        "error",
        replace(SOURCED, indicator=RawRatio("sum(rate(")),
        GUARDED,
        {},
        "not PromQL",
    ),
    (
        "matches-nothing",
        "error",
        SOURCED,
        GUARDED,
        {"matched": dict.fromkeys(selectors_of(SOURCED), 0)},
        "no series matches http_requests_total",
    ),
    (
        "above-dependencies",
        "warning",
        PLAIN,
        GUARDED,
        {"dependencies": {"a": 0.9995, "b": 0.9993}},
        "promises 99.8800% together",
    ),
    ("no-failure-allowed", "warning", PLAIN, GUARDED, {"per_minute": 0.01}, "the first failure breaks"),
]


@pytest.mark.parametrize(("rule", "level", "slo", "policy", "facts", "words"), BROKEN)
def test_what_is_wrong_is_said(
    rule: str, level: str, slo: Slo, policy: AlertPolicy, facts: dict[str, object], words: str
) -> None:
    found = [r for r in lint(slo, policy, replace(KNOWN, **facts)) if r.rule == rule]
    assert found and found[0].level == level
    assert any(words in r.message for r in found), found
    assert all(r.hint for r in found if rule != "unparsable")


@pytest.mark.parametrize("slo", [PLAIN, SOURCED, BUCKETS])
def test_what_is_fine_is_silent(slo: Slo) -> None:
    assert lint(slo, GUARDED, KNOWN) == ()


@pytest.mark.parametrize(
    ("matcher", "hint"),
    [
        ('code="5.."', 'code=~"5.."'),
        ('code="500|503"', 'code=~"500|503"'),
        ('code="500"', "its labels"),
        ('a!="5.."', "its"),
    ],
)
def test_a_pattern_that_is_no_pattern_is_seen(matcher: str, hint: str) -> None:
    slo = replace(SOURCED, indicator=EventRatio("x_total", bad=f"x_total{{{matcher}}}"))
    found = lint(slo, GUARDED, replace(KNOWN, matched=dict.fromkeys(selectors_of(slo), 0)))
    assert hint in found[-1].hint and all("=~" not in r.hint for r in found[:-1])


def test_every_rule_is_broken_by_some_case() -> None:
    """Each rule of the list is the one that speaks in some case above."""
    for rule in RULES:
        assert any(
            any(remark.level != "not checked" for remark in rule(slo, policy, replace(KNOWN, **facts)))
            for _, _, slo, policy, facts, _ in BROKEN
        ), rule.__name__


def test_a_missing_fact_is_said_and_not_taken_for_fine() -> None:
    found = {r.rule: r.message for r in lint(BUCKETS, TEXTBOOK)}
    assert set(found) == {
        "single-failure",
        "starved-tier",
        "missing-bucket",
        "good-above-total",
        "short-retention",
        "matches-nothing",
        "above-dependencies",
        "no-failure-allowed",
    }
    assert all(message.startswith("not checked: ") for message in found.values())
    assert "short-retention" not in {r.rule for r in lint(PLAIN)}, "midwatch's own ledger keeps the period"


def test_the_guard_against_single_failures_makes_the_rule_silent() -> None:
    assert not [r for r in lint(PLAIN, GUARDED, replace(KNOWN, per_minute=1.0)) if r.rule == "single-failure"]


def test_the_selectors_are_those_of_the_queries() -> None:
    total, bad = selectors_of(SOURCED)
    assert (total, 'code=~"5.."' in bad) == ('http_requests_total{job="pay"}', True)
    assert selectors_of(PLAIN) == ()


def test_what_a_promise_needs_is_what_its_journey_or_its_calls_say() -> None:
    pay, db = replace(PLAIN, name="pay-good"), Slo("db-good", "database:pg", "ratio", 0.9995)
    worse, slow = replace(db, name="db-worse", target=0.9), replace(db, name="db-fast", sli="latency", target=0.99999)
    journey = replace(SOURCED, name="buy", indicator=Composite((Part("pay-good"), Part("db-good")), "all"))
    mean = replace(journey, name="mean", indicator=Composite(journey.indicator.parts, "weighted"))
    slos = (pay, db, worse, slow, journey, mean)
    alone = {"buy": {"pay-good": 0.999, "db-good": 0.9995}}
    assert needs(slos, None) == alone, "without a watch nobody knows who calls whom"
    calls = {"service:pay": ["database:pg", "service:pay", "cache:valkey"]}
    assert needs(slos, calls) == {**alone, "pay-good": {"db-good": 0.9995}, "db-good": {}, "db-worse": {}}
