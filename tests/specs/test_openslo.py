"""OpenSLO: references, alerts, composites, annotations, versions, and what is said about the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from midwatch.model.indicators import BoolGauge, Calendar, Composite, EventRatio, Histogram, Part, Slices, Threshold
from midwatch.model.slo import BurnTier, Slo
from midwatch.shell.files.specs import SpecSet, read_specs
from midwatch.shell.files.specs.common import longest_seconds
from midwatch.shell.files.specs.write import to_openslo_v1

Reading = Callable[..., SpecSet]
SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: shop}
spec:
  service: shop
  indicatorRef: shop-errors
  timeWindow: [{duration: 4w, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
  alertPolicies:
    - alertPolicyRef: burning
"""
SLI = """\
apiVersion: openslo/v1
kind: SLI
metadata: {name: shop-errors}
spec:
  ratioMetric:
    counter: true
    bad: {metricSource: {metricSourceRef: main, spec: {query: 'http_requests{code="500"}'}}}
    total: {metricSource: {metricSourceRef: main, spec: {query: http_requests}}}
"""
SOURCE = """\
apiVersion: openslo/v1
kind: DataSource
metadata: {name: main}
spec: {type: Prometheus, connectionDetails: {url: "http://prometheus.example.com"}}
"""
POLICY = """\
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: burning}
spec:
  alertWhenBreaching: true
  alertWhenNoData: true
  conditions: [{conditionRef: fast}]
  notificationTargets: [{targetRef: pager}]
"""
CONDITION = """\
apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: fast}
spec:
  severity: page
  condition: {kind: burnrate, op: gt, threshold: 14.4, lookbackWindow: 1h, alertAfter: 5m}
"""
TARGET = """\
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: pager}
spec: {target: pagerduty}
"""
ALL = {"slo": SLO, "sli": SLI, "source": SOURCE, "policy": POLICY, "condition": CONDITION, "target": TARGET}
INLINE = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: shop}
spec:
  service: shop
  indicator:
    metadata: {name: shop-errors}
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {metricSourceRef: main, spec: {query: 'http_requests{code="500"}'}}}
        total: {metricSource: {metricSourceRef: main, spec: {query: http_requests}}}
  timeWindow: [{duration: 4w, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
  alertPolicies:
    - kind: AlertPolicy
      metadata: {name: burning}
      spec:
        alertWhenBreaching: true
        alertWhenNoData: true
        conditions:
          - kind: AlertCondition
            metadata: {name: fast}
            spec:
              severity: page
              condition: {kind: burnrate, op: gt, threshold: 14.4, lookbackWindow: 1h, alertAfter: 5m}
        notificationTargets:
          - kind: AlertNotificationTarget
            metadata: {name: pager}
            spec: {target: pagerduty}
"""
PLAIN = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: plain}
spec:
  service: web
  indicator:
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Prometheus, spec: {query: good_total}}}
        total: {metricSource: {type: Prometheus, spec: {query: all_total}}}
  timeWindow:
    - {duration: 30d, isRolling: true}
  budgetingMethod: Occurrences
  objectives:
    - {target: 0.99}
"""
THRESHOLD = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: lag}
spec:
  service: web
  indicator:
    spec:
      thresholdMetric:
        metricSource: {type: Prometheus, spec: {query: lag_seconds}}
  objectives:
    - {op: lte, value: 5, target: 0.99}
"""
COMPOSITE = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: journey}
spec:
  service: shop
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives:
    - target: 0.99
      compositeWeight: 3
      indicatorRef: shop-errors
    - target: 0.95
      indicator:
        metadata: {name: pay}
        spec:
          ratioMetric:
            counter: true
            good: {metricSource: {type: Prometheus, spec: {query: paid_total}}}
            total: {metricSource: {type: Prometheus, spec: {query: pay_total}}}
"""


def bare(slos: tuple[Slo, ...]) -> list[Slo]:
    return [replace(slo, source="") for slo in slos]


def said(specs: SpecSet) -> list[tuple[str, int, str, str]]:
    return [(Path(p.path).name, p.line, p.key, p.code) for p in specs.problems]


def test_references_are_found_across_files(reading: Reading) -> None:
    specs = reading(**ALL)
    assert specs.problems == () and len(specs.documents) == 6
    (slo,) = specs.slos
    assert slo.indicator == EventRatio("http_requests", bad='http_requests{code="500"}')
    assert slo.data_source == "main" and slo.period_seconds == 28 * 86400
    assert slo.tiers == (BurnTier("fast", 14.4, 3600.0, 300.0, True),)
    assert slo.alerting is not None and slo.alerting.name == "burning" and slo.alerting.absent
    assert slo.alerting.annotations == {"notify": "pager"}


def test_inline_and_by_reference_are_the_same_promise(tmp_path: Path) -> None:
    for name, text in ALL.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    referred = read_specs([tmp_path]).slos
    (tmp_path / "inline").mkdir()
    (tmp_path / "inline" / "slo.yaml").write_text(INLINE)
    (tmp_path / "inline" / "source.yaml").write_text(SOURCE)
    assert bare(read_specs([tmp_path / "inline"]).slos) == bare(referred)


@pytest.mark.parametrize(
    ("gone", "file", "line", "key"),
    [
        ("sli", "slo.yaml", 6, "spec.indicatorRef"),
        ("policy", "slo.yaml", 11, "spec.alertPolicies[0].alertPolicyRef"),
        ("condition", "policy.yaml", 7, "spec.conditions[0].conditionRef"),
        ("target", "policy.yaml", 8, "spec.notificationTargets[0].targetRef"),
        ("source", "sli.yaml", 7, "spec.ratioMetric.bad.metricSource.metricSourceRef"),
    ],
)
def test_a_reference_that_nobody_defines(reading: Reading, gone: str, file: str, line: int, key: str) -> None:
    specs = reading(**{name: text for name, text in ALL.items() if name != gone})
    assert specs.slos == ()
    assert (file, line, key, "openslo.reference-missing") in said(specs)
    assert {code for *_, code in said(specs)} == {"openslo.reference-missing"}


def test_a_name_that_is_close_is_suggested(reading: Reading) -> None:
    specs = reading(slo=SLO.replace("shop-errors", "shop-error").split("  alertPolicies")[0], sli=SLI, source=SOURCE)
    assert [p.hint for p in specs.problems] == ["did you mean shop-errors?"]


def test_the_same_name_with_two_meanings(reading: Reading) -> None:
    other = SLI.replace("http_requests}", "http_requests_total}")
    specs = reading(**ALL, sli2=other)
    assert [(key, code) for _, _, key, code in said(specs)] == [("spec.indicatorRef", "openslo.reference-ambiguous")]
    assert "sli.yaml:3" in specs.problems[0].hint and "sli2.yaml:3" in specs.problems[0].hint
    assert reading(**ALL, sli2=SLI).problems == ()  # said twice, it is still one thing


def test_a_library_that_nothing_uses_may_lack_things(reading: Reading) -> None:
    specs = reading(policy=POLICY)
    assert specs.problems == () and [d.kind for d in specs.documents] == ["AlertPolicy"]


def test_alerts(reading: Reading) -> None:
    slo = reading(slo=INLINE.replace("severity: page", "severity: ticket").replace(", alertAfter: 5m", ""), s=SOURCE)
    assert slo.slos[0].tiers == (BurnTier("fast", 14.4, 3600.0, 300.0, False),)
    quiet = reading(slo=INLINE.replace("alertWhenBreaching: true", "alertWhenBreaching: false"), s=SOURCE)
    assert quiet.slos[0].tiers == ()
    backwards = reading(slo=INLINE.replace("op: gt", "op: lte"), s=SOURCE)
    assert [code for *_, code in said(backwards)] == ["openslo.alert-backwards"]


def test_a_composite_is_its_parts_and_the_whole(reading: Reading) -> None:
    specs = reading(slo=COMPOSITE, sli=SLI, source=SOURCE)
    assert specs.problems == ()
    first, second, whole = specs.slos
    assert (first.name, second.name, whole.name) == ("journey-1", "journey-2", "journey")
    assert first.indicator == EventRatio("http_requests", bad='http_requests{code="500"}')
    assert whole.indicator == Composite((Part("journey-1", 3.0), Part("journey-2", 1.0)), "weighted")
    assert whole.target == pytest.approx((3 * 0.99 + 0.95) / 4)
    all_of = COMPOSITE.replace("{name: journey}", '{name: journey, annotations: {"midwatch/composite": all}}')
    whole = reading(slo=all_of).slos[2]
    assert isinstance(whole.indicator, Composite) and whole.indicator.rule == "all"
    assert whole.target == pytest.approx(0.99 * 0.95)


def test_a_composite_with_a_part_that_nobody_counts(reading: Reading) -> None:
    specs = reading(slo=COMPOSITE.replace("type: Prometheus", "type: Datadog"), sli=SLI, source=SOURCE)
    assert set(specs.unserved) == {"journey-2", "journey"}


@pytest.mark.parametrize(
    ("text", "indicator"),
    [
        (THRESHOLD, Threshold("lag_seconds", "lte", 5.0)),
        (THRESHOLD.replace("query: lag_seconds", "gauge: up"), BoolGauge("up")),
        (
            THRESHOLD.replace("query: lag_seconds", "histogram: lag_bucket, total: lag_count"),
            Histogram("lag_bucket", 5.0, total="lag_count"),
        ),
        (
            THRESHOLD.replace("query: lag_seconds", "histogram: lag, kind: native"),
            Histogram("lag", 5.0, kind="native"),
        ),
    ],
)
def test_thresholds(reading: Reading, text: str, indicator: object) -> None:
    specs = reading(slo=text)
    assert specs.problems == () and specs.slos[0].indicator == indicator


def test_groups_and_slices(reading: Reading) -> None:
    notes = '{"midwatch/group-by": "tenant, route", "midwatch/max-groups": "7", owner: team-web}'
    text = PLAIN.replace("{name: plain}", f"{{name: plain, annotations: {notes}}}").replace(
        "Occurrences", "RatioTimeslices"
    )
    (slo,) = reading(slo=text.replace("{target: 0.99}", "{target: 0.99, timeSliceWindow: 5m}")).slos
    assert slo.group_by == ("tenant", "route") and slo.max_groups == 7
    assert slo.annotations == {"owner": "team-web"} and slo.owner == "team-web"
    assert slo.slices == Slices(300.0, rule="ratio")


@pytest.mark.parametrize(
    ("duration", "calendar"),
    [
        ("1d", Calendar("day", 1, "Europe/Berlin", "2026-01-01T00:00:00")),
        ("2w", Calendar("week", 2, "Europe/Berlin", "2026-01-01T00:00:00")),
        ("1M", Calendar("month", 1, "Europe/Berlin", "2026-01-01T00:00:00")),
        ("1Q", Calendar("quarter", 1, "Europe/Berlin", "2026-01-01T00:00:00")),
        ("1Y", Calendar("year", 1, "Europe/Berlin", "2026-01-01T00:00:00")),
    ],
)
def test_calendar_windows(reading: Reading, duration: str, calendar: Calendar) -> None:
    window = f"{{duration: {duration}, calendar: {{startTime: 2026-01-01 00:00:00, timeZone: Europe/Berlin}}}}"
    (slo,) = reading(slo=PLAIN.replace("{duration: 30d, isRolling: true}", window)).slos
    assert slo.calendar == calendar and slo.period_seconds == longest_seconds(calendar)


@pytest.mark.parametrize(
    ("calendar", "days"),
    [
        (Calendar("day"), 1),
        (Calendar("week", 2), 14),
        (Calendar("month"), 31),
        (Calendar("month", 2), 62),  # July and August
        (Calendar("quarter"), 92),
        (Calendar("month", 11), 337),  # all but February
        (Calendar("year"), 366),
        (Calendar("month", 14), 366 + 62),
    ],
)
def test_the_longest_period_of_a_calendar(calendar: Calendar, days: int) -> None:
    assert longest_seconds(calendar) == days * 86400 + 3600


def test_rolling_months_have_the_sdk_s_length(reading: Reading) -> None:
    (slo,) = reading(slo=PLAIN.replace("30d", "1Q")).slos
    assert slo.period_seconds == 90 * 86400 and slo.calendar is None


V2 = """\
- apiVersion: openslo.com/v2alpha
  kind: SLO
  metadata: {name: web, labels: {env: prod, service: any}}
  spec:
    serviceRef: web
    sli:
      metadata: {name: good-ones}
      spec:
        ratioMetric:
          counter: true
          good: {dataSourceRef: main, spec: {query: good_total}}
          total: {dataSourceRef: main, spec: {query: all_total}}
    timeWindow: [{duration: 1w, isRolling: true}]
    budgetingMethod: Occurrences
    objectives: [{target: 0.995}]
- apiVersion: openslo.com/v2alpha
  kind: SLO
  metadata: {name: lag}
  spec:
    serviceRef: web
    sliRef: lag
    timeWindow: [{duration: 1w, isRolling: true}]
    budgetingMethod: Occurrences
    objectives: [{target: 0.9, op: lt, value: 5}]
- apiVersion: openslo.com/v2alpha
  kind: SLI
  metadata: {name: lag}
  spec:
    thresholdMetric:
      dataSourceSpec: {type: Prometheus, connectionDetails: {url: "http://prometheus.example.com"}}
      spec: {query: lag_seconds}
- apiVersion: openslo.com/v2alpha
  kind: DataSource
  metadata: {name: main}
  spec: {type: prometheus, connectionDetails: [{url: "http://prometheus.example.com"}]}
"""


def test_v2alpha(reading: Reading, tmp_path: Path) -> None:
    specs = reading(all=V2)
    assert specs.problems == () and specs.unserved == {}
    web, lag = specs.slos
    assert web.indicator == EventRatio("all_total", good="good_total") and web.data_source == "main"
    assert web.labels == {"env": "prod", "service": "any"}
    assert lag.indicator == Threshold("lag_seconds", "lt", 5.0) and lag.data_source == "lag-source-1"
    written = tmp_path / "written"
    written.mkdir()
    (written / "all.yaml").write_text(to_openslo_v1(specs))
    assert bare(read_specs([written]).slos) == bare(specs.slos)


def test_problems_name_what_was_written_whatever_the_version(reading: Reading) -> None:
    specs = reading(all=V2.replace("sliRef: lag", "sliRef: lags"))
    assert said(specs) == [("all.yaml", 21, "[1].spec.sliRef", "openslo.reference-missing")]
    specs = reading(all=V2.replace("sliRef: lag", "indicatorRef: lag"))
    assert said(specs) == [("all.yaml", 21, "[1].spec.indicatorRef", "unknown-field")]
    assert specs.problems[0].hint == "did you mean sliRef?"
    assert [slo.name for slo in specs.slos] == ["web"]  # the rest goes on


@pytest.mark.parametrize(
    ("old", "new", "key", "code"),
    [
        ("30d", "soon", "spec.timeWindow[0].duration", "value-invalid"),
        ("30d", "0d", "spec.timeWindow[0].duration", "duration-invalid"),
        ("30d", "2Y", "spec.timeWindow[0].duration", "openslo.window-length"),
        ("{duration: 30d, isRolling: true}", "{duration: 30d}", "spec.timeWindow[0]", "openslo.window-form"),
        ("isRolling: true", "calendar: {timeZone: UTC}", "spec.timeWindow[0].calendar.startTime", "field-missing"),
        (
            "isRolling: true",
            "calendar: {timeZone: Europe/Atlantis, startTime: 2026-01-01 00:00:00}",
            "spec.timeWindow[0].calendar.timeZone",
            "time-zone-invalid",
        ),
        (
            "isRolling: true",
            "calendar: {timeZone: UTC, startTime: 2026-02-30 00:00:00}",
            "spec.timeWindow[0].calendar.startTime",
            "yaml",
        ),
        (
            "isRolling: true",
            "calendar: {timeZone: UTC, startTime: 'Monday'}",
            "spec.timeWindow[0].calendar.startTime",
            "start-time-invalid",
        ),
        (
            "30d, isRolling: true",
            "6h, calendar: {timeZone: UTC, startTime: 2026-01-01 00:00:00}",
            "spec.timeWindow[0].duration",
            "openslo.calendar-unit",
        ),
        ("{target: 0.99}", "{}", "spec.objectives[0]", "openslo.target-missing"),
        ("{target: 0.99}", "{target: 0.99, targetPercent: 99}", "spec.objectives[0]", "openslo.target-twice"),
        ("{target: 0.99}", "{target: 0}", "spec.objectives[0].target", "openslo.target-zero"),
        ("{target: 0.99}", "{target: 0.99, value: 3}", "spec.objectives[0].value", "openslo.field-meaningless"),
        ("{target: 0.99}", "{targt: 0.99}", "spec.objectives[0].targt", "unknown-field"),
        (
            "budgetingMethod: Occurrences",
            "budgetingMethod: Timeslices",
            "spec.objectives[0].timeSliceTarget",
            "openslo.slice-target-missing",
        ),
        ("name: plain", "name: Plain", "metadata.name", "name-invalid"),
        ("kind: SLO", "kind: SLOO", "kind", "openslo.kind-unknown"),
        ("openslo/v1", "openslo/v9", "apiVersion", "openslo.version-unknown"),
        (
            "query: good_total",
            "qury: good_total",
            "spec.indicator.spec.ratioMetric.good.metricSource.spec.qury",
            "unknown-field",
        ),
        (
            "good: {metricSource: {type: Prometheus,",
            "good: {metricSource: {type: Prometheus, metricSourceRef: other,",
            "spec.indicator.spec.ratioMetric.total.metricSource",
            "openslo.sources-mixed",
        ),
        (
            "{name: plain}",
            '{name: plain, annotations: {"midwatch/group-bye": a}}',
            "metadata.annotations.midwatch/group-bye",
            "unknown-field",
        ),
        (
            "{name: plain}",
            '{name: plain, annotations: {"midwatch/tiers": "fast"}}',
            "metadata.annotations.midwatch/tiers",
            "annotation-invalid",
        ),
    ],
)
def test_what_is_wrong_has_a_place_and_a_code(reading: Reading, old: str, new: str, key: str, code: str) -> None:
    assert old in PLAIN
    specs = reading(slo=PLAIN.replace(old, new, 1))
    assert specs.slos == () and (key, code) in [(k, c) for _, _, k, c in said(specs)]
    assert all(p.line > 0 for p in specs.problems if p.key)


def test_one_bad_spec_does_not_take_the_others_along(reading: Reading) -> None:
    specs = reading(a=PLAIN.replace("0.99}", "2}"), b=PLAIN, c=THRESHOLD)
    assert [slo.name for slo in specs.slos] == ["plain", "lag"]
    assert said(specs) == [("a.yaml", 16, "spec.objectives[0].target", "value-invalid")]


def test_what_midwatch_cannot_count_is_read_and_said(reading: Reading) -> None:
    specs = reading(
        a=PLAIN.replace("type: Prometheus", "type: Datadog"),
        b=PLAIN.replace("plain", "single").replace("counter: true", "counter: false"),
    )
    assert specs.problems == () and [slo.name for slo in specs.slos] == ["plain", "single"]
    codes = {name: {p.code for p in why} for name, why in specs.unserved.items()}
    assert codes == {"plain": {"openslo.source-unsupported"}, "single": {"openslo.counter-false"}}


def test_a_file_that_is_no_spec(reading: Reading) -> None:
    specs = reading(a="apiVersion: opnslo/v1\nkind: SLO\n", b="mode: shadow\n")
    assert said(specs) == [("a.yaml", 1, "apiVersion", "unknown-document")]
    assert specs.problems[0].hint == "did you mean openslo/v1?"
