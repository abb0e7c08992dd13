"""What closed incidents teach: base rates, weights and how sure one may be."""

from __future__ import annotations

import numpy as np
import pytest

from midwatch.core.diagnose.by_findings import by_findings
from midwatch.core.diagnose.lessons import HIT_RATE, Lessons
from midwatch.core.learn.lessons import Closed, conditional_logit, lessons_from
from midwatch.model import faults
from midwatch.model.entity import Entity
from midwatch.model.findings import Finding
from midwatch.model.world import World, empty_world

A, B, C = "service:a", "service:b", "service:c"
ENTITIES = {key: Entity("service", key.partition(":")[2]) for key in (A, B, C)}


def finding(entity: str, kind: str, detail: str = "") -> Finding:
    return Finding(f"{kind}|{entity}|{detail}", kind, entity, 0.0, 1.0, 0.0, "count", detail=detail)


def world() -> World:
    from dataclasses import replace

    return replace(empty_world(0.0), entities=ENTITIES)


def test_what_always_happens_is_no_evidence_and_what_never_did_is() -> None:
    past = [Closed(ENTITIES, (finding(A, "log_burst", "t1"),)) for _ in range(40)]
    lessons = lessons_from(past)
    assert lessons.rate(A, "own|log_burst|t1") > 0.9
    assert lessons.rate(B, "own|log_burst|t1") < 0.1
    found = (finding(A, "log_burst", "t1"), finding(B, "log_burst", "t1"))
    hypotheses, unknown = by_findings(world(), 0.0, (), found, lessons)
    assert [h.entity for h in hypotheses] == [B]
    assert unknown > 0.2
    assert "of past incidents" in hypotheses[0].evidence[0].text


def test_without_history_a_dying_process_outweighs_a_log_line() -> None:
    found = (finding(A, "log_burst", "t1"), finding(B, "restart"))
    hypotheses, unknown = by_findings(world(), 0.0, (), found)
    assert (hypotheses[0].entity, hypotheses[0].kind) == (B, faults.CRASH_LOOP)
    assert sum(h.probability for h in hypotheses) + unknown == pytest.approx(1.0)
    assert hypotheses[0].probability < 0.8  # nothing was ever confirmed here


def test_no_finding_is_no_answer() -> None:
    assert by_findings(world(), 0.0, (), ()) == ((), 1.0)


def test_four_names_of_one_rise_are_not_four_reasons() -> None:
    names = ("memory_usage_pct", "memory_usage_total", "memory_rss_pct", "memory_rss_total")
    one = by_findings(world(), 0.0, (), (finding(A, "metric_up", names[0]),))[0][0]
    four = by_findings(world(), 0.0, (), tuple(finding(A, "metric_up", name) for name in names))[0][0]
    assert one.kind == four.kind == faults.MEMORY_LEAK
    weights = [h.evidence[0].weight for h in (one, four)]
    assert weights[0] < weights[1] <= 2 * weights[0] + 1e-9


def test_confirmed_causes_teach_which_sign_to_trust() -> None:
    """B logs t2 whenever it is at fault, and C slows down with it: the slow one is the victim."""
    rng = np.random.default_rng(1)
    past = []
    for _ in range(60):
        culprit = (A, B)[int(rng.integers(2))]
        past.append(Closed(ENTITIES, (finding(C, "latency_shift"), finding(culprit, "log_burst", "t2")), culprit))
    lessons = lessons_from(past)
    found = (finding(C, "latency_shift"), finding(B, "log_burst", "t2"))
    hypotheses, unknown = by_findings(world(), 0.0, (), found, lessons)
    assert hypotheses[0].entity == B
    assert hypotheses[0].probability > 0.9
    assert unknown < 0.05
    assert any("60 incidents with a known cause" in e.text for e in hypotheses[0].evidence)


def test_causes_elsewhere_keep_mass_on_none_of_these() -> None:
    inside = [Closed(ENTITIES, (finding(A, "restart"),), A) for _ in range(10)]
    outside = [Closed(ENTITIES, (finding(A, "restart"),), "external:bank") for _ in range(10)]
    _, sure = by_findings(world(), 0.0, (), (finding(A, "restart"),), lessons_from(inside))
    _, unsure = by_findings(world(), 0.0, (), (finding(A, "restart"),), lessons_from(inside + outside))
    assert sure < 0.1
    assert 0.3 < unsure < 0.6


def test_surprise_is_bounded_and_never_negative() -> None:
    lessons = Lessons({("", "x"): 1e-9, ("", "y"): 0.99}, incidents=100)
    assert lessons.surprise(A, "x") == 3.0
    assert lessons.surprise(A, "y") == 0.0
    assert Lessons().surprise(A, "z") == pytest.approx(np.log(HIT_RATE / 0.1))


def test_the_fit_finds_the_weights_that_made_the_choices() -> None:
    """400 groups of five rows, chosen by weights (2, -1, 0): the fit is near them, shrunk a little."""
    rng = np.random.default_rng(7)
    x = (rng.random((2000, 3)) < 0.5).astype(float)
    scores = x @ np.array([2.0, -1.0, 0.0])
    starts = np.arange(0, 2001, 5)
    chosen = []
    for begin in starts[:-1]:
        mass = np.exp(scores[begin : begin + 5])
        chosen.append(begin + rng.choice(5, p=mass / mass.sum()))
    fitted = conditional_logit(x, np.zeros(2000), starts, np.array(chosen))
    assert fitted == pytest.approx([2.0, -1.0, 0.0], abs=0.3)
