"""``checklists:`` of midwatch.yaml: what it says of a severity holds, the others stay as shipped."""

from __future__ import annotations

import pytest

from midwatch.model.policy import Policy
from midwatch.model.room import CHECKLISTS
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
