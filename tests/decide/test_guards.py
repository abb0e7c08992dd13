"""Each guard by itself, in a table; then their order."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable

import numpy as np
import pytest
from msgspec.structs import replace
from tests.decide.worlds import (
    LIMITS,
    PAYMENT,
    START,
    STEPS,
    act,
    blind,
    broken,
    finding,
    policy,
    pool_exhausted,
    traffic,
    world,
)

from midwatch.core.decide import guards as g
from midwatch.core.decide.guards import GUARDS, TRY_NEXT, consent, forbidden, judge, risk, unsafe
from midwatch.core.decide.guards.context import Context
from midwatch.core.memory import Memory
from midwatch.core.slo.ledger import add, new_ledger
from midwatch.model import signals
from midwatch.model.actions import Action, Outcome, Playbook, Verdict
from midwatch.model.events import (
    ActionEnded,
    ActionJudged,
    ActionOrdered,
    AutonomyChanged,
    BudgetCrossed,
    ExpectationJudged,
    FindingOpened,
    HandsOffChanged,
)
from midwatch.model.findings import Hypothesis
from midwatch.model.policy import FreezeWindow, Policy
from midwatch.model.slo import Slo
from midwatch.model.state import State
from midwatch.model.world import LatencySet, World

FAMILIES = (forbidden, unsafe, risk, consent)
NOW = START + 20
RESIZE = Action(
    "ACT-9",
    "k9",
    "INC-1",
    "resize-pool",
    "resize_pool",
    PAYMENT,
    {"size": 20},
    permissions=("platform.pool",),
    undo_verb="resize_pool",
    hypothesis_entity=PAYMENT,
    hypothesis_kind="pool_exhausted",
)
RESTART = Action(
    "ACT-9", "k9", "INC-1", "restart", "restart", PAYMENT, {}, "transient", ("platform.restart",), blast_radius=2
)
DROP = Action("ACT-9", "k9", "INC-1", "drop", "drop_table", PAYMENT, {}, "irreversible", ("platform.pool",))
UNDO = replace(RESIZE, id="ACT-10", key="k10", undo_of="ACT-1", undo_verb="", parameters={"size": 5})
DEPLOY = replace(RESIZE, verb="deploy", permissions=("platform.deploy",), parameters={"version": "2"})


def context(
    state: State | None = None,
    seen: World | None = None,
    memory: Memory | None = None,
    approved: tuple[str, ...] = (),
    hypothesis: Hypothesis | None = None,
    now: float = NOW,
    book: Playbook | None = None,
    credentials: tuple[str, ...] | None = None,
) -> Context:
    """``credentials`` None: everybody who approved has a token of their own."""
    state = state or broken()
    return Context(
        state,
        memory or Memory(started_at=START - 1000),
        seen or world(now, traffic(0.15)),
        now,
        state.incidents.get("INC-1"),
        hypothesis or pool_exhausted(),
        book or (state.policy.playbooks[0] if state.policy.playbooks else None),
        approved,
        approved if credentials is None else credentials,
    )


def limited(**changes: object) -> State:
    return broken(using=policy(limits=replace(LIMITS, **changes)))


def earlier(status: str, incident: str = "INC-1", target: str = PAYMENT, at: float = START, n: int = 1) -> State:
    """A state in which ``n`` earlier actions ended so."""
    state = broken()
    for number in range(1, n + 1):
        other = replace(RESIZE, id=f"ACT-{number}", key=f"k{number}", incident=incident, target=target)
        state = act(state, at, ActionJudged(other, Verdict("run", "autonomy", "")), ActionOrdered(other.id))
        if status in ("done", "failed", "in_doubt"):
            state = act(state, at, ActionEnded(other.id, Outcome(status)))  # type: ignore[arg-type]
        elif status != "ordered":
            state = act(state, at, ActionEnded(other.id, Outcome("done")), ExpectationJudged(other.id, status, ""))
    return state


def spent() -> Memory:
    """A ledger whose budget is gone: half of all requests failed."""
    at = np.arange(60) * 10.0 + START - 600
    ledger = add(new_ledger(START - 600), at, np.full(60, 50.0), np.full(60, 100.0), START)
    return Memory(ledgers={"payment": ledger}, started_at=START - 1000)


def with_slo() -> State:
    return broken(using=policy(slos=(Slo("payment", PAYMENT, "ratio", 0.99, period_seconds=3600),)))


def crossed(action: str) -> State:
    return act(with_slo(), START, BudgetCrossed("payment", "payment", action, 0.75, 0.8, True))


def level(name: str, to: str, mode: str = "auto") -> State:
    return act(broken(using=policy(mode=mode)), START, AutonomyChanged(name, to, "x"))


def mode(name: str) -> State:
    return broken(using=policy(mode=name))


def alone(error_ratio: float = 0.15) -> World:
    """Payment runs as one instance."""
    return world(NOW, traffic(error_ratio), EU)


EU = ("payment-eu-1",)
SILENT = {("instance:payment-us-1", signals.UP): 0.0}
ACCEPTS = Playbook("restart", ("pool_exhausted",), "restart", accepts_downtime=True)
FROZEN = {"freezes": (FreezeWindow(START, START + 3600, "holidays"),)}
RIVAL = broken(hypotheses=(pool_exhausted(0.5), Hypothesis("service:checkout", "bad_deploy", 0.45)))
OWN_INSTANCE = broken(hypotheses=(pool_exhausted(0.5), Hypothesis("instance:payment-eu-1", "bad_instance", 0.45)))

TABLE: list[tuple[g.Guard, Action, Callable[[], Context], str | None, str]] = [
    (g.hands_off, RESIZE, context, None, ""),
    (g.hands_off, RESIZE, lambda: context(act(broken(), START, HandsOffChanged(True, "ana"))), "refuse", "ana"),
    (g.hands_off, UNDO, lambda: context(act(broken(), START, HandsOffChanged(True, "ana"))), "refuse", "ana"),
    (g.unknown_verb, replace(RESIZE, verb="fly"), context, "refuse", "'fly'"),
    (g.unknown_verb, RESIZE, context, None, ""),
    (g.empty_target, replace(RESIZE, target=""), context, "refuse", "matches nothing"),
    (g.empty_target, replace(RESIZE, target="service: "), context, "refuse", "matches nothing"),
    (g.target_kind, replace(RESIZE, target="database:shop"), context, "refuse", "works on service"),
    (g.target_kind, replace(RESIZE, target="service:a>service:b"), context, "refuse", "works on service"),
    (g.target_kind, RESIZE, context, None, ""),
    (g.declared, replace(RESIZE, action_class="transient"), context, "refuse", "declared reversible"),
    (g.declared, replace(RESIZE, undo_verb=""), context, "refuse", "names no undo"),
    (g.declared, RESIZE, context, None, ""),
    (g.parameter_limits, replace(RESIZE, parameters={}), context, "refuse", "size is needed"),
    (g.parameter_limits, replace(RESIZE, parameters={"size": 101}), context, "refuse", "above the most"),
    (g.parameter_limits, replace(RESIZE, parameters={"size": 0}), context, "refuse", "below the least"),
    (g.parameter_limits, replace(RESIZE, parameters={"size": True}), context, "refuse", "type int"),
    (g.parameter_limits, replace(RESIZE, parameters={"size": "9"}), context, "refuse", "type int"),
    (g.parameter_limits, replace(RESIZE, parameters={"size": 9, "x": 1}), context, "refuse", "'x'"),
    (g.parameter_limits, RESIZE, context, None, ""),
    (g.protected, RESIZE, lambda: context(limited(protected=(PAYMENT,))), "refuse", PAYMENT),
    (g.protected, RESIZE, context, None, ""),
    (g.permissions, RESIZE, lambda: context(limited(permissions=())), "refuse", "platform.pool"),
    (g.permissions, RESIZE, lambda: context(limited(permissions=("",))), "refuse", "platform.pool"),
    (g.permissions, RESIZE, lambda: context(limited(permissions=("platform",))), "refuse", "platform.pool"),
    (g.permissions, RESIZE, lambda: context(limited(permissions=("platform.pool",))), None, ""),
    (g.blast_radius, RESTART, lambda: context(limited(max_blast_radius=1)), "refuse", "2 entities, 1"),
    (g.blast_radius, RESTART, context, None, ""),
    (g.freeze, DEPLOY, lambda: context(limited(**FROZEN)), "refuse", "holidays"),
    (g.freeze, DROP, lambda: context(limited(**FROZEN)), "refuse", "irreversible"),
    (g.freeze, RESIZE, lambda: context(limited(**FROZEN)), None, ""),
    (g.freeze, DEPLOY, context, None, ""),
    (g.warm, RESIZE, lambda: context(memory=Memory(started_at=NOW - 19)), "refuse", "19 s old"),
    (g.warm, RESIZE, lambda: context(memory=Memory(started_at=NOW - 20)), None, ""),
    (g.sighted, RESIZE, lambda: context(seen=world(NOW, blind())), "refuse", "no data of gateway"),
    (g.sighted, UNDO, lambda: context(seen=world(NOW, blind())), None, ""),
    (g.sighted, RESIZE, context, None, ""),
    (g.rate_limits, RESIZE, lambda: context(earlier("met", n=2)), "refuse", "2 times within an hour, 2 are allowed"),
    (g.rate_limits, RESIZE, lambda: context(earlier("met", at=START - 3600, n=2)), None, ""),
    (
        g.rate_limits,
        RESIZE,
        lambda: context(earlier("met", target="service:a", n=6)),
        "refuse",
        "6 actions were taken in",
    ),
    (g.rate_limits, RESIZE, lambda: context(earlier("met", "INC-0", "service:a", n=21)), "refuse", "20 actions"),
    (g.rate_limits, UNDO, lambda: context(earlier("missed", n=2)), None, ""),
    (g.in_doubt, RESIZE, lambda: context(earlier("in_doubt", "INC-0")), "refuse", "ACT-1"),
    (g.in_doubt, RESIZE, lambda: context(earlier("in_doubt", target="service:a")), "ask", "ACT-1"),
    (g.in_doubt, RESIZE, lambda: context(earlier("in_doubt", "INC-0", "service:a")), None, ""),
    (g.unknown_effect, RESIZE, lambda: context(earlier("unknown")), "ask", "ACT-1"),
    (g.unknown_effect, RESIZE, lambda: context(earlier("unknown"), approved=("ana",)), None, ""),
    (g.one_at_a_time, RESIZE, lambda: context(earlier("ordered", target="service:a")), "refuse", "one at a time"),
    (g.one_at_a_time, RESIZE, lambda: context(earlier("done", "INC-0")), "refuse", "same target"),
    (g.one_at_a_time, RESIZE, lambda: context(earlier("done", "INC-0", "service:a")), None, ""),
    (g.one_at_a_time, UNDO, lambda: context(earlier("done")), None, ""),
    (g.confidence, RESIZE, lambda: context(hypothesis=pool_exhausted(0.49)), "refuse", "49%"),
    (g.confidence, RESIZE, lambda: context(hypothesis=pool_exhausted(0.49), approved=("ana",)), None, ""),
    (g.confidence, RESIZE, lambda: context(RIVAL, hypothesis=pool_exhausted(0.5)), "refuse", "margin must be 10%"),
    (g.confidence, RESIZE, lambda: context(OWN_INSTANCE, hypothesis=pool_exhausted(0.5)), None, ""),
    (g.confidence, RESIZE, context, None, ""),
    (g.error_budget, DEPLOY, lambda: context(with_slo(), memory=spent()), "refuse", "of the error budget of payment"),
    (g.error_budget, RESIZE, lambda: context(with_slo(), memory=spent()), None, ""),
    (g.error_budget, RESTART, lambda: context(with_slo(), memory=spent()), None, ""),
    (g.error_budget, replace(DEPLOY, undo_of="ACT-1"), lambda: context(with_slo(), memory=spent()), None, ""),
    (g.error_budget, DEPLOY, context, None, ""),
    (g.error_budget, DEPLOY, lambda: context(crossed("freeze")), "refuse", "freezes what is not a mitigation"),
    (g.error_budget, RESIZE, lambda: context(crossed("freeze")), None, ""),
    (g.budget_demoted, DEPLOY, lambda: context(crossed("demote")), "ask", "75% of the error budget of payment"),
    (g.budget_demoted, DEPLOY, lambda: context(crossed("demote"), approved=("ana",)), None, ""),
    (g.budget_demoted, DEPLOY, lambda: context(crossed("freeze")), None, ""),
    (g.budget_demoted, RESIZE, lambda: context(crossed("demote")), None, ""),
    (g.rehearsal, RESIZE, lambda: context(broken(using=policy(rehearse=True))), "rehearse", ""),
    (g.rehearsal, RESIZE, context, None, ""),
    (g.shadow, RESIZE, lambda: context(mode("shadow"), approved=("ana", "bo")), "rehearse", "shadow"),
    (g.shadow, RESIZE, lambda: context(level("resize-pool", "shadow")), "rehearse", "resize-pool"),
    (g.shadow, RESIZE, context, None, ""),
    (g.irreversible, DROP, context, "ask", "two people must say yes, each with a token of their own, and 0 did"),
    (g.irreversible, DROP, lambda: context(approved=("ana", "ana")), "ask", "1 did"),
    (g.irreversible, DROP, lambda: context(approved=("ana", "bo"), credentials=("",)), "ask", "1 did"),
    (g.irreversible, DROP, lambda: context(approved=("ana", "bo"), credentials=("", "bo")), None, ""),
    (g.irreversible, DROP, lambda: context(approved=("ana", "bo")), None, ""),
    (g.irreversible, RESIZE, context, None, ""),
    (g.own_undo, UNDO, context, "run", "ACT-1"),
    (g.own_undo, RESIZE, context, None, ""),
    (g.felt, RESIZE, lambda: context(broken(severity=4), hypothesis=pool_exhausted()), "rehearse", "SEV4"),
    (g.felt, RESIZE, lambda: context(broken(severity=3), hypothesis=pool_exhausted()), None, ""),
    (g.felt, RESIZE, lambda: context(broken(severity=4), None, None, ("ana",), pool_exhausted()), None, ""),
    (g.approved, RESIZE, lambda: context(approved=("ana",)), "run", "ana"),
    (g.approved, RESIZE, context, None, ""),
    (g.only_one, RESTART, context, None, ""),
    (g.only_one, RESTART, lambda: context(seen=alone()), "ask", "no second instance of payment"),
    (g.only_one, RESTART, lambda: context(seen=alone()), "ask", "85% is still served well"),
    (g.only_one, RESTART, lambda: context(seen=alone(0.79)), "ask", "21% is still served well"),
    (g.only_one, RESTART, lambda: context(seen=alone(0.8)), None, ""),
    (g.only_one, RESTART, lambda: context(seen=world(NOW, traffic(0.15), ())), "ask", "no second instance"),
    (g.only_one, RESTART, lambda: context(seen=world(NOW, traffic(0.15, 0), EU)), "ask", "nobody knows"),
    (g.only_one, RESTART, lambda: context(seen=world(NOW, traffic(0.15) | SILENT)), "ask", "no second instance"),
    (g.only_one, replace(RESTART, target="instance:payment-us-1"), context, None, ""),
    (g.only_one, replace(RESTART, target="instance:payment-eu-1"), lambda: context(seen=alone()), "ask", "payment"),
    (g.only_one, replace(RESTART, target="cache:valkey"), context, "ask", "no second instance of valkey"),
    (g.only_one, RESTART, lambda: context(seen=alone(), book=ACCEPTS), None, ""),
    (g.only_one, RESTART, lambda: context(mode("suggest"), seen=alone()), None, ""),
    (g.only_one, RESIZE, lambda: context(seen=alone()), None, ""),
    (g.autonomy, RESIZE, lambda: context(mode("suggest")), "rehearse", "suggest"),
    (g.autonomy, RESIZE, lambda: context(mode("ask")), "ask", "ask"),
    (g.autonomy, RESIZE, lambda: context(mode("canary")), "run", "one thing"),
    (g.autonomy, RESTART, lambda: context(mode("canary")), "ask", "2 things"),
    (g.autonomy, replace(RESTART, target="instance:a"), lambda: context(mode("canary")), "run", "one thing"),
    (g.autonomy, RESIZE, context, "run", "auto"),
    (g.autonomy, RESIZE, lambda: context(level("resize-pool", "ask")), "ask", "0 met, 0 missed"),
    (g.autonomy, RESIZE, lambda: context(level("resize-pool", "auto", "ask")), "ask", "the mode is ask"),
]


@pytest.mark.parametrize(("guard", "action", "given", "decision", "words"), TABLE)
def test_guard(guard: g.Guard, action: Action, given: Callable[[], Context], decision: str | None, words: str) -> None:
    verdict = guard(action, given())
    assert (verdict.decision if verdict else None) == decision
    if verdict:
        assert words in verdict.why and verdict.rule and verdict.why == verdict.why.strip()


def test_every_guard_is_in_the_list_and_in_the_table() -> None:
    shaped = {
        f
        for family in FAMILIES
        for name, f in inspect.getmembers(family, inspect.isfunction)
        if not name.startswith("_")
        and f.__module__ == family.__name__
        and list(inspect.signature(f).parameters) == ["action", "context"]
    } - {risk.risky}
    assert shaped == set(GUARDS) == {row[0] for row in TABLE}


def test_with_no_match_the_answer_is_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(g, "GUARDS", ())
    assert judge(RESIZE, context()) == Verdict("refuse", "no_match", "no rule allows it")


def test_an_empty_policy_allows_nothing() -> None:
    state = replace(broken(), policy=Policy(mode="auto"))
    assert judge(RESIZE, context(state)).decision == "refuse"


def test_hands_off_beats_two_approvals() -> None:
    state = act(broken(), START, HandsOffChanged(True, "ana"))
    assert judge(DROP, context(state, approved=("ana", "bo"))).rule == "hands_off"


def test_the_only_instance_is_restarted_when_a_person_says_yes() -> None:
    """What allows it otherwise: the level, or a second instance."""
    assert judge(RESTART, context(seen=alone())).rule == "only_one"
    assert judge(RESTART, context(seen=alone(), approved=("ana",))).rule == "approved"
    assert judge(RESTART, context()) == Verdict("run", "autonomy", "the mode is auto")


@pytest.mark.parametrize(("slow", "rule"), [(50.0, "only_one"), (90.0, "autonomy")])
def test_where_every_request_is_slow_there_is_nothing_to_lose(slow: float, rule: str) -> None:
    """Of 100 requests a step, ``slow`` take longer than the bound that the finding names."""
    found = replace(finding(PAYMENT, kind="latency_shift"), slo="slow_ratio:250")
    counts = np.zeros((1, STEPS, len(signals.LATENCY_BOUNDS_MS) + 1))
    counts[0, :, 0], counts[0, :, -1] = 100 - slow, slow
    seen = dataclasses.replace(alone(0.0), latency=LatencySet((PAYMENT,), counts))
    assert judge(RESTART, context(act(broken(), START, FindingOpened(found)), seen)).rule == rule


def test_two_people_may_run_what_is_irreversible() -> None:
    assert judge(DROP, context(approved=("ana", "bo"))).rule == "approved"


def test_rules_that_let_the_next_fix_be_tried_exist() -> None:
    source = "".join(inspect.getsource(family) for family in FAMILIES)
    assert all(f'"{rule}"' in source for rule in TRY_NEXT)
