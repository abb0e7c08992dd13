"""Sloth and Pyrra: what is said about specs that cannot be honoured, and what goes on beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from midwatch.shell.files.specs import SpecSet

Reading = Callable[..., SpecSet]
SLOTH = """\
version: prometheus/v1
service: shop
slos:
  - name: errors
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(errors_total[{{.window}}]))
        total_query: sum(rate(all_total[{{.window}}]))
    alerting:
      name: ShopErrors
  - name: raw
    objective: 99
    sli:
      raw:
        error_ratio_query: 1 - avg_over_time(up[{{.window}}])
    alerting:
      page_alert: {disable: true}
      ticket_alert: {disable: true}
"""
KUBERNETES = """\
apiVersion: sloth.slok.dev/v1
kind: PrometheusServiceLevel
metadata: {name: shop, namespace: shops, labels: {app: x}}
spec:
  service: shop
  slos:
    - name: errors
      objective: 99.9
      sli:
        events:
          errorQuery: sum(rate(errors_total[{{.window}}]))
          totalQuery: sum(rate(all_total[{{.window}}]))
      alerting:
        name: ShopErrors
        pageAlert: {labels: {pageAlert: kept}}
"""
PYRRA = """\
apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata: {name: fast, labels: {pyrra.dev/team: shop, role: rules}}
spec:
  target: '99'
  window: 2w
  indicator:
    latency:
      success: {metric: 'd_bucket{job="a",le="0.5"}'}
      total: {metric: 'd_count{job="a"}'}
      grouping: [route]
"""


def said(specs: SpecSet) -> list[tuple[str, int, str, str]]:
    return [(Path(p.path).name, p.line, p.key, p.code) for p in specs.problems]


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "code"),
    [
        ("objective: 99.9", "objective: 100", 5, "slos[0].objective", "value-invalid"),
        ("objective: 99.9", "objetive: 99.9", 5, "slos[0].objetive", "unknown-field"),
        ("service: shop", "service: 'a shop'", 2, "service", "name-invalid"),
        ("name: raw", "name: errors", 12, "slos[1].name", "duplicate-name"),
        ("errors_total[{{.window}}]", "errors_total[5m]", 8, "slos[0].sli.events.error_query", "sloth.window-missing"),
        ("name: ShopErrors", "labels: {a: b}", 10, "slos[0].alerting.name", "field-missing"),
        ("      raw:\n", "      rwa:\n", 15, "slos[1].sli.rwa", "unknown-field"),
        ("prometheus/v1", "prometheus/v2", 1, "version", "value-invalid"),
    ],
)
def test_sloth_specs_that_are_wrong(reading: Reading, old: str, new: str, line: int, key: str, code: str) -> None:
    assert old in SLOTH
    assert ("slo.yaml", line, key, code) in said(reading(slo=SLOTH.replace(old, new, 1)))


def test_a_plugin_is_refused_by_name_and_the_rest_goes_on(reading: Reading) -> None:
    plugin = "      plugin:\n        id: sloth-common/http/availability\n        options: {job: shop}\n"
    start, end = SLOTH.index("      events:"), SLOTH.index("    alerting:")
    specs = reading(slo=SLOTH[:start] + plugin + SLOTH[end:])
    assert [slo.name for slo in specs.slos] == ["shop-raw"]
    assert said(specs) == [("slo.yaml", 8, "slos[0].sli.plugin.id", "sloth.sli-plugin")]
    assert "sloth-common/http/availability" in specs.problems[0].message and specs.problems[0].hint


def test_slo_plugins_that_only_check_are_no_matter(reading: Reading) -> None:
    ids = ("sloth.dev/core/sli_rules/v1", "sloth.dev/contrib/validate_victoria_metrics/v1")
    chain = "slo_plugins: {chain: [" + ", ".join(f"{{id: {one}}}" for one in ids) + "]}\n"
    assert reading(slo=SLOTH + chain).problems == ()
    specs = reading(slo=SLOTH + chain.replace("sloth.dev/core/sli_rules", "example.com/other_rules"))
    assert specs.slos == () and [code for *_, code in said(specs)] == ["sloth.slo-plugin"]


def test_the_kubernetes_form_is_told_in_its_own_words(reading: Reading) -> None:
    specs = reading(slo=KUBERNETES)
    assert specs.problems == ()
    (slo,) = specs.slos
    assert slo.alerting is not None and slo.alerting.page.labels == {"pageAlert": "kept"}
    assert slo.annotations == {
        "sloth/slo": "errors",
        "kubernetes/name": "shop",
        "kubernetes/namespace": "shops",
        "kubernetes/labels": '{"app": "x"}',
    }
    specs = reading(slo=KUBERNETES.replace("errorQuery", "errorQury"))
    assert ("slo.yaml", 11, "spec.slos[0].sli.events.errorQury", "unknown-field") in said(specs)
    assert "did you mean errorQuery?" in [p.hint for p in specs.problems]
    specs = reading(slo=KUBERNETES.replace("errors_total[{{.window}}]", "errors_total[5m]"))
    assert said(specs) == [("slo.yaml", 11, "spec.slos[0].sli.events.errorQuery", "sloth.window-missing")]


WINDOWS = """\
apiVersion: sloth.slok.dev/v1
kind: AlertWindows
spec:
  sloPeriod: 7d
  page:
    quick: {errorBudgetPercent: 8, shortWindow: 5m, longWindow: 1h}
    slow: {errorBudgetPercent: 12.5, shortWindow: 30m, longWindow: 6h}
  ticket:
    quick: {errorBudgetPercent: 20, shortWindow: 2h, longWindow: 1d}
    slow: {errorBudgetPercent: 42, shortWindow: 6h, longWindow: 3d}
"""


def test_alert_windows_that_are_wrong(reading: Reading) -> None:
    assert said(reading(w=WINDOWS.replace("shortWindow: 5m", "shortWindow: 2h"))) == [
        ("w.yaml", 6, "spec.page.quick", "sloth.windows-order")
    ]
    assert said(reading(w=WINDOWS.replace("sloPeriod: 7d", "sloPeriod: week"))) == [
        ("w.yaml", 4, "spec.sloPeriod", "duration-invalid")
    ]
    other = WINDOWS.replace("errorBudgetPercent: 8,", "errorBudgetPercent: 9,")
    assert said(reading(w=WINDOWS, x=other)) == [("x.yaml", 4, "spec.sloPeriod", "duplicate-name")]


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "code"),
    [
        ("'99'", "'all'", 5, "spec.target", "value-invalid"),
        ("'99'", "'100'", 5, "spec.target", "value-invalid"),
        ("2w", "two weeks", 6, "spec.window", "duration-invalid"),
        ("2w", "2y", 6, "spec.window", "pyrra.window-length"),
        (',le="0.5"', "", 9, "spec.indicator.latency.success.metric", "pyrra.le-missing"),
        ('le="0.5"', 'le=~"0.5"', 9, "spec.indicator.latency.success.metric", "pyrra.le-missing"),
        ('le="0.5"', 'le="+Inf"', 9, "spec.indicator.latency.success.metric", "pyrra.le-missing"),
        (
            'd_count{job="a"}',
            'rate(d_count{job="a"}[5m])',
            10,
            "spec.indicator.latency.total.metric",
            "pyrra.not-a-selector",
        ),
        ('d_count{job="a"}', "d_count{", 10, "spec.indicator.latency.total.metric", "promql-invalid"),
        ("grouping: [route]", "grouping: ['a b']", 11, "spec.indicator.latency.grouping", "value-invalid"),
        ("    latency:\n", "    latncy:\n", 8, "spec.indicator.latncy", "unknown-field"),
    ],
)
def test_pyrra_specs_that_are_wrong(reading: Reading, old: str, new: str, line: int, key: str, code: str) -> None:
    assert old in PYRRA
    specs = reading(slo=PYRRA.replace(old, new, 1))
    assert specs.slos == () and ("slo.yaml", line, key, code) in said(specs)


def test_pyrra_s_labels_and_alerting(reading: Reading) -> None:
    (slo,) = reading(slo=PYRRA).slos
    assert slo.labels == {"team": "shop"} and slo.owner == "shop" and slo.group_by == ("route",)
    assert slo.alerting is not None and slo.alerting.absent and not slo.alerting.page.disabled
    (slo,) = reading(slo=PYRRA + "  alerting: {disabled: true, name: Slow}\n").slos
    assert slo.alerting is not None and slo.alerting.name == "Slow"
    assert slo.alerting.page.disabled and slo.alerting.ticket.disabled and not slo.alerting.absent


def test_names_are_unique_across_formats(reading: Reading) -> None:
    specs = reading(a=PYRRA, b=SLOTH.replace("service: shop", "service: x"), c=PYRRA)
    assert [slo.name for slo in specs.slos] == ["fast", "x-errors", "x-raw"]
    assert said(specs) == [("c.yaml", 3, "metadata.name", "duplicate-name")]
