"""Whatever lies in a file, reading gives promises and problems; whatever is promised, writing loses nothing."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from midwatch.model.indicators import (
    Alerting,
    BoolGauge,
    Calendar,
    EventRatio,
    Histogram,
    Notice,
    RawRatio,
    Slices,
    Threshold,
)
from midwatch.model.slo import BurnTier, Slo
from midwatch.shell.files.specs import SpecSet, documents_of, is_spec, specs_of
from midwatch.shell.files.specs.write import dumped, openslo_of, to_openslo_v1
from midwatch.shell.files.yaml_lines import parse

from . import test_openslo, test_sloth_pyrra

SEEDS = [
    yaml.safe_load(text)
    for text in (
        *test_openslo.ALL.values(),
        test_openslo.INLINE,
        test_openslo.COMPOSITE,
        test_openslo.THRESHOLD,
        test_openslo.V2,
        test_sloth_pyrra.SLOTH,
        test_sloth_pyrra.KUBERNETES,
        test_sloth_pyrra.WINDOWS,
        test_sloth_pyrra.PYRRA,
    )
]
WORDS = sorted(
    {
        "apiVersion", "kind", "metadata", "name", "spec", "labels", "annotations", "service", "indicator", "ratioMetric",
        "metricSource", "query", "objectives", "target", "timeWindow", "duration", "calendar", "slos", "sli", "version",
        "openslo/v1", "openslo/v1alpha", "openslo.com/v2alpha", "prometheus/v1", "sloth.slok.dev/v1", "SLO", "SLI",
        "pyrra.dev/v1alpha1", "ServiceLevelObjective", "PrometheusServiceLevel", "AlertWindows", "midwatch/tiers",
        "1d", "1M", "30d", "UTC", "a", "up{", "{{.window}}",
    }
)  # fmt: skip
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.dates(),
    st.datetimes(),
    st.binary(max_size=4),
    st.sampled_from(WORDS),
    st.text(max_size=12),
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(WORDS), st.text(max_size=8)), inner, max_size=5),
    ),
    max_leaves=20,
)


def read(text: str) -> SpecSet:
    documents, problems = parse(text, "x.yaml")
    specs = [one for document in documents if is_spec(document.value) for one in documents_of(document)]
    found = specs_of(specs, problems)
    to_openslo_v1(found)
    return found


@settings(max_examples=150, deadline=None)
@given(
    anything,
    st.sampled_from(
        [
            "openslo/v1",
            "openslo/v1alpha",
            "openslo.com/v2alpha",
            "sloth.slok.dev/v1",
            "pyrra.dev/v1alpha1",
            "prometheus/v1",
        ]
    ),
)
def test_any_tree_gives_problems_and_never_raises(tree: Any, version: str) -> None:
    whole = {**tree, "apiVersion": version, "version": version} if isinstance(tree, dict) else tree
    found = read(yaml.safe_dump(whole, allow_unicode=True))
    assert found.problems or found.slos or found.documents or not is_spec(whole)


def places(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [at, *(place for key, one in inside for place in places(one, (*at, key)))]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_spec_with_anything_anywhere_never_raises(data: st.DataObject) -> None:
    tree = copy.deepcopy(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places(tree)))
        if not place:
            continue
        holder = tree
        for step in place[:-1]:
            holder = holder[step]
        how = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if how == "remove":
            del holder[place[-1]]
        elif how == "add" and isinstance(holder, dict):
            holder[data.draw(st.one_of(st.sampled_from(WORDS), st.text(max_size=6)))] = data.draw(anything)
        else:
            holder[place[-1]] = data.draw(anything)
    found = read(yaml.safe_dump(tree, allow_unicode=True))
    assert all(p.code and p.message for p in found.problems)


texts = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), max_size=20)
names = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,20}[A-Za-z0-9])?", fullmatch=True)
queries = st.sampled_from(["sum(rate(a_total[{{.window}}]))", 'a_total{b="c"}', "(\n  a_total\n)\n", "a: b # c"])
maps = st.dictionaries(st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_/]{0,8}", fullmatch=True), texts, max_size=3)
shares = st.floats(0.01, 0.9999).map(lambda x: round(x, 6))
seconds = st.integers(60, 30 * 1440).map(lambda minutes: minutes * 60.0)
notices = st.builds(Notice, st.booleans(), maps, maps)
indicators = st.one_of(
    st.builds(lambda total, good: EventRatio(total, good=good), queries, queries),
    st.builds(lambda total, bad: EventRatio(total, bad=bad), queries, queries),
    st.builds(RawRatio, queries, st.sampled_from(["good", "bad"])),
    st.builds(
        Histogram, st.just("a_bucket"), st.floats(0.001, 100), st.just("explicit"), st.sampled_from(["", "a_count"])
    ),
    st.builds(Histogram, st.just("a"), st.floats(0.001, 100), st.just("native")),
    st.builds(BoolGauge, st.just("up")),
    st.builds(Threshold, queries, st.sampled_from(["lt", "lte", "gt", "gte"]), st.floats(-100, 100)),
)
promises = st.builds(
    Slo,
    name=names,
    entity=st.sampled_from(["service:shop", "queue:orders"]),
    sli=st.just("source"),
    target=shares,
    period_seconds=seconds,
    owner=texts,
    description=texts,
    service=st.just("shop"),
    indicator=indicators,
    slices=st.one_of(
        st.none(),
        st.builds(Slices, seconds, shares, st.just("good")),
        st.builds(Slices, seconds, st.just(0.0), st.just("ratio")),
    ),
    group_by=st.lists(st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True), max_size=3, unique=True).map(tuple),
    tiers=st.one_of(
        st.none(),
        st.lists(st.builds(BurnTier, names, st.floats(0.1, 100), seconds, seconds, st.booleans()), max_size=3).map(
            tuple
        ),
    ),
    alerting=st.one_of(st.none(), st.builds(Alerting, names, maps, maps, notices, notices, st.booleans())),
    labels=maps,
    annotations=st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), texts, max_size=2),
    data_source=st.sampled_from(["", "main"]),
)


@settings(max_examples=100, deadline=None)
@given(promises)
def test_what_is_written_reads_the_same(slo: Slo) -> None:
    found = read(dumped([openslo_of(slo)]))
    assert [str(p) for p in found.problems] == []
    assert [replace(one, source="") for one in found.slos] == [slo]


def test_calendars_and_signals_are_written_too() -> None:
    ours = [
        Slo(
            "a",
            "service:a",
            "ratio",
            0.99,
            service="a",
            calendar=Calendar("month", 1, "Asia/Tokyo", "2026-01-31T06:00:00"),
        ),
        Slo("b", "queue:orders", "freshness", 0.9, threshold_ms=30_000.0, service="a", period_seconds=7 * 86400.0),
        Slo("c", "service:a", "latency", 0.9, threshold_ms=300.0, service="a", period_seconds=7 * 86400.0),
    ]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "all.yaml").write_text(dumped([openslo_of(slo) for slo in ours]))
        from midwatch.shell.files.specs import read_specs

        found = read_specs([Path(folder)])
    assert found.problems == ()
    expected = [replace(ours[0], period_seconds=31 * 86400.0 + 3600), *ours[1:]]
    assert [replace(slo, source="") for slo in found.slos] == expected


def test_the_text_is_the_same_every_time() -> None:
    tree = yaml.safe_dump_all(SEEDS)
    assert to_openslo_v1(read(tree)) == to_openslo_v1(read(tree)) != ""
    again = read(to_openslo_v1(read(tree)))
    assert to_openslo_v1(again) == to_openslo_v1(read(tree))
