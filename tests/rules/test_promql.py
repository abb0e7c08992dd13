"""Queries as syntax trees: what counts events, what can be grouped, what is refused, and when two are the same."""

from __future__ import annotations

import promql_parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rules.same_query import same

from midwatch.core.slo.promql import duration, events, is_template, matched, ratio, seconds, selectors
from midwatch.core.slo.queries import bucket, counting, go_float
from midwatch.model.errors import ConfigError
from midwatch.model.indicators import BoolGauge, Composite, EventRatio, Histogram, Indicator, RawRatio, Threshold
from midwatch.model.slo import Slo


@pytest.mark.parametrize(
    ("query", "by", "expected"),
    [
        ("sum(rate(x[{{.window}}]))", (), "sum(rate(x[5m])) * 300"),
        ("sum(rate(x[{{ .window }}]))", (), "sum(rate(x[5m])) * 300"),
        ("sum(increase(x[{{.window}}]))", (), "sum(increase(x[5m]))"),
        ("x", (), "sum(increase(x[5m]))"),
        ('sum(x{a="1"})', (), 'sum(increase(x{a="1"}[5m]))'),
        ("sum(x) - sum(y)", (), "sum(increase(x[5m])) - sum(increase(y[5m]))"),
        ("x - y", ("t",), "sum by (t) (increase(x[5m]) - increase(y[5m]))"),
        ("x", ("t", "u"), "sum by (t, u) (increase(x[5m]))"),
        ("sum by (job) (x)", (), "sum(sum by (job) (increase(x[5m])))"),
        ("sum by (job) (x)", ("t",), "sum by (t) (sum by (job, t) (increase(x[5m])))"),
        ("sum(x offset 1h)", (), "sum(increase(x[5m] offset 1h))"),
        ("sum(rate(x[1m]))", (), "sum(increase(x[5m]))"),
        ("histogram_count(sum(x))", (), "histogram_count(sum(increase(x[5m])))"),
        ("sum_over_time((count(x < 1))[{{.window}}:])", ("t",), "sum_over_time((count by (t) (x < 1))[5m:])"),
        ("sum(a) / on (z) group_left (q) sum(b)", ("t",), None),
        ("sum(rate(a[{{.window}}])) > 2", (), "(sum(rate(a[5m])) > 2) * 300"),
        ('sum(rate(a{b="x\\"y\\\\"}[{{.window}}]))', (), 'sum(rate(a{b="x\\"y\\\\"}[5m])) * 300'),
    ],
)
def test_the_events_of_five_minutes(query: str, by: tuple[str, ...], expected: str | None) -> None:
    found = events(query, "5m", by)
    promql_parser.parse(found)
    if expected is not None:
        assert same(found, expected), found


@pytest.mark.parametrize(
    ("query", "by", "why"),
    [
        ("sum(rate(x[{{.window}}]))) ", (), "not PromQL"),
        ("avg_over_time(x[5m])", (), "does not add up"),
        ("1 + 1", (), "selects no series"),
        ("x[{{.window}}]", (), "no instant vector"),
        ("sum(rate(a[{{.window}}])) + sum(increase(a[{{.window}}]))", (), "mixes rates"),
        ("sum(x) or vector(0)", ("t",), "vector() has no labels"),
        ("sum without (t) (x)", ("t",), "sums without them"),
        ("topk(3, x)", ("t",), "topk stands in the way"),
        ("x / ignoring (t) y", ("t",), "ignoring them"),
    ],
)
def test_what_counts_nothing_is_refused_with_its_reason(query: str, by: tuple[str, ...], why: str) -> None:
    with pytest.raises(ConfigError, match=why.replace("(", r"\(").replace(")", r"\)")):
        events(query, "5m", by)


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ('sum by (a,b) (x{p="1",q="2"})', 'sum(x{q="2", p="1"}) by (b, a)', True),
        ("((a)) + b", "a + b", True),
        ("x > 0.0009999999999999432", "x > 0.001", True),
        ("x > 0.00100001", "x > 0.001", False),
        ("a - (b - c)", "a - b - c", False),
        ("a + b", "b + a", False),
        ("sum_over_time(x[5m:])", "sum_over_time(x[5m])", False),
        ("sum(x)", "sum without () (x)", False),
        ("sum(x)", "sum by () (x)", True),
        ("a > b", "a > bool b", False),
        ("a + on (x) b", "a + ignoring (x) b", False),
        ("x offset 5m", "x", False),
        ('x{a="1"}', 'x{a=~"1"}', False),
    ],
)
def test_two_queries_are_the_same_as_trees(a: str, b: str, equal: bool) -> None:
    assert same(a, b) is equal


NAMES = st.sampled_from(["a", "http_requests_total", "x:y"])
TEXTS = st.text(alphabet='ab"\\\n {}é', max_size=6)


@settings(deadline=None)
@given(NAMES, st.dictionaries(st.sampled_from(["l", "m", "n"]), TEXTS, max_size=3))
def test_matchers_survive_whatever_is_in_them(name: str, labels: dict[str, str]) -> None:
    selector = matched(name, **labels)
    read = promql_parser.parse(events(selector, "5m")).expr.args[0].vector_selector
    assert read.name == name
    assert {m.name: m.value for m in read.matchers.matchers} == labels
    assert selectors(f"sum(rate({selector}[{{{{.window}}}}])) + {selector}") == (selector,)


@settings(deadline=None)
@given(st.integers(1, 400 * 86400))
def test_a_duration_is_read_back(whole: int) -> None:
    assert seconds(duration(whole)) == whole


@settings(deadline=None)
@given(st.floats(1e-9, 1e15))
def test_a_bound_is_found_however_it_is_spelt(bound: float) -> None:
    assert float(go_float(bound)) == bound
    (matcher,) = promql_parser.parse(bucket("d_bucket", bound)).matchers.matchers
    spelt = matcher.value if matcher.op == promql_parser.MatchOp.Equal else matcher.value.split("|")[0]
    assert float(spelt.replace("\\", "")) == bound


def test_bounds_as_go_prints_them() -> None:
    printed = [go_float(v) for v in (0.3, 5, 250000, 1e6, 1234567, 0.0001, 0.00001, float("inf"))]
    assert printed == ["0.3", "5", "250000", "1e+06", "1.234567e+06", "0.0001", "1e-05", "+Inf"]
    assert bucket("d_bucket", 5) == r'd_bucket{le=~"5|5\\.0"}'
    assert bucket("d_bucket", 0.3) == 'd_bucket{le="0.3"}'


def slo(indicator: Indicator, by: tuple[str, ...] = ()) -> Slo:
    return Slo("checkout", "service:checkout", "source", 0.99, indicator=indicator, group_by=by)


@pytest.mark.parametrize("by", [(), ("tenant",)])
@pytest.mark.parametrize(
    "indicator",
    [
        EventRatio("all", good="fine"),
        EventRatio("sum(rate(all[{{.window}}]))", bad="sum(rate(wrong[{{.window}}]))"),
        RawRatio("avg(x)", of="good"),
        RawRatio("1 - sum(rate(a[{{.window}}])) / sum(rate(b[{{.window}}]))"),
        Histogram("d_bucket", 0.3),
        Histogram("d", 0.3, "native"),
        BoolGauge("up"),
        Threshold("max(lag)", "lt", 5),
    ],
)
def test_every_indicator_is_two_queries(indicator: Indicator, by: tuple[str, ...]) -> None:
    asked = counting(slo(indicator, by), "5m")
    for query in (asked.good, asked.total):
        promql_parser.parse(query)
        assert not is_template(query)
        assert ("tenant" in query) is bool(by)


def test_what_has_no_queries_says_so() -> None:
    with pytest.raises(ConfigError, match="made of other promises"):
        counting(slo(Composite(())), "5m")
    with pytest.raises(ConfigError, match="counted by midwatch itself"):
        counting(Slo("checkout", "service:checkout", "ratio", 0.99), "5m")


def test_a_ratio_is_averaged_where_it_is_bare() -> None:
    assert same(ratio("avg(x)", "1h"), "avg_over_time((avg(x))[1h:])")
    assert same(ratio("x", "1h", ("t",)), "avg by (t) (avg_over_time((x)[1h:]))")
