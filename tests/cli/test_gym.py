"""``midwatch gym``: what is asked for arrives at the gym, and its answers become words, JSON and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from midwatch.faces.cli.app import app
from midwatch.gym import cli
from midwatch.gym import record as recording
from midwatch.gym.faults.catalog import BY_NAME, FAULTS, Case, draw_case, named
from midwatch.gym.faults.shop import shop
from midwatch.gym.record import Recording
from midwatch.gym.score import run as scorer
from midwatch.gym.score.judge import Score
from midwatch.gym.score.report import CaseFile
from midwatch.gym.simulator import cli as simulator_cli


def gym(*words: object) -> Result:
    return CliRunner().invoke(app, ["gym", *(str(word) for word in words)], env={"COLUMNS": "200"})


def drawn(name: str, seed: int = 7) -> Case:
    return draw_case(seed, 0, named(name), shop())


def good(name: str) -> Score:
    if not named(name).harmful:
        return Score()
    return Score(
        harm_after_seconds=1.0,
        detected=True,
        detect_seconds=9.0,
        cause_rank=1,
        entity_rank=1,
        right_fix=True,
        recovered=True,
        recover_seconds=30.0,
    )


class Asked(dict[str, Any]):
    """The options of the last call."""


def test_faults_lists_everything_or_what_is_named() -> None:
    rows = json.loads(gym("faults", "--json").stdout)
    assert [row["name"] for row in rows] == list(BY_NAME)
    assert {"kind", "what", "eligible", "fixed_by", "restart_cures"} <= set(rows[0])
    told = gym("faults", "cache_down").stdout
    assert "cache_down" in told and "bypass_cache, restart" in told and "disk_full" not in told


@pytest.mark.parametrize(
    ("ok", "code"),
    [(True, 0), (False, 1)],
)
def test_faults_check_plays_them_and_ends_with_what_it_found(
    monkeypatch: pytest.MonkeyPatch, ok: bool, code: int
) -> None:
    asked = Asked()

    def check(**options: Any) -> dict[str, Any]:
        asked.update(options)
        return {"ok": ok, "faults": [], "at": 1.0}

    monkeypatch.setattr(cli, "check", check)
    result = gym("faults", "disk_full", "--check", "--seed", 5, "--json")
    assert result.exit_code == code and json.loads(result.stdout)["ok"] is ok
    assert asked == {"names": ("disk_full",), "seed": 5, "as_json": True}


@pytest.mark.parametrize("wrong", ["", "bad", "error"])
def test_score_hands_its_options_on_and_fails_when_a_bound_is_missed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: str
) -> None:
    asked = Asked()

    async def play(seeds: Any, out: Path, **options: Any) -> list[CaseFile]:
        asked.update(options, seeds=tuple(seeds), out=out)
        out.mkdir()
        score = {name: good(name) for name in options["kinds"]}
        if wrong == "bad":
            score["disk_full"] = Score(harm_after_seconds=1.0)  # felt, and never detected: no median either
        return [
            CaseFile(drawn(name), score[name], 0.0, 1.0, error="no fleet" if wrong == "error" else "")
            for name in options["kinds"]
        ]

    monkeypatch.setattr(scorer, "score", play)
    kinds = ["disk_full"] if wrong else ["disk_full", "control_deploy"]
    words = [word for kind in kinds for word in ("--kinds", kind)]
    result = gym(
        "score", "--seed", 7, "--seed", 8, *words, "--cases", 2, "--jobs", 3, "--out", tmp_path / "o", "--json"
    )
    said = json.loads(result.stdout)
    assert result.exit_code == (1 if wrong else 0) and said["ok"] is not bool(wrong)
    assert asked.pop("say") and asked == {
        "seeds": (7, 8),
        "kinds": tuple(kinds),
        "cases": 2,
        "jobs": 3,
        "out": tmp_path / "o",
    }
    assert said["median_detect_seconds"] == (None if wrong else 9.0)
    page = (tmp_path / "o" / "gym.md").read_text()
    assert f"midwatch gym score --seed 7 --seed 8 {' '.join(words)} --cases 2`" in page


def test_something_reported_before_the_fault_is_a_missed_bound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def play(seeds: Any, out: Path, **_: Any) -> list[CaseFile]:
        out.mkdir()
        return [CaseFile(drawn("control_deploy"), Score(pages_before=1), 0.0, 1.0)]

    monkeypatch.setattr(scorer, "score", play)
    said = json.loads(gym("score", "--seed", 7, "--out", tmp_path / "o", "--json").stdout)
    assert said["controls_quiet"] and not said["quiet_before_the_fault"] and not said["ok"]


@pytest.mark.parametrize(("felt", "code"), [(103.0, 0), (None, 1)])
def test_a_recording_says_what_users_felt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, felt: float | None, code: int
) -> None:
    asked = Asked()

    async def make(fault: str, seed: int, directory: Path, **options: Any) -> Recording:
        asked.update(options, fault=fault, seed=seed, directory=directory)
        return Recording(drawn(fault), 40.0, 100.0, 190.0, felt, 0.0, float("nan"), 3000)

    monkeypatch.setattr(recording, "record", make)
    words = ["run", "--fault", "bad_flag", "--seed", 3, "--entity", "service:cart", "--record", tmp_path, "--once"]
    result = gym(*words, "--json")
    said = json.loads(result.stdout)
    assert result.exit_code == code and said["ok"] is (code == 0)
    assert said["felt_after_seconds"] == (3.0 if felt else None) and said["bad_after"] is None
    assert (asked["fault"], asked["seed"], asked["directory"]) == ("bad_flag", 3, tmp_path)
    assert asked["entity"] == "service:cart"


@pytest.mark.parametrize(
    ("words", "named_in_it"),
    [
        (["faults", "gremlins"], "no fault 'gremlins'; there are: pool_exhausted"),
        (["faults", "gremlins", "--check"], "no fault 'gremlins'"),
        (["score", "--seed", "7", "--kinds", "gremlins", "--out", "gremlins"], "no fault 'gremlins'"),
        (["run", "--fault", "gremlins"], "no fault 'gremlins'"),
        (["run", "--fault", "slow_query", "--entity", "service:cart"], "slow_query cannot strike service:cart"),
        (["run", "--record", "somewhere"], "need a fault"),
        (["run", "--once"], "need a fault"),
        (["run", "--entity", "service:cart"], "need a fault"),
    ],
)
def test_what_cannot_be_is_said_before_a_fleet_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], named_in_it: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = gym(*words)
    assert result.exit_code == 2, result.output
    assert named_in_it in result.stderr and "hint: " in result.stderr and "Traceback" not in result.output
    assert set(json.loads(gym(*words, "--json").stdout)) == {"error", "hint"}
    assert list(tmp_path.iterdir()) == []


def test_what_is_out_of_range_or_missing_is_said() -> None:
    for words in (["score"], ["score", "--seed", "7", "--jobs", "0"], ["simulate", "--incidents", "0"]):
        assert gym(*words).exit_code == 2


def test_a_fleet_that_does_not_start_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from midwatch.gym.fleet import FleetError

    async def make(*_: Any, **__: Any) -> Recording:
        raise FleetError("the fleet did not start: no haproxy")

    monkeypatch.setattr(recording, "record", make)
    result = gym("run", "--fault", FAULTS[0].name, "--record", tmp_path / "r")
    assert result.exit_code == 4 and "no haproxy" in result.stderr and "Traceback" not in result.output


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(**_: Any) -> None:
        raise ModuleNotFoundError("No module named 'aiohttp'", name="aiohttp")

    monkeypatch.setattr(cli, "simulate", missing)
    result = gym("simulate", "--seed", 2, "--incidents", 1)
    assert result.exit_code == 2 and "aiohttp is missing" in result.stderr and "midwatch[gym,store]" in result.stderr


def test_simulate_ends_with_what_the_invariants_say(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked()

    def simulate(**options: Any) -> dict[str, Any]:
        asked.update(options)
        return {"ok": False, "incidents": 3}

    monkeypatch.setattr(cli, "simulate", simulate)
    assert gym("simulate", "--seed", 4, "--incidents", 3).exit_code == 1
    assert asked == {"seed": 4, "incidents": 3, "as_json": False}


def test_simulate_says_how_far_it_is_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator_cli, "LINE_SECONDS", 0.0)
    result = gym("simulate", "--seed", 4, "--incidents", 2, "--json")
    assert [line.split(",")[0] for line in result.stderr.splitlines()] == [
        "1 of 2 simulated incidents",
        "2 of 2 simulated incidents",
    ]
    assert json.loads(result.stdout)["incidents"] == 2, "nothing of it is in the JSON"
