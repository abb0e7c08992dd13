"""The same facts for four audiences: every number is one that was measured, and customers hear nothing from inside."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace
from tests.decide.worlds import START, broken, policy

from midwatch.core.oncall.drafts import AUDIENCES, drafts, due_at
from midwatch.core.oncall.eta import Eta
from midwatch.model.findings import Impact, Incident
from midwatch.model.state import State

IMPACT = Impact("service:gateway", 0.15, 1234, START, "errors", "checkout", 0.041)
ETA = Eta(START + 300, START + 900, START + 1800, 14, "SEV2 incidents")


def scene(**changes: object) -> tuple[State, Incident]:
    state = broken(using=policy(playbooks=()))
    incident = replace(state.incidents["INC-1"], impact=IMPACT, **changes)
    return replace(state, incidents={"INC-1": incident}), incident


def test_each_audience_has_its_own_words() -> None:
    told = drafts(*scene(acknowledged_by="ana"), START + 600, ETA)
    assert tuple(told) == AUDIENCES
    assert "connection pool exhausted in payment" in told["engineers"]
    assert told["support"].startswith("15 % of the requests at gateway fail since 22:13 UTC.")
    assert (
        "1,234 requests so far." in told["executives"] and "4 % of the error budget of checkout" in told["executives"]
    )
    assert "ana has it." in told["executives"] and "going on for 10 min" in told["executives"]
    assert "between 22:18 and 22:43 UTC" in told["executives"]
    assert told["customers"] == (
        "Since 22:13 UTC some requests fail. We are working on it. We expect it to be over by 22:43 UTC. We are sorry."
    )


@pytest.mark.parametrize("eta", [None, ETA])
@pytest.mark.parametrize(
    "changes", [{}, {"mitigated_at": START + 60}, {"phase": "resolved", "resolved_at": START + 700}]
)
def test_customers_hear_nothing_from_inside(changes: dict[str, object], eta: Eta | None) -> None:
    said = drafts(*scene(**changes), START + 600, eta)["customers"]
    assert not re.search("payment|gateway|pool|ana|INC|SEV|budget", said)


def test_nobody_is_promised_a_time_that_nobody_knows() -> None:
    told = drafts(*scene(), START + 600, None)
    assert "not known" in told["executives"] and "not known" in told["support"]
    assert "expect" not in told["customers"]


def test_what_is_unknown_is_said_to_be() -> None:
    state, incident = scene()
    told = drafts(state, replace(incident, impact=None), START + 600)
    assert "how many is not known" in told["support"] and "%" not in told["support"]


@pytest.mark.parametrize(
    "changes", [{}, {"mitigated_at": START + 60}, {"phase": "resolved", "resolved_at": START + 700}]
)
def test_where_nothing_was_measured_nobody_is_told_of_failing_requests(changes: dict[str, object]) -> None:
    state, incident = scene(**changes)
    title = "TLS certificate expires in 7 days at orders"
    silent = replace(incident, impact=None, findings=("alert|service:orders|tls",), title=title, hypotheses=())
    told = drafts(state, silent, START + 600, ETA)
    assert not re.search("request|error rate|sorry|longer happens", " ".join(told.values()))
    assert "possible problem" in told["customers"] and "TLS" not in told["customers"]
    for audience in ("support", "executives"):
        assert f"other systems say: {title}. Nothing was measured of what users feel." in told[audience]


def test_over_it_is_told_in_the_past() -> None:
    told = drafts(*scene(phase="resolved", mitigated_at=START + 600, resolved_at=START + 700), START + 7200, ETA)
    assert told["support"].startswith("15 % of the requests at gateway failed from 22:13 to 22:23 UTC.")
    assert "lasted 12 min" in told["executives"] and "1,234 requests in all." in told["executives"]
    assert not any("xpect" in text for text in told.values())


def test_the_clock_strikes_by_severity() -> None:
    _, incident = scene()
    opened = incident.opened_at
    assert due_at(incident, opened) == opened + 1800 and due_at(incident, opened + 1800) == opened + 3600
    assert due_at(replace(incident, severity=1), opened + 1000) == opened + 1800
    assert due_at(replace(incident, phase="resolved"), opened) is None
