"""``checklists:``, ``war_room:`` and ``milder_after:`` of midwatch.yaml: what is said holds, the rest stays as shipped."""

from __future__ import annotations

import pytest

from midwatch.model.policy import Policy
from midwatch.model.room import CHECKLISTS
from midwatch.model.war_room import WarRoomPolicy
from midwatch.shell.files.policy import applied, policy_of
from midwatch.shell.files.yaml_lines import parse


def test_one_severity_is_written_and_the_others_stay() -> None:
    (document,), _ = parse("checklists:\n  1: [Call Zo\u00eb, Stop deploys, Call Zo\u00eb]\n  4: []\n")
    file, problems = policy_of(document)
    assert file is not None and not problems
    found = applied(Policy(), file).checklists
    assert found == {1: ("Call Zo\u00eb", "Stop deploys"), 2: CHECKLISTS[2], 3: CHECKLISTS[3], 4: ()}
    assert Policy().checklists == CHECKLISTS


@pytest.mark.parametrize(("text", "line"), [("checklists:\n  5: [x]\n", 2), ("checklists:\n  1: ['']\n", 2)])
def test_what_is_no_checklist_is_said_with_its_line(text: str, line: int) -> None:
    (document,), _ = parse(text)
    file, problems = policy_of(document)
    assert file is None and [p.line for p in problems] == [line]


def test_war_rooms_and_when_it_is_milder() -> None:
    text = "war_room: {channel: team, severity: 1, archive_after: 2d, link: 'https://midwatch.example'}\nmilder_after: 20m\n"
    (document,), _ = parse(text)
    file, problems = policy_of(document)
    assert file is not None and not problems
    found = applied(Policy(), file)
    assert found.war_room == WarRoomPolicy("team", 1, archive_seconds=172800.0, link="https://midwatch.example")
    assert found.milder_after_seconds == 1200.0
    assert Policy().war_room.channel == "" and Policy().milder_after_seconds == 600.0


@pytest.mark.parametrize(
    "text",
    ["war_room: {severity: 2}", "war_room: {channel: team, prefix: INC}", "war_room: {channel: t, link: 'ftp://x'}"],
)
def test_what_is_no_war_room_is_refused(text: str) -> None:
    (document,), _ = parse(text)
    file, problems = policy_of(document)
    assert file is None and problems
