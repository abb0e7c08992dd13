"""The archive of log lines, drawn small: what is read, how it is scored, and the page with and without the peer."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from midwatch.gym.benchmarks import loghub
from midwatch.gym.benchmarks.contract import Result, to_json
from midwatch.gym.benchmarks.page import write
from midwatch.gym.benchmarks.template_scores import found_of, template_scores
from midwatch.model.errors import UsageError

Row = tuple[str, str, str]
LINES: list[Row] = [
    *((f"Listening on port {n}", "E1", "Listening on port <*>") for n in (80, 81, 82)),
    *((f"Closed   after {n} ms", "E2", "Closed after <*> ms") for n in (5, 6)),
    ("power is on", "E3", "power is <*>"),
    ("power is off", "E3", "power is <*>"),
]


def archive(folder: Path, rows: list[Row], *, name: str = "Toy_2k.log_structured_corrected.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("LineId", "Content", "EventId", "EventTemplate"))
        writer.writerows((i, *row) for i, row in enumerate(rows))
    return folder


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loghub, "REPEATS", 1)
    monkeypatch.setattr(loghub, "STREAMED", 1)


def run(data: Path) -> Result:
    return loghub.bench(data, progress=lambda line: None)


def test_scores_worked_out_by_hand() -> None:
    """Four true templates over ten lines: a is found as it is, b is split, c and d are joined under the text of c."""
    truths = [*"aaaa", *"bbb", *"cc", "d"]
    found = template_scores([*"aaaa", "b", "b", "B", *"cc", "c"], truths)
    assert (found.lines, found.true_templates, found.found_templates) == (10, 4, 4)
    assert found.ga == pytest.approx(4 / 10)  # the lines of a
    assert found.fga == pytest.approx(2 * 1 / (4 + 4))  # a alone, of four found and four true
    assert found.pa == pytest.approx(8 / 10)  # all but one b and d
    assert (found.pta, found.rta) == (2 / 4, 2 / 4)  # a, and one half of b: pure, and reads so
    assert found.fta == pytest.approx(0.5)


def test_perfect_and_hopeless() -> None:
    best = template_scores(["a  b", "c"], ["a b", "c"])
    worst = template_scores(["x", "x"], ["a", "b"])
    assert [best.ga, best.fga, best.pa, best.fta] == [1.0] * 4
    assert [worst.ga, worst.fga, worst.pa, worst.fta] == [0.0] * 4


def test_what_a_template_came_under() -> None:
    found = found_of([*"pppq", "q", "r"], [*"aaaa", "b", "r"], ["A"] * 4 + ["B", "R"])
    assert found["A"].groups == (("A", 0.75), ("A + B", 0.25)) and not found["A"].same_text
    assert found["B"].groups == (("A + B", 1.0),)
    assert found["R"].groups == (("R", 1.0),) and found["R"].same_text


def test_a_case_is_a_true_template(tmp_path: Path) -> None:
    result = run(archive(tmp_path / "Toy", LINES))
    scores, cases = result.scores["Toy"], {case.id: case for case in result.cases}
    assert scores["lines"] == 7 and scores["true_templates"] == 3 and scores["ga"] == pytest.approx(5 / 7)
    assert cases["Toy/E1"].truth == "E1" and [(r.entity, r.probability) for r in cases["Toy/E1"].ranked] == [
        ("E1", 1.0)
    ]
    assert [r.probability for r in cases["Toy/E3"].ranked] == [0.5, 0.5], "one other word in a line is no value yet"
    assert result.scores["mean of unseen"]["systems"] == 1 and "mean of seen while building" not in result.scores
    assert all(case.seconds > 0 for case in result.cases) and json.dumps(to_json(result), allow_nan=False)


def test_order_and_values_are_all_that_the_miner_sees(tmp_path: Path) -> None:
    """Other labels change the scores and nothing that was found."""
    honest = run(archive(tmp_path / "one", LINES)).scores["Toy"]
    lying = run(archive(tmp_path / "two", [(line, "E9", "nonsense") for line, _, _ in LINES])).scores["Toy"]
    assert lying["found_templates"] == honest["found_templates"] == 4
    assert lying["true_templates"] == 1 and lying["pa"] == 0.0 == lying["ga"]


def test_corrected_labels_count_alone_where_there_are_any(tmp_path: Path) -> None:
    archive(tmp_path / "Toy", LINES)
    archive(tmp_path / "Toy", [("other lines", "E1", "other lines")], name="Toy_2k.log_structured.csv")
    archive(tmp_path / "deep/Plain", LINES[:3], name="Plain_full.log_structured.csv")
    found = loghub.systems(tmp_path)
    assert [(system.name, len(system.lines)) for system in found] == [("Plain", 3), ("Toy", 7)]


def test_one_text_under_two_labels_is_one_template(tmp_path: Path) -> None:
    rows = [("went 1 way", "E1", "went <*> way"), ("went 2 way", "E2", "went <*> way")]
    assert [case.id for case in run(archive(tmp_path, rows)).cases] == ["Toy/E1"]


@pytest.mark.parametrize("text", ["", "Content\nx\n", "a,b\n1,2\n"])
def test_what_cannot_be_read_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "Toy_structured.csv").write_text(text)
    with pytest.raises(UsageError, match="Toy_structured"):
        run(tmp_path)


def test_a_folder_of_something_else_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has not the layout"):
        run(tmp_path)


def test_a_stream_has_other_numbers_of_the_same_shape() -> None:
    once, twice = loghub.streamed(["took 120 ms on eth0"], times=2)
    assert once != twice and once.endswith(" ms on eth0") and len(once) == len(twice)


def test_the_page_tells_failures_by_name_and_that_the_peer_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_peer(name: str) -> Any:
        raise ImportError(name)

    data = archive(tmp_path / "data/Toy", LINES)
    result = run(data)
    monkeypatch.setattr(loghub.importlib, "import_module", no_peer)
    peers = loghub.compare(data, result, progress=lambda line: None)
    monkeypatch.undo()
    text = write(tmp_path / "out", msgspec.structs.replace(result, peers=peers)).read_text()
    assert "E3 in 2" in text and "`pip install --group bench`" in text
    assert "3 cases" in text and "| Toy | 7 | 3, 4 |" in text


def test_the_peer_runs_on_the_same_lines(tmp_path: Path) -> None:
    pytest.importorskip("drain3")
    data = archive(tmp_path / "data/Toy", LINES)
    result = run(data)
    peers = loghub.compare(data, result, progress=lambda line: None)
    assert peers["drain3"]["Toy"]["lines"] == 7 and peers["drain3"]["Toy"]["midwatch_times_as_fast_cold"] > 0
    assert "Drain3: GA" in write(tmp_path / "out", msgspec.structs.replace(result, peers=peers)).read_text()
