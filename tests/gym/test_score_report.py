"""The results page and what is played: from case files alone, and never twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from midwatch.gym.faults.catalog import BY_NAME, Case, draw_case, named
from midwatch.gym.faults.shop import shop
from midwatch.gym.score.judge import Score
from midwatch.gym.score.report import CaseFile, line, page, read_cases
from midwatch.gym.score.run import score, wanted, write_page

GOOD = Score(
    harm_after_seconds=2.0,
    detected=True,
    detect_seconds=9.0,
    entity_rank=1,
    cause_rank=1,
    ranking=("service:payment pool_exhausted 0.90",),
    right_fix=True,
    recovered=True,
    recover_seconds=40.0,
)
MISSED = Score(harm_after_seconds=1.0)


def case(fault: str, seed: int, found: Score, error: str = "") -> CaseFile:
    return CaseFile(draw_case(seed, 0, named(fault), shop()), found, 0.0, 1.0, {"midwatch": "0"}, error)


def test_the_page_names_every_failure() -> None:
    files = [
        case("pool_exhausted", 1, GOOD),
        case("pool_exhausted", 2, MISSED),
        case("slow_query", 1, Score()),
        case("control_batch", 1, Score(incidents=1, pages=2)),
        case("cache_down", 1, Score(), "FleetError: no"),
    ]
    text = page(files, command="midwatch gym score --seed 1", date="2026-01-01")
    for words in (
        "`midwatch gym score --seed 1`",
        "`pool_exhausted-2-0`: not detected; no accepted fix; did not recover.",
        "`slow_query-1-0`: no user felt it.",
        "`control_batch-1-0`: 1 incidents, 2 pages, 0 actions on a healthy fleet.",
        "`cache_down-1-0`: FleetError: no",
        "| detected | 1/2 = 0.50 (0.09-0.91) | all |",
    ):
        assert words in text
    assert "nan" not in text


def test_a_case_that_nobody_felt_is_in_no_other_share() -> None:
    row = line("x", [case("slow_query", 1, Score()), case("slow_query", 2, GOOD)])
    assert (row.felt.hits, row.felt.total, row.detected.total) == (1, 2, 1)


def test_a_page_without_cases_is_still_a_page() -> None:
    assert "# The gym's score" in page([], command="x", date="y")


def test_case_files_come_back_as_they_were(tmp_path: Path) -> None:
    file = case("bad_flag", 7, GOOD)
    (tmp_path / "case-bad_flag-7-0.json").write_bytes(msgspec.json.encode(file))
    assert read_cases(tmp_path) == [file]
    assert write_page(tmp_path, [file], "x").read_text().startswith("# The gym's score")


def test_what_is_there_is_not_played_again(tmp_path: Path) -> None:
    for one in wanted([5], ["bad_flag", "control_batch"]):
        (tmp_path / one.file_name).write_bytes(msgspec.json.encode(case(one.fault, 5, GOOD)))
    said: list[str] = []
    files = asyncio.run(score([5], tmp_path, kinds=["bad_flag", "control_batch"], say=said.append))
    assert len(files) == 2 and "0 cases to play, 2 already there" in said[0]


def test_what_to_play() -> None:
    assert len(wanted([1, 2], cases=3)) == 6 * len(BY_NAME)
    with pytest.raises(LookupError, match="no fault 'typhoon'"):
        wanted([1], ["typhoon"])


def test_a_case_has_a_name() -> None:
    assert isinstance(case("bad_flag", 7, GOOD).case, Case)
    assert case("bad_flag", 7, GOOD).case.name == "bad_flag-7-0"
