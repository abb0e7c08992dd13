"""The ``alerts:`` keys of midwatch.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from midwatch.model.errors import ConfigError
from midwatch.model.slo import STANDARD_TIERS, AlertRules, BurnTier
from midwatch.shell.files import load


def policy(tmp_path: Path, text: str) -> object:
    path = tmp_path / "midwatch.yaml"
    path.write_text(text)
    return load([path])[0]


def test_tiers_are_switched_off_chosen_and_written(tmp_path: Path) -> None:
    assert policy(tmp_path, "mode: shadow\n").tiers == STANDARD_TIERS  # type: ignore[attr-defined]
    assert [t.name for t in policy(tmp_path, "alerts: {off: [day, ticket]}\n").tiers] == ["fast", "slow"]  # type: ignore[attr-defined]
    assert [t.name for t in policy(tmp_path, "alerts: {only: [ticket]}\n").tiers] == ["ticket"]  # type: ignore[attr-defined]
    own = policy(
        tmp_path,
        """
alerts:
  tiers:
    - {name: quick, budget_percent: 1, long: 30m, short: 2m, pages: true}
    - {name: plain, factor: 2, long: 1d, short: 2h, pages: false}
""",
    )
    assert own.tiers == (  # type: ignore[attr-defined]
        BurnTier("quick", pytest.approx(14.4), 1800, 120, True),
        BurnTier("plain", 2.0, 86400, 7200, False),
    )


def test_the_rules_are_read(tmp_path: Path) -> None:
    text = "alerts: {min_failures: 8, ticket_z: 3, outage: false, for: 2m, interval: 30s, wake: false}\n"
    assert policy(tmp_path, text).alerts == AlertRules(8, 3, False, 120, 30, False)  # type: ignore[attr-defined]
    assert policy(tmp_path, "mode: shadow\n").alerts == AlertRules()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("alerts: {off: [quick]}\n", "no such tier: quick"),
        ("alerts: {tiers: [{name: a, long: 1h, short: 5m, pages: true}]}\n", "either factor or budget_percent"),
        ("alerts: {tiers: [{name: a, factor: 2, long: 5m, short: 1h, pages: true}]}\n", "short must not be longer"),
        ("alerts: {tiers: [{name: outage, factor: 2, long: 1h, short: 5m, pages: true}]}\n", "outage is taken"),
        ("alerts: {min_fails: 3}\n", "min_fails"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=r"midwatch\.yaml:\d+") as raised:
        policy(tmp_path, text)
    assert words in str(raised.value)
