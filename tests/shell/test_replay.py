"""Replay: a recording in, the contract's JSON out."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from tests.shell.recording import FAULT_SECONDS, NORMAL_SECONDS, START, write_recording

from midwatch.model.errors import IngestError, UsageError
from midwatch.model.events import ActionOrdered, PageOrdered
from midwatch.shell.replay import Report, replay, rfc3339


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return replay(write_recording(tmp_path_factory.mktemp("recording")))


def test_the_incident_and_its_cause_are_found(report: Report) -> None:
    found = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert set(found) == {"incidents"} and len(found["incidents"]) == 1
    incident = found["incidents"][0]
    assert set(incident) == {
        "id", "opened_at", "resolved_at", "severity", "symptoms", "causes", "unknown", "actions",
    }  # fmt: skip
    opened = datetime.fromisoformat(incident["opened_at"]).timestamp() - START - NORMAL_SECONDS
    assert 0 < opened <= 20, f"opened {opened:.0f} s after the fault began"
    assert incident["resolved_at"] is None
    assert "storefront" in incident["symptoms"]
    assert incident["causes"][0]["entity"] == "payment"
    assert all(set(c) == {"entity", "kind", "probability", "evidence"} for c in incident["causes"])
    assert sum(c["probability"] for c in incident["causes"]) + incident["unknown"] <= 1.01
    assert all(isinstance(line, str) and line for c in incident["causes"] for line in c["evidence"])
    assert ("rollback_deploy", "payment", "rehearse") in {
        (a["verb"], a["target"], a["verdict"]) for a in incident["actions"]
    }
    for action in incident["actions"]:
        assert set(action) == {"verb", "target", "verdict", "why"} and action["verdict"] != "run"


def test_nothing_is_ordered_in_rehearsal(report: Report) -> None:
    assert not [r for r in report.journal if isinstance(r.event, ActionOrdered)]
    assert not [r for r in report.journal if isinstance(r.event, PageOrdered)]


def test_the_recordings_clock_is_the_clock(report: Report) -> None:
    assert report.seconds == pytest.approx(NORMAL_SECONDS + FAULT_SECONDS, abs=3)
    assert all(START <= r.at <= START + NORMAL_SECONDS + FAULT_SECONDS + 10 for r in report.journal)
    assert [r.seq for r in report.journal] == list(range(1, len(report.journal) + 1))
    assert rfc3339(0.5) == "1970-01-01T00:00:00.500Z"


def test_the_same_recording_gives_the_same_answer(report: Report, tmp_path: Path) -> None:
    assert replay(write_recording(tmp_path / "again")).as_json() == report.as_json()


def test_a_healthy_recording_gives_no_incident(tmp_path: Path) -> None:
    assert replay(write_recording(tmp_path / "calm", seed=2, failing=0.0)).as_json() == {"incidents": []}


def test_bad_lines_are_said_and_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    folder = write_recording(tmp_path / "bad")
    (folder / "logs.jsonl").write_text('{"resourceLogs": [\nnot json\n')
    assert any("2 lines could not be read" in note for note in replay(folder).notes)
    (tmp_path / "empty").mkdir()
    with pytest.raises(IngestError):
        replay(tmp_path / "empty")
    with pytest.raises(UsageError):
        replay(tmp_path / "nowhere")
