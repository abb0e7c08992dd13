"""The checkers of escalation are each shown a run that breaks their invariant; what they compare with is held against the
product once more, where both are asked at random."""

from __future__ import annotations

from copy import copy
from dataclasses import replace as with_

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from midwatch.core.oncall import escalation
from midwatch.gym.simulator.checkers import check
from midwatch.gym.simulator.checks_of_pages import awake
from midwatch.gym.simulator.people import people_of
from midwatch.gym.simulator.report import simulate
from midwatch.gym.simulator.run import run
from midwatch.gym.simulator.scenario import draw
from midwatch.gym.simulator.trace import Trace
from midwatch.model import events as e
from midwatch.model.events import Recorded
from midwatch.model.findings import Incident
from midwatch.model.fold import fold_all
from midwatch.model.people import Escalation
from midwatch.model.policy import Policy
from midwatch.model.state import State

SEED = 4
OF_PAGES = {
    "nobody_wrong_is_paged",
    "no_resolved_incident_pages",
    "every_page_is_due_to_somebody",
    "nobody_due_is_forgotten",
}


@pytest.fixture(scope="module")
def trace() -> Trace:
    scenario = with_(draw(SEED), mode="shadow", people=0.0, nonsense=0.0, crash_at=(), full=(), jumps={})
    found = run(with_(scenario, stubborn=True))
    assert not [w for c in check(found) for w in c.wrong]
    assert len({p.person for p in pages(found)}) >= 3
    return found


def pages(trace: Trace) -> list[e.PageOrdered]:
    return [r.event for r in trace.journal if isinstance(r.event, e.PageOrdered)]


def wrong(trace: Trace) -> set[str]:
    return {c.name for c in check(trace) if c.wrong} & OF_PAGES


def changed(trace: Trace, *journal: Recorded) -> Trace:
    other = copy(trace)
    other.journal = [Recorded(n, one.at, one.event) for n, one in enumerate(journal, 1)]
    other.state = fold_all(other.journal)
    return other


def test_a_page_to_somebody_who_sleeps(trace: Trace) -> None:
    order = pages(trace)[0]
    other = next(name for name in ("ann", "bob") if name != order.person)

    def lead_astray(one: Recorded) -> Recorded:
        hit = isinstance(one.event, e.PageOrdered) and one.event.page == order.page
        return Recorded(one.seq, one.at, replace(one.event, person=other)) if hit else one  # type: ignore[type-var]

    found = wrong(changed(trace, *map(lead_astray, trace.journal)))
    assert {"nobody_wrong_is_paged", "every_page_is_due_to_somebody", "nobody_due_is_forgotten"} <= found


def test_a_page_that_nobody_gets(trace: Trace) -> None:
    order = pages(trace)[0]
    kept = [r for r in trace.journal if not (isinstance(r.event, e.PageOrdered) and r.event.page == order.page)]
    assert "nobody_due_is_forgotten" in wrong(_aligned(trace, kept))


def _aligned(trace: Trace, kept: list[Recorded]) -> Trace:
    """Renumbered, with the turns' ends where they lie now."""
    new = {old.seq: number for number, old in enumerate(kept, 1)}
    other = changed(trace, *kept)
    other.ticks = [with_(t, first_seq=1, last_seq=new.get(t.last_seq, 0)) for t in trace.ticks if t.last_seq in new]
    return other


def test_a_page_to_nobody_though_somebody_is_there(trace: Trace) -> None:
    def anonymous(one: Recorded) -> Recorded:
        if isinstance(one.event, e.PageOrdered) and one.event.run:
            return Recorded(one.seq, one.at, replace(one.event, person="", run=0))
        return one

    assert "every_page_is_due_to_somebody" in wrong(changed(trace, *map(anonymous, trace.journal)))


def test_a_page_about_what_is_over_and_one_after_an_answer(trace: Trace) -> None:
    order = pages(trace)[0]
    early = next(r for r in trace.journal if isinstance(r.event, e.EscalationStarted))

    def before(event: e.Event) -> list[Recorded]:
        rest = [r for r in trace.journal if r.seq > early.seq]
        first = [r for r in trace.journal if r.seq <= early.seq]
        return [*first, Recorded(0, early.at + 0.001, event), *rest]

    over = changed(trace, *before(e.IncidentResolved(order.incident, "calm")))
    over.tried = [with_(t, seq=t.seq + 1) for t in trace.tried]
    assert "no_resolved_incident_pages" in wrong(over)
    answered = changed(trace, *before(e.IncidentAcknowledged(order.incident, "ann")))
    assert "every_page_is_due_to_somebody" in wrong(answered)


def test_people_are_named_in_a_third_of_the_runs() -> None:
    assert [bool(draw(seed).seed % 3 == 1) for seed in (1, 2, 3, 4)] == [True, False, False, True]
    trace, _ = simulate(5, 20)
    assert not trace.state.policy.people.people


SCENARIO = draw(SEED)


@settings(max_examples=300, deadline=None)
@given(
    policy=st.sampled_from(("shop", "rest")),
    elapsed=st.floats(0, 20_000),
    ahead=st.floats(-300, 500),
    holder=st.sampled_from(("", "ann", "nobody who is known")),
    severity=st.integers(1, 4),
    turn=st.integers(0, 9),
)
def test_slots_in_closed_form_are_those_that_are_walked_through(
    policy: str, elapsed: float, ahead: float, holder: str, severity: int, turn: int
) -> None:
    people = people_of(SCENARIO)
    state = State(policy=Policy(people=people))
    at = SCENARIO.started_at + 100.0
    run_ = Escalation(policy, policy, at - elapsed, 1, turn, ahead, holder=holder if people.person(holder) else "")
    incident = Incident("INC-1", at, at, severity, "x")
    state = State(policy=Policy(people=people), incidents={"INC-1": incident}, escalations={"INC-1": run_})
    walked = awake(state, incident, run_, at)
    ladder = people.escalation(policy)
    assert ladder is not None
    computed = {
        w.person.ident: w.since_at - w.just_seconds for w in escalation.woken(state, run_, ladder, severity, at)
    }
    assert computed.keys() == walked.keys()
    assert all(abs(computed[who] - since) < 1e-3 for who, since in walked.items())
