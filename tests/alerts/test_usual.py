"""How bad a sender's usual words are here: which page by themselves, and which are told to be too mild for it."""

from __future__ import annotations

import json

import pytest

from midwatch.adapters.alerts import opsgenie, pagerduty
from midwatch.adapters.alerts.common import Rules, rated
from midwatch.adapters.alerts.usual import USUAL, quiet


def of_pagerduty(severity: str, rules: Rules) -> int:
    payload = {"summary": "disk", "source": "db-1", "severity": severity}
    body = json.dumps({"routing_key": "k", "event_action": "trigger", "payload": payload}).encode()
    return pagerduty.decode(body, {}, rules, 1.8e9).alerts[0].severity


def of_opsgenie(priority: str, rules: Rules) -> int:
    body = json.dumps({"message": "disk", "priority": priority}).encode()
    return opsgenie.decode_create(body, {}, rules, 1.8e9).alerts[0].severity


@pytest.mark.parametrize(("word", "severity"), [("critical", 2), ("error", 3), ("warning", 3), ("info", 5)])
def test_what_pages_in_pagerduty_pages_here(word: str, severity: int) -> None:
    assert of_pagerduty(word, Rules("pd")) == severity == USUAL["pagerduty"][word]
    assert of_pagerduty(word, Rules("pd", {word: 4})) == 4, "its own word goes before"


@pytest.mark.parametrize(("word", "severity"), [("P1", 1), ("P2", 2), ("P3", 3), ("P4", 4), ("P5", 5)])
def test_opsgenies_priorities(word: str, severity: int) -> None:
    assert of_opsgenie(word, Rules("og")) == severity == USUAL["opsgenie"][word]


def test_prometheus_words_are_rated_as_the_decoder_does() -> None:
    for kind in ("alertmanager", "grafana", "email"):
        assert USUAL[kind] == {word: rated(Rules("x"), word) for word in USUAL[kind]}


def test_quiet_words_are_those_of_incidents_that_page_nobody() -> None:
    assert quiet("pagerduty", {}, 3) == {} and quiet("opsgenie", {}, 3) == {"P4": 4}
    assert quiet("alertmanager", {}, 3) == {"warning": 4} and quiet("alertmanager", {}, 4) == {}
    assert quiet("alertmanager", {"warning": 4}, 3) == {}, "it is meant so"
    assert quiet("pagerduty", {}, 2) == {"error": 3, "warning": 3}
    assert quiet("json", {}, 3) == {}, "its words are its sender's"
