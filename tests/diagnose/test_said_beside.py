"""What a hypothesis says beside its probability: its check, what refutes it, what was missing, what else may be true."""

from __future__ import annotations

from tests.diagnose.test_diagnose import CHECKOUT, DB, GATEWAY, ONSET, PAYMENT, failing_in, ranked, symptom
from tests.worlds import after, flat, make_world

from midwatch.core.diagnose.checks import REFUTED_BY, SHOWN_BY, next_check
from midwatch.model import faults, signals
from midwatch.model.findings import Evidence, Hypothesis


def test_every_fault_kind_has_a_check_and_something_that_refutes_it() -> None:
    assert set(REFUTED_BY) == set(SHOWN_BY) == faults.FAULT_KINDS


def test_the_first_is_checked_unless_it_was_seen_already() -> None:
    pool = Hypothesis(PAYMENT, faults.POOL_EXHAUSTED, 0.5)
    deploy = Hypothesis(CHECKOUT, faults.BAD_DEPLOY, 0.4)
    assert "connections of payment" in next_check([pool, deploy])
    seen = Hypothesis(PAYMENT, faults.POOL_EXHAUSTED, 0.5, (Evidence("saturation", PAYMENT, "18 wait", 4.0),))
    assert "checkout by version" in next_check([seen, deploy])
    assert "connections of payment" in next_check([seen])
    assert next_check([]) == ""


def test_two_of_one_kind_are_told_apart_by_one_request() -> None:
    series = failing_in(PAYMENT)
    series[CHECKOUT, signals.ORIGIN_ERRORS] = after(0, 12, ONSET)
    series[f"{GATEWAY}>{CHECKOUT}", signals.ROOT_ERRORS] = after(0, 12, ONSET)
    hypotheses, _ = ranked(make_world(series), symptom())
    assert [h.entity for h in hypotheses[:2]] == [PAYMENT, CHECKOUT]
    assert hypotheses[0].next_check == (
        "one failing request from end to end: does its first error lie in payment or in checkout?"
    )


def test_what_was_not_collected_is_said_with_the_first() -> None:
    hypotheses, _ = ranked(make_world(failing_in(PAYMENT)), symptom())
    assert [e.text for e in hypotheses[0].evidence if e.kind == "missing"] == ["not collected: processes, logs"]


def test_two_causes_may_both_be_true() -> None:
    series = failing_in(PAYMENT)
    for service, waiting in ((PAYMENT, 18), (CHECKOUT, 9)):
        series[service, signals.POOL_WAITING] = after(0, waiting, ONSET)
        series[service, signals.POOL_USED] = after(2, 5, ONSET)
        series[service, signals.POOL_LIMIT] = flat(5)
    series[CHECKOUT, signals.ORIGIN_ERRORS] = after(0, 14, ONSET)
    series[f"{GATEWAY}>{CHECKOUT}", signals.ROOT_ERRORS] = after(0, 14, ONSET)
    hypotheses, _ = ranked(make_world(series), symptom())
    assert [h.entity for h in hypotheses[:2]] == [PAYMENT, CHECKOUT]
    assert min(h.probability for h in hypotheses[:2]) > 0.35
    (said,) = [e for e in hypotheses[1].evidence if e.kind == "beside"]
    assert said.text == "it explains 48% that payment does not: both may be true at once"


def test_a_lock_and_the_pools_in_front_of_it_are_one_cause() -> None:
    series = failing_in(PAYMENT)
    series[PAYMENT, signals.POOL_WAITING] = after(0, 18, ONSET)
    series[PAYMENT, signals.POOL_USED] = after(2, 5, ONSET)
    series[PAYMENT, signals.POOL_LIMIT] = flat(5)
    series[DB, signals.SESSIONS_BLOCKED] = after(0, 5, ONSET)
    hypotheses, _ = ranked(make_world(series), symptom())
    assert not [e for h in hypotheses for e in h.evidence if e.kind == "beside"]
