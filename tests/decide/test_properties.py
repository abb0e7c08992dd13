"""Whatever people say and whatever becomes of the effects: the invariants of acting and paging hold."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.decide.worlds import BOOKS, PAYMENT, Scene, blind, broken, policy, pool_exhausted, traffic

from midwatch.core.decide.obey import obey
from midwatch.core.decide.sight import under_way
from midwatch.core.decide.stage import decide
from midwatch.core.learn.stage import learn
from midwatch.core.memory import Memory
from midwatch.core.oncall.page import page
from midwatch.core.oncall.updates import tell
from midwatch.core.verify.closing import close
from midwatch.core.verify.expect import verify
from midwatch.model.actions import Outcome
from midwatch.model.events import ActionJudged, ActionOrdered, CauseRanked, ExpectationJudged, HandsOffChanged
from midwatch.model.findings import Hypothesis

ALL = (obey, decide, verify, close, tell, page, learn)
SAID = st.tuples(
    st.sampled_from(["approve", "refuse", "undo", "ack", "hands_off", "hands_on", "resolve", "autonomy"]),
    st.sampled_from(["ACT-1", "ACT-2", "ACT-3", "INC-1", "restart"]),
    st.sampled_from(["ana", "bo"]),
    st.booleans(),  # with a token of one's own
)
DROPPING = replace(BOOKS[0], name="drop", verb="drop_table", parameters={}, priority=20)
STEP = st.one_of(
    SAID,
    st.sampled_from(["heal", "break", "blind", "seen", "forget", "pool", "deploy", "rival"]),
    st.none(),
    st.none(),
    st.none(),
)


def play(made: Scene, step: object) -> None:
    match step:
        case (verb, target, by, own):
            made.say(verb, target, by, value="auto" if verb == "autonomy" else "", credential=by if own else "")
        case "heal":
            made.at(made.now - 1_700_000_000.0, traffic(0.0))
            made.heal()
        case "break":
            made.at(made.now - 1_700_000_000.0, traffic(0.3))
        case "blind":
            made.at(made.now - 1_700_000_000.0, blind())
        case "seen":
            made.at(made.now - 1_700_000_000.0, traffic(0.15))
        case "forget":
            made.memory = Memory(started_at=made.now)
        case "pool":
            made.record(CauseRanked("INC-1", (pool_exhausted(0.9),), 0.1))
        case "deploy":
            made.record(CauseRanked("INC-1", (Hypothesis(PAYMENT, "bad_deploy", 0.7), pool_exhausted(0.2)), 0.1))
        case "rival":
            made.record(CauseRanked("INC-1", (pool_exhausted(0.4), Hypothesis("service:a", "bad_deploy", 0.4)), 0.2))


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(STEP, max_size=50),
    mode=st.sampled_from(["shadow", "suggest", "ask", "canary", "auto"]),
    outcomes=st.lists(st.sampled_from(["done", "done", "failed", "in_doubt"]), min_size=1, max_size=5),
)
def test_invariants_of_acting(steps: list[object], mode: str, outcomes: list[str]) -> None:
    made = Scene(ALL, broken(using=policy(mode=mode, playbooks=(*BOOKS, DROPPING))))
    taken: list[str] = []

    def hand(action: object) -> Outcome:
        taken.append(getattr(action, "key"))  # noqa: B009
        status = outcomes[len(taken) % len(outcomes)]
        return Outcome(status, "", {"size": 5} if getattr(action, "verb") == "resize_pool" else {})  # type: ignore[arg-type]  # noqa: B009

    made.hand = hand
    for step in steps:
        play(made, step)
        before = len(made.log)
        made.tick()
        events = [e for _, e in made.log[before:]]
        ordered = [n for n, e in enumerate(events) if isinstance(e, ActionOrdered)]
        for n in ordered:
            order = events[n]
            assert isinstance(order, ActionOrdered)
            judged = [e for e in events[:n] if isinstance(e, ActionJudged) and e.action.id == order.action_id]
            assert judged and judged[-1].verdict.decision == "run" and judged[-1].verdict.why
            if judged[-1].action.action_class == "irreversible":
                assert len(set(order.approved_by)) >= 2
                assert len(made.state.actions[order.action_id].credentials) >= 2
            assert mode != "shadow"
        if made.state.hands_off:
            off = max((n for n, e in enumerate(events) if isinstance(e, HandsOffChanged)), default=-1)
            assert all(n < off for n in ordered)
        assert sum(under_way(r) for r in made.state.actions.values()) <= 1
    assert len(taken) == len(set(taken))
    missed = [e.action_id for _, e in made.log if isinstance(e, ExpectationJudged) and e.result == "missed"]
    for ident in missed:
        record = made.state.actions[ident]
        undo = [r for r in made.state.actions.values() if r.action.undo_of == ident]
        assert undo or not record.action.undo_verb
    assert len(made.state.actions) <= 20
