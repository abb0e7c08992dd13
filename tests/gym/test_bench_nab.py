"""NAB drawn small: its scale, its thresholds, and a detector that is told no later row."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from midwatch.gym.benchmarks.contract import from_json, to_json
from midwatch.gym.benchmarks.nab import bench, ours, profiles, section, tuned_on
from midwatch.gym.benchmarks.nab_peers import gaussian_window
from midwatch.gym.benchmarks.nab_scoring import PROFILES, Labelled, alarms, normalised, position, sweep
from midwatch.gym.benchmarks.page import write
from midwatch.model.errors import UsageError

STANDARD = PROFILES["standard"]


def series(*windows: tuple[int, int], rows: int = 1000) -> Labelled:
    return Labelled("a/x.csv", np.arange(rows) * 300.0, np.zeros(rows), windows)


def flagged(rows: int, *at: int) -> np.ndarray:
    score = np.zeros(rows)
    score[list(at)] = 1.0
    return score


def gain(one: Labelled, *at: int, profile: str = "standard") -> float:
    return sweep([(one, flagged(1000, *at))], PROFILES[profile]).at(1.0)


def test_the_scale_runs_from_silence_to_the_first_row_of_every_window() -> None:
    one = series((300, 399), (600, 699))
    assert normalised(gain(one, 300, 600), 2, STANDARD) == pytest.approx(100.0)
    assert normalised(gain(one), 2, STANDARD) == 0.0
    assert sweep([(one, np.zeros(1000))], STANDARD).best() == (float("inf"), 0.0)


def test_earlier_earns_more_and_further_alarms_in_a_window_earn_nothing() -> None:
    one = series((300, 399))
    assert gain(one, 300) > gain(one, 350) > gain(one, 399) > 0
    assert gain(one, 350, 360, 370) == pytest.approx(gain(one, 350))


def test_a_false_alarm_costs_its_profile_and_less_right_after_a_window() -> None:
    one = series((300, 399))
    assert gain(one, 200) == pytest.approx(-0.11)
    assert gain(one, 200, profile="reward_low_FP") == pytest.approx(-0.22)
    assert -0.11 < gain(one, 405) < 0
    assert gain(one, 10) == 0.0, "probation"
    assert float(position(np.array(0.0))) == 0.0


def test_the_best_threshold_is_found_among_all() -> None:
    one = series((300, 399))
    score = np.zeros(1000)
    score[320], score[200], score[500:520] = 3.0, 2.0, 1.0
    threshold, best = sweep([(one, score)], STANDARD).best()
    assert threshold == 3.0
    assert alarms(one, score, threshold) == (1, 0, [320])
    assert alarms(one, score, 1.0)[:2] == (1, 21)
    assert best > sweep([(one, score)], STANDARD).at(2.0)


def archive(root: Path) -> Path:
    rng = np.random.default_rng(5)
    told: dict[str, list[list[str]]] = {}
    for folder, name in (("real", "cpu.csv"), ("real", "disk.csv"), ("made", "flat.csv")):
        values = np.sin(np.arange(1200) / 20) + rng.normal(0, 0.1, 1200)
        if folder == "real":
            values[900:930] += 4
            told[f"{folder}/{name}"] = [[text(880), text(960)]]
        else:
            told[f"{folder}/{name}"] = []
        (root / "data" / folder).mkdir(parents=True, exist_ok=True)
        rows = [f"{text(i)},{value:.6f}" for i, value in enumerate(values)]
        (root / "data" / folder / name).write_text("\n".join(["timestamp,value", *rows]) + "\n")
    (root / "labels").mkdir()
    (root / "labels" / "combined_windows.json").write_text(json.dumps(told))
    return root


def text(row: int) -> str:
    return datetime.fromtimestamp(row * 300.0, UTC).strftime("%Y-%m-%d %H:%M:%S")


def test_an_archive_from_end_to_end(tmp_path: Path) -> None:
    result = bench(archive(tmp_path), progress=lambda line: None)
    assert [case.id for case in result.cases] == ["made/flat.csv", "real/cpu.csv", "real/disk.csv"]
    assert result.cases[0].truth is None and not result.cases[0].ranked
    assert result.cases[1].details == {"rows": 1200, "windows": 1, "hit": 1, "false": 0}
    assert result.scores["standard"]["score"] > 80
    assert "| real | 2 | 2 | 2 | 0 | - |" in section(result)


def test_what_is_kept_on_disk_comes_back_and_makes_the_page(tmp_path: Path) -> None:
    result = bench(archive(tmp_path / "data"), progress=lambda line: None)
    again = from_json(json.dumps(to_json(result)))
    assert [case.id for case in again.cases] == [case.id for case in result.cases]
    assert np.isnan(again.cases[1].ranked[0].probability)
    assert "## nab" in write(tmp_path, result).read_text()


def test_the_half_that_constants_come_from_is_declared_and_the_other_is_judged_by_its_threshold() -> None:
    assert tuned_on(["b/1", "a/2", "a/1", "a/3", "b/2"]) == {"a/1", "a/3", "b/1"}
    one = series((300, 399))
    tuned, other = (Labelled(f"a/{n}.csv", one.times, one.values, one.windows) for n in (1, 2))
    strict = flagged(1000, 300) * 3.0
    many = [(tuned, strict), (other, flagged(1000, 300) * 2.0)]
    found = profiles(many)["standard"]
    assert found["score_of_the_tuned_half"] == pytest.approx(100.0)
    assert found["score_of_the_other_half"] == 0.0, "its alarm lies under the threshold of the tuned half"
    assert found["score"] == pytest.approx(100.0), "NAB's own rule looks at all of them"


def test_the_detector_is_told_no_later_row() -> None:
    rng = np.random.default_rng(6)
    whole = Labelled("x", np.arange(600) * 300.0, rng.normal(0, 1, 600), ())
    part = Labelled("x", whole.times[:400], whole.values[:400], ())
    np.testing.assert_array_equal(ours(whole)[:400], ours(part))
    np.testing.assert_allclose(gaussian_window()(whole)[:400], gaussian_window()(part), atol=1e-6)


def test_another_folder_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not the layout"):
        bench(tmp_path, progress=lambda line: None)
