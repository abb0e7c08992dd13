"""Files that people write: what is understood, and what is said about the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.adapters.actuators.registry import VERBS
from midwatch.model import faults
from midwatch.model.errors import ConfigError
from midwatch.shell import files
from midwatch.shell.files.playbooks import misfits
from midwatch.shell.files.yaml_lines import parse

RATIO = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: payment-availability
  annotations: {owner: team-pay}
spec:
  service: payment
  indicator:
    spec:
      ratioMetric:
        good: {metricSource: {spec: {signal: good_requests}}}
        total: {metricSource: {spec: {signal: requests}}}
  timeWindow:
    - {duration: 28d, isRolling: true}
  objectives:
    - targetPercent: 99.9
"""
LATENCY = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: gateway-latency}
spec:
  service: gateway
  indicator:
    spec:
      thresholdMetric:
        metricSource: {type: midwatch, spec: {signal: latency, entity: "service:gateway"}}
  objectives:
    - {op: lte, value: 300, target: 0.99}
    - {op: lte, value: 1000, target: 0.999}
"""
POLICY = """\
mode: canary
resolve_after: 2m
limits:
  permissions: [platform.*]
  protected: ["database:ledger"]
  freezes:
    - {start: 2026-12-20T18:00:00Z, end: 2026-12-27T06:00:00+01:00, reason: holidays}
paging:
  channels: [phone]
  repeat: 10m
  owner: team-pay
"""


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def said(folder: Path, text: str) -> str:
    return "\n".join(str(p) for p in files.check([write(folder, file=text)])).replace(f"{folder}/", "")


def test_promises_playbooks_and_policy_together(tmp_path: Path) -> None:
    policy, sources = files.load([write(tmp_path, ratio=RATIO, latency=LATENCY, midwatch=POLICY)])
    ratio = next(s for s in policy.slos if s.sli == "ratio")
    assert (ratio.name, ratio.entity, ratio.target, ratio.period_seconds) == (
        "payment-availability",
        "service:payment",
        0.999,
        28 * 86400,
    )
    assert ratio.owner == "team-pay" and ratio.source.endswith("ratio.yaml:16")
    latency = [s for s in policy.slos if s.sli == "latency"]
    assert [(s.name, s.threshold_ms, s.target) for s in latency] == [
        ("gateway-latency-1", 300.0, 0.99),
        ("gateway-latency-2", 1000.0, 0.999),
    ]
    assert policy.mode == "canary" and policy.resolve_after_seconds == 120
    assert policy.limits.permissions == ("platform.*",) and policy.limits.protected == ("database:ledger",)
    assert policy.limits.freezes[0].end_at - policy.limits.freezes[0].start_at == 6 * 86400 + 11 * 3600
    assert policy.paging.repeat_seconds == 600 and policy.paging.channels == ("phone",)
    assert {p.name for p in policy.playbooks} >= {"resize-pool", "roll-back-deploy"}
    assert [Path(s).name for s in sources] == ["latency.yaml", "midwatch.yaml", "ratio.yaml"]


def test_nothing_given_is_shadow_with_the_shipped_playbooks() -> None:
    policy, sources = files.load([])
    assert policy.mode == "shadow" and policy.playbooks and sources == ()


def test_a_shipped_playbook_for_every_kind_that_has_a_hand() -> None:
    books = files.shipped_playbooks()
    covered = {kind for book in books for kind in book.kinds}
    assert faults.FAULT_KINDS - covered == {faults.DATABASE_DOWN}
    for book in books:
        spec = VERBS[book.verb]
        assert misfits(book, spec) == []
        assert not book.target_kinds or set(book.target_kinds) & set(spec.targets), book.name
        assert book.expect_hold_seconds < book.expect_within_seconds
        if book.target in ("instance", "region"):
            assert book.target in book.requires_scope


def test_shipped_playbooks_that_may_stop_the_only_instance_are_few() -> None:
    accepting = {book.name for book in files.shipped_playbooks() if book.accepts_downtime}
    assert accepting == {"restart-consumer", "restart-crashing"}


def test_shipped_playbooks_ask_for_nothing_beyond_what_the_verb_declares() -> None:
    """A guard refuses what lies outside the declaration: such a fix would fail just where it is needed most."""
    for book in files.shipped_playbooks():
        for name, rule in book.parameters.items():
            spec = VERBS[book.verb].parameters[name]
            where = f"{book.name}: {name}"
            # What a signal gives has no bounds of its own; a value and a scope are what they are.
            least, most = (rule.minimum, rule.maximum) if rule.signal else (rule.value, rule.value)
            if spec.minimum is not None and not rule.scope:
                assert isinstance(least, int | float) and least >= spec.minimum, where
            if spec.maximum is not None and not rule.scope:
                assert isinstance(most, int | float) and most <= spec.maximum, where
            if rule.value is not None:
                assert not spec.choices or rule.value in spec.choices, where
                kinds = {"str": str, "int": int, "float": (int, float), "bool": bool}[spec.type]
                assert isinstance(rule.value, kinds) and isinstance(rule.value, bool) == (spec.type == "bool"), where


def test_a_team_s_playbook_takes_the_place_of_a_shipped_one(tmp_path: Path) -> None:
    text = "playbooks:\n  - {name: resize-pool, kinds: [pool_exhausted], verb: restart}\n"
    policy, _ = files.load([write(tmp_path, own=text)])
    assert [p.verb for p in policy.playbooks if p.name == "resize-pool"] == ["restart"]
    policy, _ = files.load([write(tmp_path, own=text, policy="shipped_playbooks: false\n")])
    assert len(policy.playbooks) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            RATIO.replace("objectives:", "objektives:"),
            "file.yaml:15: spec.objektives: is not known here (did you mean obj",
        ),
        (RATIO.replace("99.9", "120"), "file.yaml:16: spec.objectives[0].targetPercent: must be less than 100, and is"),
        (RATIO.replace("    - targetPercent: 99.9", "    - {}"), "needs target (0.999) or targetPercent (99.9)"),
        (RATIO.replace("28d", "2 weeks"), "timeWindow[0].duration: '2 weeks' is not a duration (write for example 30d"),
        (
            RATIO.replace("28d", "90d"),
            "file.yaml:14: spec.timeWindow[0].duration: must be between 1h and 33d (30d is usual)",
        ),
        (RATIO.replace("isRolling: true", "isRolling: false"), "timeWindow[0]: needs isRolling: true, or a calendar"),
        (RATIO.replace("good_requests", "errors"), "the good side must be the signal good_requests"),
        (
            RATIO.replace("  timeWindow:", "  indicatorRef: x\n  timeWindow:"),
            "spec: needs indicator or indicatorRef, and not both",
        ),
        (RATIO.replace("kind: SLO", "kind: Service"), "file.yaml:7: spec.service: is not known here"),
        (
            RATIO.replace("openslo/v1", "openslo/v2"),
            "apiVersion: 'openslo/v2' is no version that midwatch reads (did you mean openslo/v1?)",
        ),
        (
            RATIO.replace("    - targetPercent: 99.9", "    - {targetPercent: 99.9, op: lte}"),
            "op: means nothing for a ratio",
        ),
        (LATENCY.replace("op: lte, ", ""), "file.yaml:11: spec.objectives[0]: needs op and value"),
        (LATENCY.replace("op: lte", "op: gte"), "op: must be 'lte' or 'lt'"),
        (LATENCY.replace("service:gateway", "servce:gateway"), "'servce:gateway' is not an entity (write kind:name"),
        ("mode: autopilot\n", "file.yaml:1: mode: must be 'shadow', 'suggest', 'ask', 'canary' or 'auto'"),
        ("mode: auto\npagin: {}\n", "file.yaml:2: pagin: is not known here (did you mean paging?)"),
        ("mode: auto\npaging:\n  repat: 1m\n", "file.yaml:3: paging.repat: is not known here (did you mean repeat?)"),
        ("mode: auto\nmode: ask\n", "file.yaml:2: mode: stands twice (first in line 1)"),
        (
            "limits: {freezes: [{start: 2026-12-20 18:00, end: 1, reason: x}]}\n",
            "start: a time needs its zone (end it with Z",
        ),
        ("mod: auto\n", "file.yaml:1: mod: midwatch does not know what this is (did you mean mode?)"),
        ("- 1\n", "midwatch does not know what this is (an SLO begins with"),
        ("mode: [\n", "is not YAML"),
        ("playbooks: {}\n", "playbooks: must be a list"),
        (
            "playbooks:\n  - name: a\n    kinds: [pool_exhaustd]\n    verb: restart\n",
            "file.yaml:3: playbooks[0].kinds: 'pool_exhaustd' is no fault kind (did you mean pool_exhausted?)",
        ),
        (
            "playbooks:\n  - {name: a, kinds: [bad_deploy], verb: x, parameters: {size: {value: 1, scope: pid}}}\n",
            "parameters.size: needs exactly one of value, signal and scope",
        ),
        ("playbooks:\n  - {name: a, kinds: [bad_deploy]}\n", "playbooks[0].verb: is missing"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in said(tmp_path, text)


def test_check_reports_all_of_it_and_load_the_first(tmp_path: Path) -> None:
    folder = write(tmp_path, a="mode: x\nresolve_after: soon\n", b=RATIO.replace("99.9", "0"), c=RATIO, d=RATIO)
    problems = files.check([folder, tmp_path / "nowhere"])
    assert [(Path(p.path).name, p.line) for p in problems] == [
        ("a.yaml", 1),
        ("a.yaml", 2),
        ("b.yaml", 16),
        ("d.yaml", 4),
        ("nowhere", 0),
    ]
    assert "the SLO payment-availability is there already" in problems[3].message and "c.yaml:16" in problems[3].hint
    with pytest.raises(ConfigError, match=r"a\.yaml:1: mode: must be") as caught:
        files.load([folder])
    assert (caught.value.line, caught.value.key) == (1, "mode")


def test_a_watch_goes_on_without_the_promises_that_cannot_be_honoured(tmp_path: Path) -> None:
    asked = RATIO.replace(
        "metricSource: {spec: {signal: good_requests}}", "metricSource: {type: Datadog, spec: {query: a}}"
    )
    asked = asked.replace("metricSource: {spec: {signal: requests}}", "metricSource: {type: Datadog, spec: {query: b}}")
    asked = asked.replace("payment-availability", "elsewhere")
    folder = write(tmp_path, a=RATIO.replace("99.9", "200"), b=LATENCY, c=POLICY, d=asked)
    loaded = files.load_what_can_be([folder])
    assert [slo.name for slo in loaded.policy.slos] == ["gateway-latency-1", "gateway-latency-2"]
    assert loaded.policy.mode == "canary"
    assert [(Path(p.path).name, p.code) for p in loaded.problems] == [
        ("a.yaml", "value-invalid"),
        ("d.yaml", "openslo.source-unsupported"),
        ("d.yaml", "openslo.source-unsupported"),
    ]
    assert list(loaded.problems) == files.check([folder])
    with pytest.raises(ConfigError, match="targetPercent"):
        files.load([folder])


def test_a_policy_that_is_wrong_stops_the_watch_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mode: must be"):
        files.load_what_can_be([write(tmp_path, a="mode: x\n", b=RATIO)])
    with pytest.raises(ConfigError, match="is not YAML"):
        files.load_what_can_be([write(tmp_path, a="mode: [\n", b=RATIO)])


def test_bad_bytes_and_bombs(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"mode: \xff\xfe")
    (tmp_path / "large.yaml").write_text("x" * 1_000_001)
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(8)
    )
    (tmp_path / "bomb.yaml").write_text(bomb)
    messages = " ".join(str(p) for p in files.check([tmp_path]))
    assert "is not UTF-8" in messages and "is larger than" in messages and "is too large or too deep" in messages


@pytest.mark.parametrize("value", ["2026-02-30", "!!timestamp x", "!!float _", "!!int x", "0b_", "!!bool x"])
def test_a_value_that_is_none_has_its_line(value: str) -> None:
    documents, problems = parse(f"fine: 1\nodd: {value}\n", "x.yaml")
    assert documents == [] and [(p.line, p.key, p.code) for p in problems] == [(2, "odd", "yaml")]


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    documents, problems = parse(text, "x.yaml")
    assert isinstance(documents, list) and isinstance(problems, list)
