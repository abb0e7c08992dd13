"""The subjects that Nagios, Icinga 2 and Zabbix write unless told otherwise: a problem and its end are one alert."""

from __future__ import annotations

import time
from email.message import EmailMessage

import pytest
from tests.alerts.test_triage import Bench

from midwatch.adapters.alerts import mail
from midwatch.adapters.alerts.common import Decoded, Rules

NOW = 1_795_424_300.0
ZABBIX_PROBLEM = """Problem started at 10:12:01 on 2026.12.01
Problem name: High CPU utilization (over 90% for 5m)
Host: web-1
Severity: Disaster
Operational data: Current utilization: 97 %
Original problem ID: 4711
"""
ZABBIX_RESOLVED = """Problem has been resolved in 5m 3s at 10:17:04 on 2026.12.01
Problem name: High CPU utilization (over 90% for 5m)
Problem duration: 5m 3s
Host: web-1
Severity: Disaster
Original problem ID: 4711
"""


def read(subject: str, text: str = "Additional Info:\nCRITICAL - no answer", rules: Rules | None = None) -> Decoded:
    message = EmailMessage()
    message["Subject"], message["From"] = subject, "nagios@mon.example"
    message.set_content(text)
    return mail.decode(message.as_bytes(), {}, rules or Rules("mail"), NOW)


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/St_Johns", "UTC"])
def test_when_it_was_sent_is_no_matter_of_this_machines_zone(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as here:
        here.setenv("TZ", zone)
        time.tzset()
        for date in ("Mon, 23 Nov 2026 08:00:00 -0000", "Mon, 23 Nov 2026 08:00:00 +0000", "23 Nov 2026 13:30 +0530"):
            message = EmailMessage()
            message["Subject"], message["From"], message["Date"] = "disk full", "cron@web-1.example", date
            (alert,) = mail.decode(message.as_bytes(), {}, Rules("mail"), NOW).alerts
            assert alert.since_at == 1_795_420_800.0, date
    time.tzset()


@pytest.mark.parametrize(
    ("problem", "recovery", "key", "entity", "severity"),
    [
        ("** PROBLEM Host Alert: billing-1 is DOWN **", "** RECOVERY Host Alert: billing-1 is UP **",
         "mail:billing-1", "host:billing-1", 3),
        ("** PROBLEM Service Alert: web-1/HTTP is CRITICAL **", "** RECOVERY Service Alert: web-1/HTTP is OK **",
         "mail:web-1/http", "host:web-1", 2),
        ("** PROBLEM Service Alert: web-1/Disk /var is WARNING **",
         "Re: ** RECOVERY Service Alert: web-1/Disk /var is OK **",
         "mail:web-1/disk /var", "host:web-1", 4),
        ("** PROBLEM Service Alert: web-1/HTTP is CRITICAL **", "** FLAPPINGSTOP Service Alert: web-1/HTTP is OK **",
         "mail:web-1/http", "host:web-1", 2),
        ("[PROBLEM] Host billing-1 is DOWN!", "[RECOVERY] Host billing-1 is UP!", "mail:billing-1", "host:billing-1", 3),
        ("[PROBLEM] HTTP on web-1 is CRITICAL!", "[RECOVERY] HTTP on web-1 is OK!", "mail:web-1/http", "host:web-1", 2),
    ],
)  # fmt: skip
def test_a_problem_and_its_recovery_are_one_alert(
    problem: str, recovery: str, key: str, entity: str, severity: int
) -> None:
    began, ended = read(problem).alerts[0], read(recovery).alerts[0]
    assert (began.key, began.state, began.entity, began.severity) == (key, "firing", entity, severity)
    assert (ended.key, ended.state) == (key, "resolved")
    assert began.summary.startswith("CRITICAL - no answer\n"), "what was measured comes first"


def test_zabbix_tells_the_host_in_its_text() -> None:
    name = "High CPU utilization (over 90% for 5m)"
    began = read(f"Problem: {name}", ZABBIX_PROBLEM).alerts[0]
    assert (began.key, began.state, began.severity) == (f"mail:web-1/{name.lower()}", "firing", 1)
    assert (began.name, began.entity) == (name, "host:web-1")
    assert began.summary.startswith("Current utilization: 97 %\nProblem started")
    for subject in (f"Resolved: {name}", f"Resolved in 5m: {name}", f"Resolved in 1h 5m 3s: {name}"):
        ended = read(subject, ZABBIX_RESOLVED).alerts[0]
        assert (ended.key, ended.state) == (began.key, "resolved")
    update = "ann acknowledged problem at 10:13.\n\nCurrent problem status is PROBLEM, age is 1m, acknowledged: Yes.\n"
    taken = read(f"Updated problem in 1m: {name}", f"{update}Host: web-1\n").alerts[0]
    assert (taken.key, taken.state) == (began.key, "acknowledged")


@pytest.mark.parametrize("kind", ["FLAPPINGSTART", "DOWNTIMESTART", "CUSTOM", "DOWNTIMEEND"])
def test_words_about_an_alert_are_its_note_and_no_alert(kind: str) -> None:
    found = read(f"** {kind} Service Alert: web-1/HTTP is CRITICAL **")
    assert not found.alerts
    assert found.notes[0][0] == "mail:web-1/http" and kind in found.notes[0][2]


def test_an_acknowledgement_opens_nothing_and_answers_what_is_open() -> None:
    bench = Bench()
    taken = read("** ACKNOWLEDGEMENT Host Alert: billing-1 is DOWN **").alerts
    bench.hear(*taken)
    assert not bench.state.alerts
    bench.hear(*read("** PROBLEM Host Alert: billing-1 is DOWN **").alerts)
    bench.turn()
    bench.hear(*taken)
    bench.turn()
    assert list(bench.state.alerts) == ["mail:billing-1"] and len(bench.state.incidents) == 1
    assert bench.state.incidents["INC-1"].acknowledged_by == "nagios@mon.example"
    bench.hear(*read("** RECOVERY Host Alert: billing-1 is UP **").alerts)
    assert not bench.state.alerts["mail:billing-1"].firing


def test_hosts_of_one_service_stay_apart_and_other_subjects_are_read_as_ever() -> None:
    one = read("** PROBLEM Host Alert: billing-1 is DOWN **", rules=Rules("mail", service="billing")).alerts[0]
    assert (one.name, one.entity) == ("Host alert on billing-1", "service:billing")
    plain = read("Problem: disk full on db-1", "Host: db-1").alerts[0]
    assert plain.key == "mail:disk full on db-1"
    assert read("[RESOLVED] disk full on db-1").alerts[0].state == "resolved"
