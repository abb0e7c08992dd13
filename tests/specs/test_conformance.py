"""The specs that OpenSLO, Sloth and Pyrra publish: all of them are read, and written as OpenSLO v1 without loss."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from midwatch.model.indicators import (
    BoolGauge,
    Calendar,
    EventRatio,
    Histogram,
    RawRatio,
    Slices,
    Threshold,
)
from midwatch.model.slo import Slo
from midwatch.shell.files.specs import SpecSet, is_spec, openslo, read_specs
from midwatch.shell.files.specs.write import to_openslo_v1
from midwatch.shell.files.yaml_lines import read_documents

SDK: dict[str, str] = yaml.safe_load((Path(__file__).parent / "sdk_verdicts.yaml").read_text("utf-8"))
TOLD = Path(__file__).parents[2] / "docs" / "results" / "openslo-verdicts.md"


class _Texts(yaml.SafeLoader):
    """Times stay text, as every OpenSLO tool reads them."""


_Texts.yaml_implicit_resolvers = {
    first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def trees(text: str) -> list[Any]:
    """The objects of a YAML text, whether listed or one after the other."""
    found: list[Any] = []
    for document in yaml.load_all(text, _Texts):
        found += document if isinstance(document, list) else [document]
    return found


def unplaced(specs: SpecSet) -> list[Slo]:
    return [replace(slo, source="") for slo in specs.slos]


def again(specs: SpecSet, folder: Path) -> SpecSet:
    """What is read from what is written."""
    file = folder / "written.yaml"
    file.write_text(to_openslo_v1(specs), "utf-8")
    return read_specs([file])


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.y*ml"))


def test_every_v1_example_reads_and_is_written_as_it_was(public: Path, tmp_path: Path) -> None:
    specs = read_specs([public / "openslo" / "v1"])
    assert specs.problems == () and specs.unserved == {}
    kinds = sorted({document.kind for document in specs.documents})
    assert kinds == sorted(openslo.v1.KINDS) and len(specs.documents) == 16
    written = trees(to_openslo_v1(specs))
    original = [tree for file in files(public / "openslo" / "v1") for tree in trees(file.read_text("utf-8"))]
    assert written == original
    assert unplaced(again(specs, tmp_path)) == unplaced(specs)


def test_what_the_v1_example_promises(public: Path) -> None:
    (slo,) = read_specs([public / "openslo" / "v1"]).slos
    assert (slo.name, slo.entity, slo.sli, slo.target) == ("web-availability", "service:web", "source", 0.995)
    assert slo.calendar == Calendar("week", 1, "America/New_York", "2022-01-01T12:00:00")
    assert slo.period_seconds == 7 * 86400 + 3600  # a week with the hour that daylight saving may add
    assert slo.slices == Slices(60.0, 0.95, "good")
    assert slo.labels == {"env": "prod", "team": "team-a,team-b"}
    assert slo.indicator == EventRatio(
        'sum(http_requests{k8s_cluster="prod",component="web"})',
        good='sum(http_requests{k8s_cluster="prod",component="web",code=~"2xx|4xx"})',
    )


def test_every_v1alpha_example_reads_and_becomes_v1(public: Path, tmp_path: Path) -> None:
    specs = read_specs([public / "openslo" / "v1alpha"])
    assert specs.problems == ()
    assert [(d.kind, d.name) for d in specs.documents] == [
        ("Service", "example-service"),
        ("SLO", "web-latency-threshold"),
        ("SLO", "web-availability-ratio"),
    ]
    latency, ratio = specs.slos
    assert latency.indicator == Threshold('api_server_requestMsec{host="*",job="nginx"}', "gt", 200.0)
    assert latency.calendar == ratio.calendar == Calendar("week", 1, "America/New_York", "2022-01-01T12:00:00")
    assert ratio.slices == Slices(60.0, 0.95) and ratio.data_source == "datadog"
    # It can be read and converted; nothing that midwatch has can ask Datadog.
    assert {name: [p.code for p in why] for name, why in specs.unserved.items()} == {
        "web-availability-ratio": ["openslo.source-unsupported"] * 2
    }
    assert {tree["apiVersion"] for tree in trees(to_openslo_v1(specs))} == {"openslo/v1"}
    assert unplaced(again(specs, tmp_path)) == unplaced(specs)


def test_every_sloth_spec_reads_and_is_written_without_loss(public: Path, tmp_path: Path) -> None:
    counted = {}
    for file in files(public / "sloth" / "examples"):
        specs = read_specs([file])
        assert specs.problems == () and specs.unserved == {}, file.name
        assert unplaced(again(specs, tmp_path)) == unplaced(specs), file.name
        counted[file.name] = len(specs.slos)
    assert counted == {
        "getting-started.yml": 1,
        "home-wifi.yml": 2,
        "k8s-getting-started.yml": 1,
        "k8s-home-wifi.yml": 2,
        "k8s-multifile.yml": 2,
        "kubernetes-apiserver.yml": 2,
        "multifile.yml": 2,
        "no-alerts.yml": 1,
        "openslo-getting-started.yml": 1,
        "openslo-kubernetes-apiserver.yml": 3,
        "raw-home-wifi.yml": 1,
        "victoria-metrics.yml": 2,
    }


def test_names_are_those_of_sloth_s_rules(public: Path) -> None:
    """``sloth_id`` is the promise's name for Sloth's own specs; ``sloth_slo`` is told for all that Sloth reads."""
    examples = public / "sloth" / "examples"
    for file in files(examples):
        golden = (examples / "_gen" / file.name).read_text("utf-8")
        told = {(slo.service, slo.annotations["sloth/slo"]) for slo in read_specs([file]).slos}
        assert {f"{service}-{slo}" for service, slo in told} == set(re.findall(r"sloth_id: (\S+)", golden)), file.name


@pytest.mark.parametrize("name", ["getting-started", "home-wifi", "multifile"])
def test_sloth_s_two_forms_say_the_same(public: Path, name: str) -> None:
    examples = public / "sloth" / "examples"
    plain = read_specs([examples / f"{name}.yml"]).slos
    kubernetes = read_specs([examples / f"k8s-{name}.yml"]).slos
    bare = [replace(slo, source="", annotations={}) for slo in plain]
    assert bare == [replace(slo, source="", annotations={}) for slo in kubernetes]
    assert {slo.annotations["kubernetes/namespace"] for slo in kubernetes} == {"monitoring"}


def test_what_sloth_s_specs_promise(public: Path) -> None:
    examples = public / "sloth" / "examples"
    (slo,) = read_specs([examples / "getting-started.yml"]).slos
    assert (slo.name, slo.service, slo.owner, slo.target) == (
        "myservice-requests-availability",
        "myservice",
        "myteam",
        0.999,
    )
    assert isinstance(slo.indicator, EventRatio) and slo.indicator.bad.endswith('code=~"(5..|429)"}[{{.window}}]))')
    assert slo.alerting is not None and slo.alerting.name == "MyServiceHighErrorRate"
    assert slo.alerting.labels == {"category": "availability"}
    assert slo.alerting.page.labels == {"severity": "pageteam", "routing_key": "myteam"}
    assert slo.alerting.ticket.labels == {"severity": "slack", "slack_channel": "#alerts-myteam"}
    assert slo.labels == {"owner": "myteam", "repo": "myorg/myservice", "tier": "2"}
    (silent,) = read_specs([examples / "no-alerts.yml"]).slos
    assert silent.alerting is not None and silent.alerting.page.disabled and silent.alerting.ticket.disabled
    (raw,) = read_specs([examples / "raw-home-wifi.yml"]).slos
    assert isinstance(raw.indicator, RawRatio) and raw.indicator.of == "bad"
    written = read_specs([examples / "victoria-metrics.yml"]).slos[0]
    assert written.labels["generated"] == "true" and written.labels["actual_le"] == "0.2"


def test_alert_windows_become_tiers(public: Path) -> None:
    """Sloth's own figures: the factors in the rules that it makes of 7d.yaml, and of its 30-day windows."""
    windows = public / "sloth" / "examples" / "windows"
    specs = read_specs([windows])
    assert specs.problems == () and set(specs.windows) == {7 * 86400.0, 30 * 86400.0}
    week = specs.windows[7 * 86400.0]
    assert [(t.name, t.factor, t.pages) for t in week] == [
        ("page-quick", pytest.approx(0.08 * 168), True),
        ("page-slow", pytest.approx(0.125 * 28), True),
        ("ticket-quick", pytest.approx(0.2 * 7), False),
        ("ticket-slow", pytest.approx(0.42 * 7 / 3), False),
    ]
    assert [(t.long_seconds, t.short_seconds) for t in week] == [
        (3600, 300),
        (6 * 3600, 1800),
        (86400, 7200),
        (3 * 86400, 6 * 3600),
    ]
    # Read beside a spec of Sloth's, whose period is 30 days, they are its tiers.
    (slo,) = read_specs([windows, public / "sloth" / "examples" / "getting-started.yml"]).slos
    assert slo.tiers == specs.windows[30 * 86400.0]


def test_every_pyrra_spec_reads_and_is_written_without_loss(public: Path, tmp_path: Path) -> None:
    by_name = {}
    for file in files(public / "pyrra"):
        specs = read_specs([file])
        assert specs.problems == () and specs.unserved == {}, file.name
        assert unplaced(again(specs, tmp_path)) == unplaced(specs), file.name
        by_name.update({slo.name: slo for slo in specs.slos})
    assert len(by_name) == 13
    latency = by_name["caddy-response-latency"]
    assert latency.indicator == Histogram(
        'caddy_http_response_duration_seconds_bucket{job="caddy",handler="subroute",code!~"5.."}',
        0.05,
        total='caddy_http_response_duration_seconds_count{job="caddy",handler="subroute",code!~"5.."}',
    )
    assert latency.period_seconds == 28 * 86400 and latency.target == 0.9
    native = by_name["pyrra-connect-latency"]
    assert isinstance(native.indicator, Histogram) and native.indicator.kind == "native"
    assert native.indicator.threshold == pytest.approx(0.2) and native.group_by == ("service", "method")
    assert by_name["prometheus-blackbox-probe-success"].indicator == BoolGauge("probe_success")
    errors = by_name["pyrra-filesystem-errors"].indicator
    assert errors == EventRatio("pyrra_filesystem_reconciles_total", bad="pyrra_filesystem_reconciles_errors_total")
    assert by_name["parca-grpc-queryrange-errors"].owner == "parca"


@pytest.mark.parametrize("name", sorted(SDK))
def test_the_go_sdk_s_verdict(public: Path, name: str) -> None:
    documents, problems = read_documents(public / "openslo" / "schema-tests" / "schema-test" / "spec-files" / name)
    for document in documents:
        if is_spec(document.value):
            problems += openslo.well_formed(document)[1]
        else:
            problems.append(document.problem((), "unknown"))
    assert bool(problems) == bool(SDK[name]), [str(p) for p in problems]


def test_the_page_of_verdicts_lists_every_file(public: Path) -> None:
    there = public / "openslo" / "schema-tests" / "schema-test" / "spec-files"
    assert {str(path.relative_to(there)) for path in there.rglob("*.yaml")} == set(SDK) and len(SDK) == 43
    text = TOLD.read_text("utf-8")
    assert "SDK's verdict on 43 of 43 files" in text and all(f"| {name} |" in text for name in SDK)
