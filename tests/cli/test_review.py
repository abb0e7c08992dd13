"""``midwatch review``, ``review lint`` and ``items`` on a folder's journal."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.learn.test_review import Journal
from typer.testing import CliRunner

from midwatch.faces.cli.app import app
from midwatch.model.events import ItemFiled, ItemOpened, PostmortemWritten
from midwatch.model.items import ActionItem
from midwatch.shell.journal.sqlite import SqliteJournal

DAY = 86_400.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    now = time.time()
    told = Journal()
    for number in range(1, 8):
        told.incident(number, now - (9 - number) * DAY, cause="service:a bad_deploy", acted=number % 2 == 0)
    item = ActionItem("AI-1", "INC-1", "a larger pool", "payments", now - DAY, "last", "service:a bad_deploy")
    told.say(now - DAY, ItemOpened(item), ItemFiled("AI-1", "code", "17", "https://example.org/17"))
    told.say(now - DAY, PostmortemWritten("INC-1", "# INC-1\n\n## Summary\n\nIt ended at 12:04 (ACT-1).\n"))
    journal = SqliteJournal(tmp_path / "journal.sqlite", lease_seconds=5)
    for one in told.entries:
        journal.append([one.event], one.at)
    journal.close()
    return tmp_path


def run(*words: str) -> tuple[int, str]:
    made = CliRunner().invoke(app, list(words))
    return made.exit_code, made.output


def test_the_numbers_of_a_month(folder: Path) -> None:
    code, text = run("review", "--folder", str(folder))
    assert code == 0 and "7 incidents, 0 of them open" in text and "Action items: 1 open, 1 of them late." in text
    assert "6 of 7" in text and "6 x " in text
    begin, end = (time.strftime("%Y-%m-%d", time.localtime(time.time() - days * DAY)) for days in (30, 0))
    assert f"{begin} " in text and f" to {end} " in text.replace("\n", " ")
    assert "Pages: 7 in 30 days; the median day had 0, the worst 1, none came in 23 of 30" in text.replace("\n", " ")
    assert "Pages: 0 in 1 day." in run("review", "--folder", str(folder), "--from", "12h")[1]
    code, text = run("review", "--folder", str(folder), "--json")
    found = json.loads(text)
    assert found["times"]["acknowledge"]["0"]["median"] == 120.0 and found["actionable"]["part"] == 3
    assert found["items"] == {"open": 1, "late": 1}
    assert run("review", "--folder", str(folder), "--from", "1d", "--to", "2d")[0] == 2


def test_items_are_listed(folder: Path) -> None:
    code, text = run("items", "--folder", str(folder), "--json")
    (row,) = json.loads(text)
    assert code == 0 and row["late"] and row["ref"] == "17" and row["owner"] == "payments"
    code, text = run("show", "INC-1", "--folder", str(folder))
    assert code == 0 and "AI-1 for payments, open, code 17: a larger pool" in text
    code, text = run("show", "INC-2", "--folder", str(folder))
    assert "AI-1 of INC-1, the same again, is still open" in text
    code, text = run("items", "--folder", str(folder))
    assert code == 0 and "AI-1" in text and "late" in text
    assert run("items", "add", "INC-1", "x", "--owner", "a", "--due", "soon", "--folder", str(folder))[0] == 2
    assert run("items", "done", "AI-1", "--folder", str(folder))[0] == 3, "nobody is on watch"


def test_a_post_mortem_is_linted(folder: Path, tmp_path: Path) -> None:
    assert run("review", "lint", "INC-1", "--folder", str(folder)) == (0, "No remark.\n")
    draft = tmp_path / "draft.md"
    draft.write_text("# INC-1\n\n## Summary\n\nHuman error. 99 % of users were affected.\n")
    code, text = run("review", "lint", str(draft), "--folder", str(folder))
    assert code == 1 and "blames" in text and "journal" not in text
    code, text = run("review", "lint", str(draft), "--incident", "1", "--folder", str(folder), "--json")
    assert code == 1 and [one["code"] for one in json.loads(text)] == ["blame", "number"]
    assert run("review", "lint", "INC-99", "--folder", str(folder))[0] == 2
