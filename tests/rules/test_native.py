"""Our own form played by promtool: every indicator, groups, slices, composites, and alerts that hold their tongue."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from tests.rules.timeline import Asked, Counter, Piece, Timeline, nearly

from midwatch.core.slo.rules import native
from midwatch.model.errors import ConfigError, UsageError
from midwatch.model.indicators import (
    Alerting,
    BoolGauge,
    Composite,
    EventRatio,
    Histogram,
    Indicator,
    Notice,
    Part,
    RawRatio,
    Slices,
    Threshold,
)
from midwatch.model.slo import AlertRules, BurnTier, Slo
from midwatch.shell.files.rules_out import write_rules, written

Promtool = Callable[..., str]
MINUTES = 120.0


def slo(name: str, indicator: Indicator, **more: Any) -> Slo:
    kept: dict[str, Any] = {"target": 0.9, "period_seconds": MINUTES * 60, "service": "shop"} | more
    return Slo(name=name, entity="service:shop", sli="source", indicator=indicator, **kept)


def series(name: str, *pieces: Piece, gauge: bool = False, **labels: str) -> Counter:
    inside = ",".join(f'{k}="{v}"' for k, v in ({"job": "shop", "instance": "a"} | labels).items())
    return Counter(f"{name}{{{inside}}}", pieces, gauge)


UP = series("up", (6000, 1), gauge=True)
BURST: tuple[Piece, ...] = ((40, 0), (40, 25), (40, 0))
SERIES = [
    series("up", (MINUTES, 1), gauge=True),
    series("http", (MINUTES, 100), tenant="a", code="200"),
    series("http", (MINUTES, 30), tenant="b", code="200"),
    series("http", (MINUTES, 10), tenant="b", code="500"),
    series("took_bucket", (MINUTES, 80), le="0.3"),
    series("took_bucket", (MINUTES, 95), le="5.0"),
    series("took_bucket", (MINUTES, 100), le="+Inf"),
    series("probe_success", (60, 1), (30, 0), (30, 1), gauge=True),
    series("lag", (90, 1), (30, 10), gauge=True),
    series("drops", (MINUTES, 0.25), gauge=True),
    series("calls", (MINUTES, 100), code="200"),
    series("calls", *BURST, code="500"),
]


def test_every_indicator_is_counted_right(tmp_path: Path, promtool: Promtool) -> None:
    bad = 'http{code="500"}'
    slos = [
        slo("bad", EventRatio("http", bad=bad)),
        slo("good", EventRatio("sum(http)", good='sum(http{code="200"})')),
        slo("tenants", EventRatio("http", bad=bad), group_by=("tenant",)),
        slo("quick", Histogram("took_bucket", 0.3)),
        slo("bearable", Histogram('took_bucket{job="shop"}', 5, total='took_bucket{le="+Inf"}')),
        slo("probe", BoolGauge("probe_success")),
        slo("lag", Threshold("max(lag)", "lt", 5)),
        slo("drops", RawRatio("avg(drops)")),
        slo("slices", EventRatio("calls", bad='calls{code="500"}'), slices=Slices(600, 0.95)),
        slo("even", EventRatio("calls", bad='calls{code="500"}'), slices=Slices(600, rule="ratio")),
        slo("none", EventRatio("http", bad='http{code="503"}')),
        slo("mean", Composite((Part("quick", 3), Part("bad", 1)))),
        slo("journey", Composite((Part("quick"), Part("bad")), "all")),
    ]
    wanted = {
        '{slo="bad"}': 10 / 140,
        '{slo="good"}': 10 / 140,
        '{slo="tenants",tenant="b"}': 10 / 40,
        '{slo="quick"}': 0.2,
        '{slo="bearable"}': 0.05,
        '{slo="probe"}': 30 / MINUTES,
        '{slo="lag"}': 30 / MINUTES,
        '{slo="drops"}': 0.25,
        '{slo="slices"}': 4 / 12,
        '{slo="even"}': 4 / 12 * 0.2,
        '{slo="mean"}': (3 * 0.2 + 10 / 140) / 4,
        '{slo="journey"}': 1 - 0.8 * (1 - 10 / 140),
    }
    period = "slo:sli_error:ratio_rate2h"
    asked = [
        # Evaluations on the scrape's minute see a sample at both ends of a window; the first window of all has no begin.
        Asked(MINUTES, f"sum({nearly(period + labels, value, 0.05)})", {"{}": 1})
        for labels, value in wanted.items()
    ]
    zeros = '{slo="none"}', '{slo="tenants",tenant="a"}'
    asked += [Asked(MINUTES, f"sum({period}{labels} == bool 0)", {"{}": 1}) for labels in zeros]
    # Slices evaluate at their own interval, which promtool does not do: what they count is looked at each ten minutes.
    for every, chosen in (("5m", [s for s in slos if s.slices is None]), ("10m", [s for s in slos if s.slices])):
        names = {f'slo="{s.name}"' for s in chosen}
        own = [one for one in asked if any(name in one.expr for name in names)]
        assert own
        Timeline(write_rules(chosen), SERIES, own, every).play(tmp_path, promtool)


def firing(name: str, severity: str = "page") -> str:
    return f'count(ALERTS{{alertstate="firing",slo="{name}",slo_severity="{severity}"}})'


def test_alerts_speak_of_outages_and_not_of_one_failure(tmp_path: Path, promtool: Promtool) -> None:
    month: dict[str, Any] = {"target": 0.999, "period_seconds": 30 * 86400.0}
    lone = slo("lone", EventRatio("quiet", bad='quiet{code="500"}'), **month)
    slos = [
        lone,
        slo("broken", EventRatio("busy", bad='busy{code="500"}'), **month),
        slo("gone", EventRatio("leaving", bad="leaving{code='500'}"), alerting=Alerting("Gone", absent=True), **month),
    ]
    counters = [
        UP,
        series("quiet", (6000, 0.1), code="200"),
        series("quiet", (300, 0), (10, 0.1), (5690, 0), code="500"),
        series("busy", (300, 100), (20, 0), (5680, 100), code="200"),
        series("busy", (300, 0), (20, 100), (5680, 0), code="500"),
        series("leaving", (200, 10), (5800, None), code="200"),
    ]
    one = {"{}": 1.0}
    asked = [
        Asked(299, firing("broken"), {}),
        Asked(310, firing("broken"), one),
        Asked(360, firing("broken"), {}),  # it ended at 320: the slow tier looks back for 30 minutes
        *(Asked(minutes, firing("lone"), {}) for minutes in range(300, 400, 10)),
        Asked(195, firing("gone", "ticket"), {}),
        Asked(225, firing("gone", "ticket"), one),
    ]
    Timeline(write_rules(slos), counters, asked, "5m").play(tmp_path, promtool)
    # The same single failure without the guard, and in Sloth's form.
    careless = write_rules([lone], rules=AlertRules(min_failures=0))
    Timeline(careless, counters, [Asked(315, firing("lone"), one)], "5m").play(tmp_path, promtool)
    named = slo("lone", lone.indicator, alerting=Alerting("Lone"), **month)  # type: ignore[arg-type]
    page = 'count(ALERTS{alertstate="firing",sloth_severity="page"})'
    Timeline(write_rules([named], compat="sloth"), counters, [Asked(312, page, one)], "1m").play(tmp_path, promtool)


def rules_of(text: str) -> list[dict[str, Any]]:
    (document,) = yaml.safe_load_all(text)
    return [rule for group in document["groups"] for rule in group["rules"]]


CALLS = EventRatio("calls", bad='calls{code="500"}')


def test_a_dead_tier_is_left_out_and_tiers_can_be_chosen() -> None:
    lax = slo("lax", CALLS, target=0.9, period_seconds=30 * 86400.0)  # 14.4 x a tenth is more than everything
    page = next(r["expr"] for r in rules_of(write_rules([lax])) if r.get("labels", {}).get("slo_severity") == "page")
    assert "ratio_rate1h" not in page and "ratio_rate6h" in page
    own = slo("own", CALLS, tiers=(BurnTier("mine", 2, 5400, 600, True),))
    alerts = [r for r in rules_of(write_rules([own])) if "alert" in r]
    assert len(alerts) == 1 and "ratio_rate1h30m" in alerts[0]["expr"] and "> 0.2" in alerts[0]["expr"]
    silent = slo("silent", CALLS, alerting=Alerting(page=Notice(True), ticket=Notice(True)))
    assert not [r for r in rules_of(write_rules([silent])) if "alert" in r]


def test_a_teams_words_are_on_its_alerts() -> None:
    told = Alerting(
        "ShopFails",
        labels={"team": "shop"},
        annotations={"runbook": "https://wiki/{{ $labels.slo }}"},
        page=Notice(labels={"severity": "critical"}),
    )
    named = slo("shop", CALLS, alerting=told, labels={"app.kubernetes.io/name": "shop", "slo": "stolen"})
    rules = rules_of(write_rules([named]))
    (alert,) = [r for r in rules if r.get("labels", {}).get("slo_severity") == "page"]
    assert alert["alert"] == "ShopFails"
    assert alert["labels"] == {"team": "shop", "severity": "critical", "slo": "shop", "slo_severity": "page"}
    assert alert["annotations"]["runbook"] == "https://wiki/{{ $labels.slo }}"
    assert rules[0]["labels"] == {"app_kubernetes_io_name": "shop", "slo": "shop", "slo_service": "shop"}


def test_what_cannot_be_written_is_left_out_with_its_reason() -> None:
    own = Slo("own", "service:shop", "ratio", 0.99)
    broken = slo("broken", EventRatio("sum(", good="x"))
    lonely = slo("lonely", Composite((Part("nobody"),)))
    out = written([own, broken, slo("fine", CALLS), lonely])
    assert set(out.left_out) == {"own", "broken", "lonely"}
    assert "not PromQL" in out.left_out["broken"] and "nobody" in out.left_out["lonely"]
    text = write_rules([own, slo("fine", CALLS)])
    assert text.startswith("# left out: own is counted by midwatch itself")
    with pytest.raises(ConfigError, match="counted by midwatch itself"):
        write_rules([own])
    with pytest.raises(UsageError, match="no such form"):
        write_rules([slo("fine", CALLS)], form="html")  # type: ignore[arg-type]


@pytest.mark.parametrize("compat", ["", "sloth"])
def test_resources_and_payloads_hold_the_same_groups(compat: Any, tmp_path: Path, promtool: Promtool) -> None:
    slos = [slo("one", CALLS), slo("two", CALLS, service="bar"), slo("three", CALLS)]
    kept = {slo.name: slo for slo in slos}
    (document,) = yaml.safe_load_all(write_rules(kept.values(), compat=compat, one_document=True))
    groups = {group["name"]: group for group in document["groups"]}
    streamed = list(yaml.safe_load_all(write_rules(kept.values(), compat=compat, form="mimir")))
    assert {group["name"]: group for group in streamed} == groups
    resources = list(yaml.safe_load_all(write_rules(kept.values(), compat=compat, form="crd")))
    assert [(r["kind"], r["metadata"]["name"]) for r in resources] == [
        ("PrometheusRule", "slo-shop"),
        ("PrometheusRule", "slo-bar"),
    ]
    assert {group["name"]: group for r in resources for group in r["spec"]["groups"]} == groups
    rules = tmp_path / "rules.yml"
    for resource in resources:  # what the operator loads is its spec
        rules.write_text(yaml.safe_dump(resource["spec"]))
        promtool("check", "rules", rules)


@pytest.mark.parametrize("compat", ["", "sloth"])
def test_the_dashboard_asks_for_what_the_rules_record(compat: Any) -> None:
    slos = [
        slo("one", CALLS),
        slo("two", CALLS, period_seconds=7 * 86400.0),
        slo("three", CALLS, slices=Slices(600, 0.9)),
    ]
    recorded = {
        rule["record"] for rule in rules_of(write_rules(slos, compat=compat, one_document=True)) if "record" in rule
    }
    board = json.loads(write_rules(slos, compat=compat, form="grafana"))
    assert board["schemaVersion"] == 39
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource" and variables["slo"]["type"] == "query"
    label = "sloth_id" if compat else "slo"
    assert variables["slo"]["definition"] == f"label_values(slo:objective:ratio, {label})"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            names: set[str] = set()
            promql_parser.walk(
                promql_parser.parse(target["expr"]),
                lambda node: names.add(node.name) if isinstance(node, promql_parser.VectorSelector) else None,  # noqa: B023
            )
            assert names and names <= recorded, (panel["title"], names - recorded)


def test_another_period_brings_its_window_and_its_tiers() -> None:
    month = slo("month", CALLS, target=0.999, period_seconds=30 * 86400.0)
    names = [r.get("record") for r in rules_of(write_rules([month], period_seconds=28 * 86400.0))]
    assert "slo:sli_error:ratio_rate4w" in names and "slo:sli_error:ratio_rate30d" not in names
    (group,) = [native.group(month)]
    assert group["interval"] == "5m"


def test_a_native_histogram_is_asked_as_prometheus_wants_it(tmp_path: Path, promtool: Promtool) -> None:
    """promtool 2.42 cannot be fed one, so only the rules are checked."""
    rules = tmp_path / "rules.yml"
    rules.write_text(write_rules([slo("n", Histogram("took", 0.3, "native"), group_by=("tenant",))]))
    assert "histogram_fraction(-Inf, 0.3, sum by (tenant) (increase(took[5m])))" in rules.read_text()
    promtool("check", "rules", rules)
