"""The decide stage as timelines."""

from __future__ import annotations

from msgspec.structs import replace
from tests.decide.worlds import (
    BOOKS,
    GATEWAY,
    PAYMENT,
    START,
    act,
    blind,
    broken,
    policy,
    pool_exhausted,
    traffic,
    turn,
    world,
)

from midwatch.core.decide.stage import decide
from midwatch.core.memory import Memory
from midwatch.model.actions import Outcome
from midwatch.model.events import (
    ActionEnded,
    ActionJudged,
    ActionOrdered,
    CauseRanked,
    ExpectationJudged,
    HandsOffChanged,
)
from midwatch.model.findings import Hypothesis


def judged(after: object) -> list[ActionJudged]:
    return [e for e in after.events if isinstance(e, ActionJudged)]  # type: ignore[attr-defined]


def test_the_pool_is_resized_and_says_what_it_expects() -> None:
    after = decide(turn(broken()))
    first, second = after.events
    assert isinstance(first, ActionJudged) and isinstance(second, ActionOrdered)
    action = first.action
    assert (action.verb, action.target, action.parameters) == ("resize_pool", PAYMENT, {"size": 20})
    assert (action.id, action.key) == ("ACT-1", "INC-1/resize-pool/payment/1")
    assert first.verdict.decision == "run" and first.verdict.why == "the mode is auto"
    assert action.expectation is not None
    check = action.expectation.checks[0]
    assert (check.subject, check.signal, check.comparison) == (GATEWAY, "error_ratio", "<=")
    assert 0.02 <= check.threshold < 0.15
    assert after.state.incidents["INC-1"].phase == "mitigating"


def test_nothing_more_while_one_is_under_way() -> None:
    after = decide(turn(broken()))
    assert decide(turn(after.state, now=START + 25)).events == ()


def test_a_calm_incident_is_left_alone() -> None:
    state = replace(broken(), findings={})
    assert decide(turn(state)).events == ()


def test_the_same_verdict_is_journaled_once() -> None:
    state = broken(using=policy(mode="shadow"))
    first = decide(turn(state))
    assert [e.verdict.decision for e in judged(first)] == ["rehearse"]
    assert decide(turn(first.state, now=START + 25)).events == ()
    allowed = replace(first.state, policy=policy())
    again = decide(turn(allowed, now=START + 30))
    assert [e.action.id for e in judged(again)] == ["ACT-1"] and isinstance(again.events[1], ActionOrdered)


def test_after_a_miss_the_next_playbook_and_then_the_next_cause() -> None:
    bad_deploy = Hypothesis("service:checkout", "bad_deploy", 0.46)
    state = broken(hypotheses=(pool_exhausted(0.5), bad_deploy))
    refused = decide(turn(state))
    assert {e.verdict.rule for e in judged(refused)} == {"confidence"}
    sure = (pool_exhausted(0.9), Hypothesis("service:checkout", "bad_deploy", 0.05))
    state = act(refused.state, START + 25, CauseRanked("INC-1", sure, 0.05))
    verbs = []
    for now in (30.0, 60.0):
        after = decide(turn(state, now=START + now))
        ordered = next(e for e in after.events if isinstance(e, ActionOrdered))
        verbs.append(after.state.actions[ordered.action_id].action.verb)
        state = act(
            after.state,
            START + now + 20,
            ActionEnded(ordered.action_id, Outcome("done")),
            ExpectationJudged(ordered.action_id, "missed", "errors stayed"),
        )
    assert verbs == ["resize_pool", "restart"]
    assert not [e for e in decide(turn(state, now=START + 90)).events if isinstance(e, ActionOrdered)]
    state = act(
        state, START + 95, CauseRanked("INC-1", (pool_exhausted(0.4), replace(bad_deploy, probability=0.52)), 0.08)
    )
    after = decide(turn(state, now=START + 100))
    ordered = next(e for e in after.events if isinstance(e, ActionOrdered))
    assert after.state.actions[ordered.action_id].action.verb == "rollback_deploy"


def test_a_fix_that_worked_may_be_used_again_when_the_harm_comes_back() -> None:
    after = decide(turn(broken()))
    state = act(
        after.state, START + 21, ActionEnded("ACT-1", Outcome("done")), ExpectationJudged("ACT-1", "met", "fell")
    )
    larger = {**traffic(0.15), (PAYMENT, "pool_limit"): 9.0}
    soon = decide(turn(state, world(START + 50, larger), now=START + 50))
    assert all(e.action.verb != "resize_pool" for e in judged(soon))
    later = decide(turn(state, world(START + 300, larger), now=START + 300))
    assert judged(later)[0].action.key == "INC-1/resize-pool/payment/2"
    assert judged(later)[0].action.parameters == {"size": 36}
    same = decide(turn(state, now=START + 300))
    assert judged(same)[0].action.verb == "restart"  # the pool is as large as it was made


def test_nothing_else_is_touched_while_a_fix_that_helped_still_helps() -> None:
    """A slower sign of the same harm may stay open for a while after the fix has met its expectation."""
    after = decide(turn(broken()))
    state = act(
        after.state, START + 21, ActionEnded("ACT-1", Outcome("done")), ExpectationJudged("ACT-1", "met", "fell")
    )
    assert decide(turn(state, world(START + 50, traffic(0.0)), now=START + 50)).events == ()
    assert judged(decide(turn(state, world(START + 50, traffic(0.15)), now=START + 50)))  # it hurts again
    assert judged(decide(turn(state, world(START + 150, traffic(0.0)), now=START + 150)))  # it had its time


def test_it_never_acts_blind_or_cold_and_says_so() -> None:
    cold = decide(turn(broken(), memory=Memory(started_at=START + 10)))
    assert judged(cold)[0].verdict.rule == "warming_up" and "10 s old" in judged(cold)[0].verdict.why
    sightless = decide(turn(broken(), world(START + 20, blind())))
    assert judged(sightless)[0].verdict.rule == "no_data" and "gateway" in judged(sightless)[0].verdict.why


def test_hands_off_stops_everything() -> None:
    state = act(broken(), START + 1, HandsOffChanged(True, "ana"))
    after = decide(turn(state))
    assert [e.verdict.rule for e in judged(after)] == ["hands_off"]


def test_no_parameter_without_data() -> None:
    series = {k: v for k, v in traffic(0.15).items() if k[1] != "pool_limit"}
    using = policy(playbooks=BOOKS[:1])
    after = decide(turn(broken(using=using), world(START + 20, series)))
    assert judged(after)[0].verdict.rule == "parameters" and "size" in judged(after)[0].verdict.why


def test_a_missing_scope_is_no_target() -> None:
    state = broken(hypotheses=(Hypothesis(PAYMENT, "bad_instance", 0.9),))
    assert decide(turn(state)).events == ()
    scoped = Hypothesis(PAYMENT, "bad_instance", 0.9, scope={"instance": "payment-eu-1"})
    after = decide(turn(broken(hypotheses=(scoped,))))
    assert judged(after)[0].action.target == "instance:payment-eu-1"


def test_refused_proposals_are_bounded() -> None:
    state = broken(using=policy(limits=replace(policy().limits, permissions=())))
    for minute in range(50):
        hypotheses = tuple(Hypothesis(f"service:s{minute}-{n}", "memory_leak", 0.2) for n in range(3))
        state = act(state, START + minute, CauseRanked("INC-1", hypotheses, 0.4))
        state = decide(turn(state, now=START + 20 + minute)).state
    assert len(state.actions) <= 12


def test_a_verb_that_missed_is_not_tried_again_under_another_name() -> None:
    again = replace(BOOKS[1], name="restart-again", priority=60)
    state = broken(hypotheses=(Hypothesis(PAYMENT, "memory_leak", 0.9),), using=policy(playbooks=(BOOKS[1], again)))
    after = decide(turn(state))
    state = act(
        after.state, START + 21, ActionEnded("ACT-1", Outcome("done")), ExpectationJudged("ACT-1", "missed", "no")
    )
    assert decide(turn(state, now=START + 90)).events == ()


def test_every_caller_of_a_dead_cache_is_proposed_in_turn() -> None:
    from dataclasses import replace as swap

    from midwatch.core.decide.propose import targets_of
    from midwatch.model.entity import Edge

    callers = ("service:checkout", PAYMENT)
    edges = {e.key: e for e in (Edge(c, "cache:valkey") for c in callers)}
    seen = swap(world(START + 20, traffic(0.15)), edges=edges)
    found = targets_of(seen, Hypothesis("cache:valkey", "cache_down", 0.9), "callers")
    assert found == (PAYMENT, "service:checkout")  # the one that fails comes first
