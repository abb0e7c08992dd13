"""``midwatch oncall`` as people use it: on the files alone, and against a watch that runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.cli.test_cli import midwatch, said
from tests.cli.test_up import until
from typer.testing import CliRunner

from midwatch.faces.cli.app import app
from midwatch.shell.files.people.ical import read_calendar
from midwatch.shell.folder import read_running

TEAM = """
people:
  ana: {name: Ana Alvarez, zone: Europe/Berlin, contacts: [phone]}
  ben: {contacts: [phone]}
teams:
  shop: {members: [ana, ben], services: [payment], escalation: shop}
schedules:
  shop:
    zone: Europe/Berlin
    layers: [{name: week, people: [ana, ben], starts_on: 2020-01-06}]
escalations:
  shop:
    levels:
      - {wake: [schedule: shop], wait: 5m}
      - {wake: [team: shop]}
catch_all: shop
"""
SETTINGS = "channels:\n  phone: {type: console}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    where = tmp_path / "watch"
    (where / "people").mkdir(parents=True)
    (where / "people" / "team.yaml").write_text(TEAM)
    (where / "settings.yaml").write_text(SETTINGS)
    return where


def test_who_is_on_call_from_the_files_alone(folder: Path) -> None:
    (row,) = said(midwatch("oncall", "who", "--folder", folder, "--at", "2026-01-06T12:00+01:00", "--json"))
    assert (row["person"], row["next"], row["why"]) == ("ben", "ana", "week")
    assert row["until_at"] == datetime(2026, 1, 12, 8, tzinfo=UTC).timestamp()
    shown = midwatch("oncall", "who", "--folder", folder, "--at", "2026-01-06T12:00+01:00")
    assert shown.exit_code == 0 and "Mon 12 Jan 09:00 CET" in shown.stdout
    levels = said(midwatch("oncall", "who", "--service", "payment", "--folder", folder, "--json"))
    assert levels["team"] == "shop" and len(levels["levels"]) == 2
    assert "takes what nobody owns" in midwatch("oncall", "who", "--service", "search", "--folder", folder).stdout


def test_check_says_what_is_wrong_and_exits_with_it(folder: Path) -> None:
    assert said(midwatch("oncall", "check", "--folder", folder, "--json"))["ok"] is True
    assert "at any time of the next 90 days" in midwatch("oncall", "check", "--folder", folder).stdout
    prom = "integrations:\n  prom: {kind: alertmanager, key: env:K%s}\n  pager: {kind: pagerduty, key: env:P}\n"
    (folder / "settings.yaml").write_text(SETTINGS + prom % "")
    (quiet,) = said(midwatch("oncall", "check", "--folder", folder, "--json"))["flaws"]
    assert (quiet["level"], quiet["subject"]) == ("warning", "prom")
    assert "warning is SEV4, and page_severity is 3" in quiet["text"] and "{warning: 3} pages" in quiet["hint"]
    (folder / "settings.yaml").write_text(SETTINGS + prom % ", severities: {Warning: 4}")
    assert said(midwatch("oncall", "check", "--folder", folder, "--json"))["flaws"] == [], "it is meant so"
    (folder / "settings.yaml").write_text(SETTINGS)
    ends = datetime.now(UTC).date() + timedelta(days=30)
    text = TEAM.replace("starts_on: 2020-01-06", f"starts_on: 2020-01-06, ends_on: {ends}")
    (folder / "people" / "team.yaml").write_text(text.replace("      - {wake: [team: shop]}\n", ""))
    found = said(midwatch("oncall", "check", "--folder", folder, "--json"), 1)
    assert [f["code"] for f in found["flaws"]] == ["gap"]
    shown = midwatch("oncall", "check", "--folder", folder)
    assert shown.exit_code == 1 and "nobody would be woken by shop" in shown.stdout
    assert said(midwatch("oncall", "check", "--days", "20", "--folder", folder, "--json"))["ok"] is True
    (folder / "people" / "team.yaml").write_text("people: {ana: {zone: nowhere}}")
    assert "no time zone" in midwatch("oncall", "check", "--folder", folder).stderr
    assert midwatch("oncall", "check", "--folder", folder).exit_code == 2


def test_without_people_files_it_says_what_to_write(tmp_path: Path) -> None:
    result = midwatch("oncall", "who", "--folder", tmp_path)
    assert result.exit_code == 2 and "no people file" in result.stderr and "docs/oncall-people.md" in result.stderr


def test_shifts_and_a_feed_that_other_calendars_read(folder: Path, tmp_path: Path) -> None:
    rows = said(midwatch("oncall", "shifts", "shop", "--days", "21", "--folder", folder, "--json"))
    assert len(rows) in (3, 4) and rows[0]["end_at"] == rows[1]["start_at"]
    assert "no schedule 'nope'" in midwatch("oncall", "shifts", "nope", "--folder", folder).stderr
    target = tmp_path / "shop.ics"
    assert midwatch("oncall", "feed", "shop", "-o", target, "--folder", folder).exit_code == 0
    horizon = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    text = target.read_text().replace("TRANSP:TRANSPARENT", "TRANSP:OPAQUE")
    target.write_text(text)
    calendar, wrong = read_calendar(target, "shop", "UTC", horizon)
    begins = {span.start_at for span in calendar.spans}
    assert not wrong and rows[1]["start_at"] in begins and len(begins) > 25
    mine = midwatch("oncall", "feed", "ana", "--person", "--folder", folder).stdout
    assert "X-WR-CALNAME:On call: Ana Alvarez" in mine and "Ben" not in mine
    assert midwatch("oncall", "feed", "nobody", "--person", "--folder", folder).exit_code == 2


@pytest.fixture
def running(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    import subprocess

    words = [
        "up",
        "--folder",
        str(folder),
        "--store",
        "none",
        "--tick",
        "0.2",
        "--otlp-port",
        "0",
        "--console-port",
        "0",
    ]
    command = [sys.executable, "-c", "from midwatch.faces.cli.app import main; main()", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        told = until(lambda: read_running(folder) or process.poll() is not None, 60.0)
        assert isinstance(told, dict), process.communicate()[1]
        yield folder, told
    finally:
        process.kill()
        process.communicate()


@pytest.mark.integration
def test_stand_ins_swaps_and_feeds_of_a_running_watch(running: tuple[Path, dict[str, Any]]) -> None:
    folder, told = running
    token = (folder / "token").read_text().strip()
    client = httpx.Client(
        base_url=told["api"], headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=30
    )

    def now_on_call() -> tuple[str, str]:
        """Who, and why: it may be Monday, nine o'clock in Berlin."""
        row = client.get("/api/v1/oncall").json()[0]
        return row["person"], row["why"]

    other = {"ana": "ben", "ben": "ana"}[now_on_call()[0]]
    day = datetime.now(UTC)
    begin, end = (day - timedelta(hours=1)).isoformat(), (day + timedelta(hours=5)).isoformat()
    said(midwatch("oncall", "override", "shop", other, begin, end, "--note", "dentist", "--folder", folder, "--json"))
    assert until(lambda: now_on_call() == (other, "override OVR-1"))
    assert said(midwatch("oncall", "who", "--folder", folder, "--json"))[0]["why"] == "override OVR-1"
    said(midwatch("oncall", "override-end", "OVR-1", "--folder", folder, "--json"))
    assert until(lambda: now_on_call()[1] == "week")
    shifts = "/api/v1/oncall/schedules/shop?days=40"
    soon = day.timestamp() + 86_400
    hers = next(s for s in client.get(shifts).json() if s["person"] == "ana" and s["start_at"] > soon)
    later = [datetime.fromtimestamp(hers["start_at"] + n * 3600, UTC).isoformat() for n in (1, 25)]
    said(midwatch("oncall", "swap", "shop", *later, "--with", "ben", "--by", "ana", "--folder", folder, "--json"))
    said(midwatch("oncall", "accept", "SWP-1", "--by", "ben", "--folder", folder, "--json"))
    assert until(lambda: [s["person"] for s in client.get(shifts).json() if s["why"] == "override OVR-2"] == ["ben"])
    feed = "/api/v1/oncall/schedules/shop/calendar.ics"
    answer = client.get(feed)
    assert answer.headers["content-type"].startswith("text/calendar") and answer.text.startswith("BEGIN:VCALENDAR")
    assert client.get("/api/v1/oncall/people/ana/calendar.ics").status_code == 200
    assert client.get("/api/v1/oncall/schedules/nope/calendar.ics").status_code == 404
    assert client.get("/api/v1/oncall/service/payment").json()["team"] == "shop"
    assert client.get("/api/v1/oncall/check").json() == []
    assert {row["person"] for row in client.get("/api/v1/oncall/fairness").json()} == {"ana", "ben"}
    loads = said(midwatch("oncall", "fairness", "--folder", folder, "--json"))
    assert {row["person"] for row in loads} == {"ana", "ben"}
    narrow = CliRunner().invoke(app, ["oncall", "fairness", "--folder", str(folder)], env={"COLUMNS": "80"}).stdout
    assert "acknowledged" in narrow and narrow.count("weekend") == 2 and "…" not in narrow
    assert midwatch("escalate", "INC-9", "--folder", folder).exit_code == 2
    assert json.loads((folder / "running.json").read_text())["pid"]
