"""What a sender gives beside an alert's words is in the page: bounded, links that can be pressed, no secrets."""

from __future__ import annotations

import json
from typing import Any

from tests.alerts.test_triage import Bench, alert

from midwatch.adapters.alerts import pagerduty
from midwatch.adapters.alerts.common import Rules
from midwatch.core.oncall.said import MAX_HEADLINE, headline, page_lines
from midwatch.core.oncall.standing import standing
from midwatch.core.oncall.words import phone
from midwatch.model.alerts import Alert


def event(**more: Any) -> Alert:
    details = more.pop("custom_details", None)
    payload = {"summary": "disk of db-1 is full", "source": "db-1", "severity": "error", "class": "disk"}
    whole = {"routing_key": "k", "event_action": "trigger", "payload": payload | {"custom_details": details}, **more}
    return pagerduty.decode(json.dumps(whole).encode(), {}, Rules("pd"), 1.79e9).alerts[0]


def test_two_links_the_sender_and_five_short_details() -> None:
    said = event(
        links=[{"href": f"https://wiki/{n}", "text": f"page {n}"} for n in range(4)],
        images=[{"src": "https://graphs/1.png"}],
        client="Nagios",
        client_url="https://nagios/db-1",
        custom_details={"n": {"deep": 1}, "long": "x" * 500, **{f"d{n}": n for n in range(9)}},
    )
    assert said.page_lines == (
        "page 0: https://wiki/0",
        "page 1: https://wiki/1",
        "Nagios: https://nagios/db-1",
        "d0: 0; d1: 1; d2: 2; d3: 3; d4: 4",
    )
    assert len(said.links) == 6 and said.labels["long"], "all of it is kept with the alert"
    only = event(images=[{"src": "https://graphs/1.png", "href": "https://graphs/1", "alt": "usage"}])
    assert only.page_lines == ("usage: https://graphs/1",)


def test_no_secret_and_nothing_that_runs_gets_into_a_page() -> None:
    said = event(
        links=[
            {"href": "javascript:alert(1)"},
            {"href": "https://ann:hunter2@wiki/1"},
            {"href": "https://wiki/1?access_token=hunter2"},
            {"href": "https://wiki/" + "x" * 400},
            {"href": "https://[broken"},
            {"href": "https://wiki/2?panel=3"},
        ],
        custom_details={"db_password": "hunter2", "note": "Authorization: Bearer hunter2", "ok": True},
    )
    assert said.page_lines == (
        "Link: https://wiki/2?panel=3",
        "db_password: ***; note: Authorization: Bearer ***; ok: true",
    )
    assert event(custom_details="a text", links=None).page_lines == ()


def test_they_and_the_summary_are_in_the_page() -> None:
    bench = Bench()
    bench.hear(event(links=[{"href": "https://wiki/disk", "text": "disk"}], custom_details={"used": "97 %"}))
    bench.turn()
    incident = bench.state.incidents["INC-1"]
    assert headline(bench.state, incident) == "disk at db-1: disk of db-1 is full"
    assert page_lines(bench.state, incident) == ("disk: https://wiki/disk", "used: 97 %")
    assert "\ndisk: https://wiki/disk\nused: 97 %\nAcknowledge: midwatch ack INC-1." in phone(bench.state, incident)
    shown = standing(bench.state, incident)
    assert shown.subject == "SEV3 INC-1: disk at db-1: disk of db-1 is full"
    assert shown.text.endswith("\ndisk: https://wiki/disk\nused: 97 %")


def test_a_subject_stays_short() -> None:
    for summary, expected in (
        ("Down", "Down at orders"),
        ("one line.\nand another", "Down at orders: one line"),
        ("", "Down at orders"),
    ):
        bench = Bench()
        bench.hear(alert(summary=summary))
        bench.turn()
        assert headline(bench.state, bench.state.incidents["INC-1"]) == expected
    for name, ends in (("Down", "x…"), ("n" * 100, "orders")):
        bench = Bench()
        bench.hear(alert(name, summary="x" * 400))
        bench.turn()
        words = headline(bench.state, bench.state.incidents["INC-1"])
        assert len(words) <= MAX_HEADLINE and words.endswith(ends)
