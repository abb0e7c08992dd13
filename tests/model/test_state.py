"""The fold: what a journaled event does to decision state."""

from __future__ import annotations

from midwatch.model.actions import AutonomyLevel, Playbook
from midwatch.model.events import AutonomyChanged, Event, PolicyLoaded, Recorded
from midwatch.model.fold import fold_all
from midwatch.model.policy import Policy
from midwatch.model.state import State


def folded(*events: Event) -> State:
    return fold_all(Recorded(seq, float(seq), event) for seq, event in enumerate(events, start=1))


def loaded(level: AutonomyLevel) -> PolicyLoaded:
    return PolicyLoaded(Policy(playbooks=(Playbook("restart-it", ("crash_loop",), "restart", autonomy=level),)))


def test_a_level_that_was_earned_or_lost_outlives_a_restart_with_the_same_file() -> None:
    state = folded(loaded("auto"), AutonomyChanged("restart-it", "canary", "missed"), loaded("auto"))
    assert state.playbooks["restart-it"].level == "canary"


def test_a_file_that_says_less_than_before_is_obeyed() -> None:
    state = folded(loaded("auto"), loaded("shadow"))
    assert state.playbooks["restart-it"].level == "shadow"
    assert folded(loaded("auto"), loaded("shadow"), loaded("shadow")).playbooks["restart-it"].level == "shadow"
