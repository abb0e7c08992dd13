"""``midwatch investigate``: what people and scripts see."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tests.cli.test_cli import folder, midwatch, said
from tests.shell.recording import START, write_recording

__all__ = ["folder"]
PAGE = Path(__file__).parents[2] / "docs" / "investigate.md"


def test_the_example_in_the_docs_is_what_is_printed(tmp_path: Path) -> None:
    found = midwatch("investigate", "--recording", write_recording(tmp_path), "--symptom", "storefront")
    assert found.exit_code == 0, found.output
    shown = PAGE.read_text().partition("$ midwatch investigate --recording DIR --symptom storefront\n")[2]
    assert textwrap.dedent(shown).strip() == "\n".join(line.rstrip() for line in found.stdout.splitlines()).strip()


def test_json_is_the_contract_and_nothing_else(tmp_path: Path) -> None:
    found = said(midwatch("investigate", "--recording", write_recording(tmp_path), "--json"))
    assert set(found) == {"from", "to", "symptom", "rows", "answers", "findings", "notes"}
    first = found["answers"][0]["hypotheses"][0]
    assert first["entity"] == "service:payment" and 0.5 < first["probability"] <= 1.0
    assert {"evidence", "path", "next_check", "refuted_by"} <= set(first)


def test_a_healthy_time_is_said_to_be_one(tmp_path: Path) -> None:
    found = midwatch("investigate", "--recording", write_recording(tmp_path), "--from", START + 5, "--to", START + 50)
    assert found.exit_code == 0 and "Nothing was wrong" in found.stdout and "--symptom ENTITY" in found.stdout


def test_one_end_of_the_window_is_enough_for_a_recording(tmp_path: Path) -> None:
    """Of a recording from long ago, the rest of it is meant, not the years until now."""
    recorded = write_recording(tmp_path)
    late = said(midwatch("investigate", "--recording", recorded, "--from", START + 30, "--json"))
    assert late["answers"] and late["to"] == said(midwatch("investigate", "--recording", recorded, "--json"))["to"]
    early = said(midwatch("investigate", "--recording", recorded, "--to", START + 50, "--json"))
    assert not early["answers"] and early["from"].startswith("2026-09-21T14:13:20")


def test_what_makes_no_sense_exits_with_two(tmp_path: Path, folder: Path) -> None:
    recorded = write_recording(tmp_path / "recorded")
    for words, why in (
        (("--recording", tmp_path / "nowhere"), "is not a folder"),
        (("--recording", recorded, "--symptom", "paymnet"), "did you mean payment?"),
        (("--recording", recorded, "--from", "5m"), "nothing in that window hint"),
        (("--recording", recorded, "--to", START - 60), "nothing in that window hint"),
        (("--recording", recorded, "--from", "5m", "--to", "now"), "holds no telemetry between"),
        (("--folder", folder), "say when it began"),
        (("--folder", folder, "--from", "yesterday"), "--from"),
        (("--folder", folder, "--from", "1h"), "there is no telemetry store"),
    ):
        found = midwatch("investigate", *words)
        assert found.exit_code == 2 and why in " ".join(found.stderr.split()), (words, found.output)
