"""Recorded and read back: the same rows, under the recording's clock."""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from midwatch.gym.fleet.record import to_json_line
from midwatch.model.errors import IngestError
from midwatch.shell.ingest.decode import decode
from midwatch.shell.ingest.recording import Problems, read_changes, read_recording


def span_line(at: float, name: str = "x", ahead: float = 0.0) -> bytes:
    spans = [
        {"traceId": f"{number + 1:032x}", "spanId": "b" * 16, "name": name, "kind": 2,
         "startTimeUnixNano": str(int(moment * 1e9)), "endTimeUnixNano": str(int(moment * 1e9))}
        for number, moment in enumerate((at, at, at + ahead))
    ]  # fmt: skip
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode() + b"\n"


def test_round_trip(tmp_path: Path, traces_request: Any, otlp: Any) -> None:
    request = traces_request()
    body = request.SerializeToString()
    folder = tmp_path / "run"
    folder.mkdir()
    plain = json.dumps(json.loads(otlp.as_json(request))).encode()
    (folder / "traces.jsonl").write_bytes(to_json_line("traces", body) + plain + b"\n")
    (folder / "changes.jsonl").write_text('{"id": "c", "at": 1700000000, "entity": "service:a"}\n')
    expected = [asdict(span) for span in decode("traces", body).spans]
    batches = list(read_recording(folder))
    assert [at for at, _ in batches] == pytest.approx([1_700_000_000.08] * 2)
    assert all([asdict(span) for span in batch.spans] == expected for _, batch in batches)
    assert [change.id for change in read_changes(folder)] == ["c"]


def test_files_are_merged_in_time_order(tmp_path: Path) -> None:
    (tmp_path / "traces.jsonl").write_bytes(b"".join(span_line(1000.0 + at) for at in (3, 1, 2, 9)))
    with gzip.open(tmp_path / "traces-old.jsonl.gz", "wb") as old:
        old.write(span_line(1000.5) + span_line(1004.0))
    record = {"timeUnixNano": "1002500000000", "severityNumber": 17, "body": {"stringValue": "x"}}
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    (tmp_path / "logs.jsonl").write_text(json.dumps(logs))
    times = [at for at, _ in read_recording(tmp_path)]
    assert times == [1000.5, 1001.0, 1002.0, 1002.5, 1003.0, 1004.0, 1009.0]


def test_bad_lines_are_named_and_skipped(tmp_path: Path) -> None:
    good = span_line(1000.0)
    (tmp_path / "traces.jsonl").write_bytes(good + b"{oops\n" + b"\n" + b"\xff\xfe\n" + b"[]\n" + good + good[:50])
    with gzip.open(tmp_path / "metrics.jsonl.gz", "wb") as file:
        file.write(b"{}\n" * 1000)
    whole = (tmp_path / "metrics.jsonl.gz").read_bytes()
    (tmp_path / "metrics.jsonl.gz").write_bytes(whole[:-10])
    problems = Problems()
    assert len(list(read_recording(tmp_path, problems))) == 2
    assert problems.bad_lines == 5
    assert {text.split(": ")[0] for text in problems.shown if text.startswith("traces")} == {
        "traces.jsonl:2", "traces.jsonl:4", "traces.jsonl:5", "traces.jsonl:7",
    }  # fmt: skip


def test_one_wild_clock_does_not_move_the_recording(tmp_path: Path) -> None:
    (tmp_path / "traces.jsonl").write_bytes(span_line(1000.0) + span_line(1001.0, ahead=1e8) + span_line(1002.0))
    assert [at for at, _ in read_recording(tmp_path)] == [1000.0, 1001.0, 1002.0]


def test_an_empty_folder_says_what_it_expected(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match="no recorded telemetry"):
        list(read_recording(tmp_path))
