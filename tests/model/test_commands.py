"""What a person can say is one list."""

from __future__ import annotations

from typing import get_args

from midwatch.core.decide.obey import _VERBS, OF_ALERTS, OF_PEOPLE
from midwatch.core.oncall import by_hand, rota
from midwatch.model.events import CommandVerb
from midwatch.shell.desk import COMMANDS


def test_every_command_that_is_taken_is_obeyed_and_the_other_way_round() -> None:
    assert set(get_args(CommandVerb)) == COMMANDS == set(_VERBS) | OF_ALERTS | OF_PEOPLE
    assert set(by_hand.VERBS) == OF_ALERTS and set(rota._VERBS) == OF_PEOPLE
