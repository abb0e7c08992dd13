"""What was never done may be tried anew; what was seen to leave may still arrive, and counts as tried."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import pytest

from midwatch.core.decide.propose import not_tried
from midwatch.model.actions import Action, Outcome, Verdict
from midwatch.model.errors import InDoubt
from midwatch.model.events import ActionJudged, ActionOrdered, Event, Recorded
from midwatch.model.fold import fold
from midwatch.model.state import State
from midwatch.shell.effects import Effects, Limits

ACTION = Action("ACT-1", "key-1", "INC-1", "book", "restart", "service:payment")


class NeverSeen:
    """The request leaves, no answer comes, and the other side does not know of it (yet)."""

    verbs: ClassVar[dict[str, Any]] = {}

    async def apply(self, action: Action) -> Outcome:
        raise InDoubt("no answer")

    async def observe(self, action: Action) -> Outcome:
        return Outcome("failed", "never saw it", untouched=True)


@pytest.mark.parametrize(("crashed", "free"), [(True, True), (False, False)])
def test_only_an_order_whose_process_died_counts_as_not_tried(tmp_path: Path, crashed: bool, free: bool) -> None:
    state = State()

    def take(event: Event) -> None:
        nonlocal state
        state = fold(state, Recorded(state.seq + 1, float(state.seq + 1), event))

    async def record(event: Event) -> None:
        take(event)

    async def go() -> None:
        effects = Effects(
            hands=NeverSeen(), channels={}, record=record, state=lambda: state,
            hands_off_file=tmp_path / "HANDS-OFF", limits=Limits(observe_after_seconds=(), late_seconds=0.001),
        )  # fmt: skip
        take(ActionJudged(ACTION, Verdict("run", "all", "")))
        take(ActionOrdered("ACT-1"))
        if crashed:
            effects.reconcile(state)
        else:
            effects.carry_out([ActionOrdered("ACT-1")])
        await effects.drain(5)

    asyncio.run(go())
    ended = state.actions["ACT-1"]
    assert ended.status == "failed" and not_tried(ended) is free
