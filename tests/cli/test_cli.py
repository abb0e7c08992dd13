"""The command line: what it prints, what it exits with, and that nothing of it is a traceback."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.shell.recording import write_recording
from typer.testing import CliRunner, Result

from midwatch.faces.cli import commands
from midwatch.faces.cli.app import app
from midwatch.faces.cli.common import OneLine, code_of, length_words
from midwatch.model.actions import Action, Verdict
from midwatch.model.errors import ChannelError, ConfigError, JournalError, MidwatchError, NotFound, UsageError
from midwatch.model.events import (
    ActionJudged,
    CauseConfirmed,
    CauseRanked,
    IncidentAcknowledged,
    IncidentOpened,
    IncidentResolved,
    PostmortemWritten,
    RoleTaken,
    UpdateWritten,
    WatchStarted,
)
from midwatch.model.findings import Evidence, Hypothesis
from midwatch.shell.journal.sqlite import SqliteJournal

AT = 1_790_000_000.0


def midwatch(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "160", "MIDWATCH_HOME": ""})


def said(result: Result, code: int = 0) -> Any:
    assert result.exit_code == code, f"{result.exit_code}: {result.output}"
    return json.loads(result.stdout)


def test_what_a_stranger_sent_begins_no_line_of_the_log() -> None:
    forged = "/x\n2026-01-01 ERROR midwatch.watch: all is lost\x1b[2J"
    try:
        raise ValueError("broke")
    except ValueError:
        record = logging.LogRecord("midwatch.x", logging.ERROR, "x.py", 1, "refused %s", (forged,), sys.exc_info())
    first, *rest = OneLine("%(levelname)s %(name)s: %(message)s").format(record).splitlines()
    assert first == r"ERROR midwatch.x: refused /x\x0a2026-01-01 ERROR midwatch.watch: all is lost\x1b[2J"
    assert rest[0].startswith("Traceback") and rest[-1] == "ValueError: broke"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that a watch left behind: one open incident, one resolved with a post-mortem."""
    journal = SqliteJournal(tmp_path / "journal.sqlite", ballast_bytes=0)
    cause = Hypothesis(
        "service:payment",
        "pool_exhausted",
        0.93,
        (Evidence("saturation", "service:payment", "18 wait on 5 connections", 4.0),),
    )
    action = Action("ACT-1", "k", "INC-1", "resize-pool", "resize_pool", "service:payment", {"size": 20})
    journal.append(
        [
            WatchStarted("1", 1),
            IncidentOpened("INC-1", "payment fails", AT, 2, "15 %", (), ("service:payment",)),
            CauseRanked("INC-1", (cause,), 0.05),
            ActionJudged(action, Verdict("ask", "autonomy", "this playbook asks")),
            UpdateWritten("INC-1", "elevated error rates in payment", {"share": 0.15}),
            IncidentOpened("INC-2", "search slow", AT, 3, "2 %", (), ("service:search",)),
            IncidentResolved("INC-2", "calm for 60 s"),
            PostmortemWritten("INC-2", "# Post-mortem INC-2\n\nIt was slow.\n"),
        ],
        AT,
    )
    journal.close()
    return tmp_path


def test_reading_commands_work_without_a_running_watch(folder: Path) -> None:
    status = said(midwatch("status", "--folder", folder, "--json"), 3)
    assert status["running"] is False and status["open_incidents"][0]["id"] == "INC-1"
    assert status["waiting_for_you"][0]["id"] == "ACT-1"
    assert [i["id"] for i in said(midwatch("incidents", "--folder", folder, "--json"))] == ["INC-1"]
    assert [i["id"] for i in said(midwatch("incidents", "--all", "--folder", folder, "--json"))] == ["INC-1", "INC-2"]
    shown = said(midwatch("show", "1", "--folder", folder, "--json"))
    assert shown["update"] == "elevated error rates in payment" and shown["hypotheses"][0]["kind"] == "pool_exhausted"
    assert len(shown["timeline"]) == 4
    assert said(midwatch("postmortem", "INC-2", "--folder", folder, "--json"))["markdown"].startswith("# Post-mortem")
    assert said(midwatch("journal", "verify", "--folder", folder, "--json"))["entries"] == 8


def test_who_has_an_incident_is_said_everywhere(folder: Path) -> None:
    assert "nobody" in midwatch("incidents", "--folder", folder).stdout
    journal = SqliteJournal(folder / "journal.sqlite", ballast_bytes=0)
    taken = [IncidentAcknowledged("INC-1", "ben"), RoleTaken("INC-1", "commander", "ana", "ana")]
    journal.append(taken, AT + 60)
    journal.close()
    for words in (("incidents",), ("status",), ("show", "1")):
        assert "ben, ana (commander)" in midwatch(*words, "--folder", folder).stdout, words
    assert "ben: acknowledged INC-1" in midwatch("show", "1", "--folder", folder).stdout
    (row,) = said(midwatch("incidents", "--folder", folder, "--json"))
    assert (row["acknowledged_by"], row["commander"]) == ("ben", "ana")


def test_several_incidents_are_acknowledged_at_once_and_again_is_no_news(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: dict[str, int | None] = {"INC-1": 9, "INC-2": None}

    class There:
        def __init__(self, folder: Path) -> None: ...

        def post(self, path: str, body: dict[str, str]) -> dict[str, object]:
            if body["target"] not in answers:
                raise UsageError(f"there is no incident {body['target']}", hint="the latest are INC-2")
            return {"seq": answers[body["target"]], "target": body["target"]}

    monkeypatch.setattr(commands, "Running", There)
    told = midwatch("ack", "INC-1", "INC-2")
    assert told.exit_code == 0 and "INC-1 is yours; its pages stop. (journal entry 9)" in told.stdout
    assert "You have INC-2 already" in told.stdout
    told = midwatch("ack", "INC-7", "INC-1")
    assert told.exit_code == 2 and "INC-1 is yours" in told.stdout and "there is no incident INC-7" in told.stderr
    assert said(midwatch("ack", "INC-2", "--json"))["seq"] is None
    assert [one.get("seq") for one in said(midwatch("ack", "7", "INC-1", "--json"), 2)] == [None, 9]


def test_a_confirmed_cause_goes_before_what_is_likely(folder: Path) -> None:
    journal = SqliteJournal(folder / "journal.sqlite", ballast_bytes=0)
    journal.append([CauseConfirmed("INC-1", "service:cart", "bad_deploy", "ana")], AT + 60)
    journal.close()
    listed = midwatch("incidents", "--folder", folder).stdout
    assert "a deploy broke it in cart (confirmed)" in listed and "93%" not in listed


def test_people_can_read_it_too(folder: Path) -> None:
    assert "Nobody is on watch" in midwatch("status", "--folder", folder).stdout
    assert "connection pool exhausted in payment (93%)" in midwatch("incidents", "--folder", folder).stdout
    shown = midwatch("show", "inc-1", "--folder", folder).stdout
    assert (
        "18 wait on 5 connections" in shown and "ACT-1: wants to resize the pool of payment (size 20) and asks" in shown
    )
    assert "No history yet" in shown, "how far the verdict can be trusted"
    assert midwatch("postmortem", "2", "--folder", folder).stdout == "# Post-mortem INC-2\n\nIt was slow.\n"
    assert "The chain holds" in midwatch("journal", "verify", "--folder", folder).stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["show", "INC-9"], 2),
        (["postmortem", "INC-1"], 2),
        (["ack", "INC-1"], 3),
        (["approve", "ACT-1"], 3),
        (["merge", "INC-1", "INC-2"], 3),
        (["split", "INC-1", "payment"], 3),
        (["autonomy", "resize-pool", "everything"], 2),
        (["confirm-cause", "INC-1", "payment", "gremlins"], 2),
        (["confirm-cause", "INC-1", "payment", "bad_deploy"], 3),
    ],
)
def test_exit_codes_and_friendly_errors(folder: Path, words: list[str], code: int) -> None:
    result = midwatch(*words, "--folder", folder)
    assert result.exit_code == code, result.output
    assert "error: " in result.stderr and "hint: " in result.stderr and "Traceback" not in result.output
    assert set(said(midwatch(*words, "--folder", folder, "--json"), code)) == {"error", "hint"}


def test_a_folder_without_a_journal(tmp_path: Path) -> None:
    result = midwatch("status", "--folder", tmp_path / "none")
    assert result.exit_code == 2 and "no journal" in result.stderr
    assert midwatch("nonsense").exit_code == 2
    assert midwatch("--version").stdout.startswith("midwatch ")


def test_a_broken_chain_is_found(folder: Path) -> None:
    import sqlite3

    with sqlite3.connect(folder / "journal.sqlite") as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'")]
        for name in names:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE chain SET at = at - 1 WHERE seq = 3")
    found = said(midwatch("journal", "verify", "--folder", folder, "--json"), 1)
    assert found["ok"] is False and found["broken_at"] == 3


def test_hands_off_works_when_nobody_is_on_watch(tmp_path: Path) -> None:
    where = tmp_path / "new"
    answer = said(midwatch("hands-off", "--folder", where, "--json"))
    assert answer["hands_off"] and not answer["watch_told"] and (where / "HANDS-OFF").exists()
    assert midwatch("hands-off", "--release", "--folder", where).exit_code == 3
    assert not (where / "HANDS-OFF").exists()


def test_hands_off_holds_though_the_watch_cannot_write_it_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, folder: Path) -> None: ...

        def post(self, path: str, body: dict[str, str]) -> dict[str, int]:
            raise MidwatchError("the journal is full")

    monkeypatch.setattr(commands, "Running", Full)
    told = midwatch("hands-off", "--folder", tmp_path)
    assert told.exit_code == 0 and "Hands off." in told.stdout and "the journal is full" in told.stdout
    assert midwatch("hands-off", "--release", "--folder", tmp_path).exit_code == 4
    assert (tmp_path / "HANDS-OFF").exists(), "nothing is released that is not written down"


def test_check_names_file_line_key_and_hint(tmp_path: Path) -> None:
    good = tmp_path / "midwatch.yaml"
    good.write_text("mode: suggest\n")
    assert said(midwatch("check", good, "--json")) == {"ok": True, "problems": [], "advice": []}
    good.write_text("mode: suggest\nresolve_after: -3\n")
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        "tick_seconds: 5\nchannels:\n  phone:\n    type: webhook\n    url: http://x\n    secret: hunter2\n"
    )
    problems = said(midwatch("check", good, settings, "--json"), 2)["problems"]
    assert [(Path(p["path"]).name, p["line"], p["key"]) for p in problems] == [
        ("midwatch.yaml", 2, "resolve_after"),
        ("settings.yaml", 6, "channels.phone.webhook.secret"),
    ]
    assert "env:NAME" in problems[1]["problem"]
    assert midwatch("check", good).exit_code == 2
    settings.write_text("status_page: {components: [{name: Shop, slo: shop}, {name: Pay, slo: payment-latency}]}\n")
    (unkept,) = said(midwatch("check", settings, "--json"), 2)["problems"]
    assert (unkept["key"], unkept["problem"]) == (
        "status_page.components.0.slo",
        "nobody keeps a promise called shop",
    ), "what the watch proposes by itself is in no file"
    settings.write_text(
        "status_page: {components: [{name: Mails, service: mailer}, {name: Pay, slo: payment-latency}]}\n"
    )
    (advice,) = said(midwatch("check", settings, "--json"))["advice"]
    assert "no data of Pay" in advice and "payment-latency" in advice and "service:" in advice
    settings.write_text("status_page: {components: [{name: Shop}]}\n")
    (empty,) = said(midwatch("check", settings, "--json"), 2)["problems"]
    assert "or its service" in empty["problem"]
    settings.write_text("channels: {phone: {type: webhook, url: 'http://127.0.0.1:1'}}\npolicy: [midwatch.yaml]\n")
    good.write_text("mode: suggest\n")
    (advice,) = said(midwatch("check", settings, "--json"))["advice"]
    assert "console_url" in advice and "console_url" in midwatch("check", settings).stdout
    good.write_text("console_url: https://midwatch.example\n")
    assert said(midwatch("check", settings, "--json"))["advice"] == []
    settings.write_text("integrations: {og: {kind: opsgenie, key: env:K}}\npolicy: [midwatch.yaml]\n")
    (advice,) = said(midwatch("check", settings, "--json"))["advice"]
    assert "what og calls P4 wakes nobody" in advice and "integrations.og.severities: {P4: 3} pages" in advice
    good.write_text("integrations: {}\n")
    settings.write_text("integrations: {}\n")
    assert [p["hint"] for p in said(midwatch("check", tmp_path, "--json"), 2)["problems"]] == [
        "settings are read from a file called settings.yaml",
        f"settings are checked by themselves: midwatch check {settings}",
    ]


def test_replay_prints_the_contract_and_nothing_else(tmp_path: Path) -> None:
    found = said(midwatch("replay", write_recording(tmp_path / "r"), "--json"))
    assert found["incidents"][0]["causes"][0]["entity"] == "payment"
    assert midwatch("replay", tmp_path / "nowhere").exit_code == 2


def test_a_busy_port_and_an_unwritable_folder_exit_with_two(tmp_path: Path) -> None:
    import socket

    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        result = midwatch("up", "--folder", tmp_path / "w", "--store", "none", "--otlp-port", port)
    assert result.exit_code == 2 and "in use" in result.stderr and "--otlp-port" in result.stderr
    (tmp_path / "file").write_text("")
    assert midwatch("up", "--folder", tmp_path / "file", "--otlp-port", 0, "--console-port", 0).exit_code == 2


def test_codes_and_words() -> None:
    assert [code_of(e) for e in (ConfigError("x"), NotFound("x"), JournalError("x"), ChannelError("x"))] == [2, 2, 4, 4]
    assert [length_words(s) for s in (5, 185, 7800)] == ["5 s", "3 min 05 s", "2 h 10 min"]
