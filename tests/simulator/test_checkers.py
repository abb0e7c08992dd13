"""A checker that never complains proves nothing: each is shown a run that breaks its invariant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace as with_
from typing import Any

import pytest
from msgspec.structs import replace

from midwatch.core.memory import Memory
from midwatch.core.slo.measure import measure
from midwatch.core.turn import Turn
from midwatch.gym.simulator.checkers import CHECKERS, check
from midwatch.gym.simulator.report import _result, simulate
from midwatch.gym.simulator.telemetry import Blackout
from midwatch.gym.simulator.trace import Amnesia, Trace, Tried
from midwatch.model import events as e
from midwatch.model.actions import Action, Verdict
from midwatch.model.events import Event, Recorded
from midwatch.model.findings import Finding
from midwatch.model.fold import fold_all
from midwatch.model.state import State
from midwatch.model.world import World

SEED = 2  # bad_deploy, no misfortunes of its own


def scripted(
    state: State, memory: Memory, world: World, inputs: Sequence[Event], now: float
) -> tuple[tuple[Event, ...], Memory]:
    """A loop that fits on a page: errors at the gateway open an incident, page, and run one action and its undo."""
    turn = Turn(state, with_(memory, started_at=memory.started_at or now), world, now, tuple(inputs))
    ratio = measure(world, "service:gateway", "error_ratio", 15.0)
    if not state.incidents and ratio > 0.05:
        page = e.PageOrdered("PAGE-1", "INC-1", "INC-1/pager/0", "pager", "trouble", "trouble")
        turn = turn.emit(e.IncidentOpened("INC-1", "trouble", now, 2, "5 %", (), ("service:gateway",)), page)
        turn = _order(turn, Action("ACT-1", "k1", "INC-1", "restart", "restart", "service:cart", undo_verb="restart"))
    elif state.actions and state.actions["ACT-1"].status == "done":
        turn = turn.emit(e.ExpectationJudged("ACT-1", "missed", "errors go on"))
        turn = _order(turn, Action("ACT-2", "k2", "INC-1", "restart", "restart", "service:cart", undo_of="ACT-1"))
        turn = turn.emit(e.IncidentAcknowledged("INC-1", "ann"))
    return turn.events, turn.memory


def _order(turn: Turn, action: Action) -> Turn:
    return turn.emit(e.ActionJudged(action, Verdict("run", "auto", "it may")), e.ActionOrdered(action.id))


@pytest.fixture(scope="module")
def trace() -> Trace:
    trace, result = simulate(SEED, tick=scripted)
    assert result.wrong == ()
    assert {type(r.event).__name__ for r in trace.journal} >= {"ActionEnded", "PageEnded", "ExpectationJudged"}
    return trace


def _wrong(trace: Trace) -> set[str]:
    return {c.name for c in check(trace) if c.wrong}


def _journal(trace: Trace, change: Callable[[Recorded], Recorded | None]) -> Trace:
    """The trace with entries changed or left out, renumbered."""
    changed = copy(trace)
    kept = [new for old in trace.journal if (new := change(old)) is not None]
    changed.journal = [Recorded(n, one.at, one.event) for n, one in enumerate(kept, 1)]
    changed.state = fold_all(changed.journal)
    return changed


def _without(trace: Trace, kind: type, **having: Any) -> Trace:
    def drop(one: Recorded) -> Recorded | None:
        hit = isinstance(one.event, kind) and all(getattr(one.event, k) == v for k, v in having.items())
        return None if hit else one

    return _journal(trace, drop)


def test_an_order_without_a_verdict(trace: Trace) -> None:
    assert "ordered_only_after_run" in _wrong(_without(trace, e.ActionJudged))


def test_an_order_after_a_refusal(trace: Trace) -> None:
    def refuse(one: Recorded) -> Recorded:
        if isinstance(one.event, e.ActionJudged):
            return Recorded(one.seq, one.at, replace(one.event, verdict=Verdict("refuse", "freeze", "not now")))
        return one

    assert "ordered_only_after_run" in _wrong(_journal(trace, refuse))


def test_an_effect_without_intent(trace: Trace) -> None:
    assert "no_effect_without_intent" in _wrong(_without(trace, e.ActionOrdered, action_id="ACT-1"))
    assert "no_effect_without_intent" in _wrong(_without(trace, e.PageOrdered))


def test_an_action_carried_out_twice(trace: Trace) -> None:
    changed = copy(trace)
    changed.executed = {**trace.executed, "k1": 2}
    assert "never_twice" in _wrong(changed)
    changed = copy(trace)
    changed.tried = [*trace.tried, *(t for t in trace.tried if t.what == "apply")]
    assert "never_twice" in _wrong(changed)


def test_an_intent_without_an_end(trace: Trace) -> None:
    assert "every_intent_ends" in _wrong(_without(trace, e.ActionEnded, action_id="ACT-1"))


def test_a_missed_expectation_without_an_undo(trace: Trace) -> None:
    changed = _without(trace, e.ActionJudged)
    only = [r for r in trace.journal if isinstance(r.event, e.ActionJudged) and r.event.action.id == "ACT-1"]
    changed.journal = sorted([*changed.journal, *only], key=lambda r: r.seq)
    assert "missed_is_undone" in _wrong(changed)


def test_acting_with_hands_off(trace: Trace) -> None:
    changed = copy(trace)
    changed.tried = [with_(t, stopped=True) for t in trace.tried]
    assert "nothing_acts_hands_off" in _wrong(changed)

    def switch(one: Recorded) -> Recorded:
        first = isinstance(one.event, e.WatchStarted)
        return Recorded(one.seq, one.at, e.HandsOffChanged(True, "ann")) if first else one

    assert "nothing_acts_hands_off" in _wrong(_journal(trace, switch))


def test_acting_in_shadow(trace: Trace) -> None:
    changed = copy(trace)
    changed.scenario = with_(trace.scenario, mode="shadow")
    assert "shadow_touches_nothing" in _wrong(changed)


def test_acting_without_data(trace: Trace) -> None:
    changed = copy(trace)
    changed.ticks = [with_(t, data=False) for t in trace.ticks]
    assert "no_action_without_data" in _wrong(changed)


def test_acting_where_nothing_is_broken(trace: Trace) -> None:
    changed = copy(trace)
    changed.scenario = with_(trace.scenario, faults=())
    assert "healthy_is_left_alone" in _wrong(changed)


def test_a_gap_that_is_taken_for_an_outage_and_not_said(trace: Trace) -> None:
    changed = copy(trace)
    changed.scenario = with_(
        trace.scenario, blackouts=(Blackout(trace.started_at, trace.ended_at, frozenset()),), faults=()
    )
    finding = Finding("traffic_drop|x|", "traffic_drop", "service:gateway", trace.started_at + 9, 0, 9, "requests/s")
    changed.journal = [*trace.journal[:5], Recorded(6, trace.started_at + 60, e.FindingOpened(finding))]
    assert {"no_data_is_not_an_outage", "gaps_are_said"} <= _wrong(changed)
    changed.journal = [*changed.journal[:5], Recorded(6, trace.started_at + 60, e.GapOpened("telemetry", "silence"))]
    assert not {"no_data_is_not_an_outage", "gaps_are_said"} & _wrong(changed)


def test_a_page_that_is_never_delivered_or_never_ends(trace: Trace) -> None:
    changed = copy(trace)
    changed.received = {}
    assert "pages_arrive_or_are_retried" in _wrong(changed)
    assert "pages_arrive_or_are_retried" in _wrong(_without(trace, e.PageEnded))
    assert "pages_arrive_or_are_retried" in _wrong(_without(trace, e.IncidentAcknowledged))  # and nobody paged again


def test_a_page_sent_though_nothing_was_written_down(trace: Trace) -> None:
    changed = copy(trace)
    changed.tried = [*trace.tried, Tried("send", trace.ended_at, 1, "x", "PAGE-9", unjournaled=True)]
    assert "no_effect_without_intent" in _wrong(changed)


@pytest.mark.parametrize(
    "deed",
    [
        e.IncidentResolved("INC-1", "calm"),
        e.FindingClosed("f"),
        e.ActionOrdered("ACT-9"),
        e.PageOrdered("PAGE-9", "INC-1", "k", "pager", "s", "t"),
        e.EscalationStarted("INC-1", "shop", "shop", "anew"),
    ],
)
def test_a_loss_of_memory_that_does_something(trace: Trace, deed: Event) -> None:
    changed = copy(trace)
    changed.amnesias = [Amnesia(trace.ended_at, "memory", [()], [(deed,)])]
    assert "losing_memory_is_harmless" in _wrong(changed)
    changed.amnesias = [Amnesia(trace.ended_at, "memory", [(deed,)], [(deed,)])]
    assert "losing_memory_is_harmless" not in _wrong(changed)


def test_time_that_goes_back_and_a_gap_in_the_numbers(trace: Trace) -> None:
    changed = copy(trace)
    changed.journal = [*trace.journal, Recorded(len(trace.journal) + 2, trace.started_at - 1, e.GapClosed("x"))]
    found = next(c for c in check(changed) if c.name == "time_and_seq_go_forward")
    assert len(found.wrong) == 2


def test_state_that_is_not_the_fold(trace: Trace) -> None:
    changed = copy(trace)
    changed.folds = [(3, False)]
    assert "state_is_the_fold" in _wrong(changed)


def test_too_many_events_and_too_many_incidents(trace: Trace) -> None:
    changed = copy(trace)
    changed.journal = trace.journal * 60
    assert "everything_is_bounded" in _wrong(changed)


def test_noise_in_a_healthy_hour(trace: Trace) -> None:
    changed = copy(trace)
    changed.scenario = with_(trace.scenario, faults=())
    changed.journal = trace.journal * 9
    assert "quiet_when_healthy" in _wrong(changed)


def test_a_command_that_is_forgotten(trace: Trace) -> None:
    changed = copy(trace)
    at = trace.journal[5].at
    changed.journal = [*trace.journal[:5], Recorded(6, at, e.CommandGiven("hands_off", "ann"))]
    assert "commands_are_answered" in _wrong(changed)


def test_a_split_that_leaves_nothing_and_a_finding_in_two_incidents(trace: Trace) -> None:
    changed = copy(trace)
    at, seq = trace.ended_at, len(trace.journal)
    found = Finding("error_shift|x|", "error_shift", "service:x", at, 0.5, 0, "ratio")
    story = [
        e.FindingOpened(found),
        e.IncidentOpened("INC-7", "x", at, 4, "", (found.id,), ("service:x",)),
        e.IncidentGrew("INC-1", (found.id,), ("service:x",), "by mistake"),
        e.IncidentSplit("INC-7", "INC-8", (found.id,), ("service:x",), "ann"),
        e.IncidentOpened("INC-8", "x", at, 4, "", (found.id,), ("service:x",)),
        e.IncidentOpened("INC-9", "y", at, 4, "", (), ("service:y",)),
        e.IncidentMerged("INC-9", "INC-8", "ann"),
    ]
    changed.journal = [*trace.journal, *(Recorded(seq + n, at, event) for n, event in enumerate(story, 1))]
    changed.state = fold_all(changed.journal)
    found_wrong = next(c for c in check(changed) if c.name == "regrouping_loses_nothing").wrong
    assert "left INC-7 empty" in found_wrong[0] and "counts in two incidents" in found_wrong[1]


def test_an_incident_that_gets_milder_too_soon_below_a_persons_word_and_without_a_reason(trace: Trace) -> None:
    changed = copy(trace)
    at, seq = trace.ended_at, len(trace.journal)
    story = [
        (0.0, e.IncidentOpened("INC-7", "x", at, 1, "", (), ("service:x",))),
        (59.0, e.IncidentRated("INC-7", 2, "milder for 1 min: less")),
        (60.0, e.IncidentRated("INC-7", 3, "the bank called", by="ann", facts=2)),
        (500.0, e.IncidentRated("INC-7", 4, "less")),
    ]
    told = [Recorded(seq + n, at + later, event) for n, (later, event) in enumerate(story, 1)]
    changed.journal = [*trace.journal, *told]
    changed.state = fold_all(changed.journal)
    found = next(c for c in check(changed) if c.name == "nothing_is_milder_too_soon").wrong
    assert len(found) == 3 and "after 59 s of 60 s" in found[0]
    assert "below a person's SEV3" in found[1] and "does not say why" in found[2]


def test_a_ledger_that_lost_a_request() -> None:
    from midwatch.core.slo.promise import promise

    def counting(
        state: State, memory: Memory, world: World, inputs: Sequence[Event], now: float
    ) -> tuple[tuple[Event, ...], Memory]:
        turn = promise(Turn(state, memory, world, now))
        return (), turn.memory

    trace, result = simulate(1, tick=counting)  # a seed with written promises
    fed = next(c for c in result.checks if c.name == "ledgers_add_up")
    assert fed.checked and not fed.wrong
    name, ledger = next(iter(trace.memory.ledgers.items()))
    rings = [ring.copy() for ring in ledger.counts]
    rings[0][1, -1] -= 1
    changed = copy(trace)
    changed.memory = with_(trace.memory, ledgers={**trace.memory.ledgers, name: with_(ledger, counts=tuple(rings))})
    assert "ledgers_add_up" in _wrong(changed)


def test_a_loop_that_raises_is_a_failure_with_its_seed() -> None:
    def broken(*_: Any) -> tuple[tuple[Event, ...], Memory]:
        raise KeyError("boom")

    trace, result = simulate(3, tick=broken)
    assert "KeyError" in trace.broken and result.wrong


def test_every_checker_is_shown_a_broken_run_in_this_folder() -> None:
    import pathlib

    text = "".join(file.read_text("utf-8") for file in pathlib.Path(__file__).parent.glob("test_*.py"))
    for checker in CHECKERS:
        if checker.__name__ not in ("nothing_raised", "events_survive_encoding"):
            assert f'"{checker.__name__}"' in text, checker.__name__
    assert callable(_result)
