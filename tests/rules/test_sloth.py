"""The Sloth form against what Sloth itself makes of its twelve examples: groups, names, labels and annotations equal, PromQL
equal as syntax trees, numbers as numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace
from tests.rules.same_query import same

from midwatch.model.errors import ConfigError
from midwatch.shell.files.rules_out import write_rules
from midwatch.shell.files.specs import read_specs

EXAMPLES = (
    "getting-started",
    "home-wifi",
    "k8s-getting-started",
    "k8s-home-wifi",
    "k8s-multifile",
    "kubernetes-apiserver",
    "multifile",
    "no-alerts",
    "openslo-getting-started",
    "openslo-kubernetes-apiserver",
    "raw-home-wifi",
    "victoria-metrics",
)
EXTRA = {"cmd": "examplesgen.sh"}
"""The label that Sloth's own script adds on its command line when it makes these files."""


def documents(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document]


def compare_rules(ours: dict[str, Any], theirs: dict[str, Any], where: str) -> None:
    assert ours.keys() == theirs.keys(), where
    for key in theirs.keys() - {"expr"}:
        assert ours[key] == theirs[key], (where, key)
    a, b = ours["expr"], theirs["expr"]
    # MetricsQL (VictoriaMetrics's own) has no tree here: what is not PromQL must be the same text.
    try:
        assert same(a, b), where
    except ConfigError:
        assert a.split() == b.split(), where


def compare_groups(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> int:
    assert [group["name"] for group in ours] == [group["name"] for group in theirs]
    rules = 0
    for mine, golden in zip(ours, theirs, strict=True):
        assert mine.keys() == golden.keys()
        for number, (a, b) in enumerate(zip(mine["rules"], golden["rules"], strict=True)):
            compare_rules(a, b, f"{mine['name']}[{number}]")
            rules += 1
    return rules


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_what_sloth_makes_of_it(example: str, sloth: Path) -> None:
    read = read_specs([sloth / f"{example}.yml"])
    assert not read.problems
    golden = documents((sloth / "_gen" / f"{example}.yml").read_text())
    ours = documents(write_rules(read.slos, compat="sloth", extra_labels=EXTRA))
    assert len(ours) == len(golden)
    for mine, theirs in zip(ours, golden, strict=True):
        if "kind" in theirs:
            assert {k: v for k, v in mine.items() if k != "spec"} == {k: v for k, v in theirs.items() if k != "spec"}
            mine, theirs = mine["spec"], theirs["spec"]
        assert mine.keys() == theirs.keys() == {"groups"}
        assert compare_groups(mine["groups"], theirs["groups"]) >= 15


def test_every_golden_is_compared(sloth: Path) -> None:
    assert {path.stem for path in (sloth / "_gen").glob("*.yml")} == set(EXAMPLES)


def test_the_windows_of_a_file_are_taken(sloth: Path) -> None:
    windows = yaml.safe_load((sloth / "windows" / "custom-30d.yaml").read_text())
    read = read_specs([sloth / "getting-started.yml", sloth / "windows" / "custom-30d.yaml"])
    (document,) = documents(write_rules(read.slos, compat="sloth"))
    names = [rule["record"] for rule in document["groups"][0]["rules"]]
    assert names == [f"slo:sli_error:ratio_rate{w}" for w in ("2m", "15m", "30m", "1h", "3h", "12h", "1d12h", "30d")]
    quick = windows["spec"]["page"]["quick"]
    factor = quick["errorBudgetPercent"] / 100 * 30 * 24 / 0.5
    page = document["groups"][2]["rules"][0]["expr"].splitlines()[1]
    assert f"> ({factor:g} * 0.001)" in page and "ratio_rate2m{" in page


def test_prometheus_reads_one_document_of_several_and_that_is_said(
    sloth: Path, tmp_path: Path, promtool: Callable[..., str]
) -> None:
    slos = read_specs([sloth / "multifile.yml"]).slos
    assert "17 rules found" in promtool("check", "rules", sloth / "_gen" / "multifile.yml")  # of 34
    ours = tmp_path / "rules.yml"
    ours.write_text(write_rules(slos, compat="sloth"))
    assert "17 rules found" in promtool("check", "rules", ours)
    assert ours.read_text().startswith("# Prometheus reads only the first document")
    ours.write_text(write_rules(slos, compat="sloth", one_document=True))
    # Both specs name their alerts alike, which is all that promtool's linter has to say.
    assert "34 rules found" in promtool("check", "rules", "--lint=none", ours)


@pytest.mark.parametrize("example", EXAMPLES)
def test_promtool_accepts_both_forms(example: str, sloth: Path, tmp_path: Path, promtool: Callable[..., str]) -> None:
    slos = [replace(s, annotations={}) for s in read_specs([sloth / f"{example}.yml"]).slos]
    rules = tmp_path / "rules.yml"
    if example == "victoria-metrics":
        with pytest.raises(ConfigError, match="not PromQL"):
            write_rules(slos)
        return
    rules.write_text(write_rules(slos))
    promtool("check", "rules", rules)
    rules.write_text(write_rules(slos, compat="sloth"))
    promtool("check", "rules", rules)


@pytest.mark.parametrize("period_days, factor", [(30, "14.4"), (28, "13.44"), (7, "3.36")])
def test_tiers_keep_their_share_of_another_period(sloth: Path, period_days: int, factor: str) -> None:
    slos = read_specs([sloth / "getting-started.yml"]).slos
    (document,) = documents(write_rules(slos, compat="sloth", period_seconds=period_days * 86400))
    page = document["groups"][2]["rules"][0]["expr"]
    assert f"> ({factor} * 0.001)" in page
