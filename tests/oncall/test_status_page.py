"""What customers are told: counted by hand, in words that name nothing inside, and as files that hold by themselves."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree as Xml

import msgspec
import pytest
from msgspec.structs import replace as with_fields
from tests.slo.test_budget import ledger_of, steady
from tests.slo.turns import state_of

from midwatch.core.memory import Ledger
from midwatch.core.oncall.status_page import DAYS, Component, ComponentState, Day, StatusPage, status_page
from midwatch.model.adjustments import Adjustment
from midwatch.model.events import IncidentRated
from midwatch.model.findings import Hypothesis, Impact, Incident
from midwatch.model.rating_steps import rated
from midwatch.model.slo import Slo
from midwatch.model.state import State
from midwatch.shell.health import Health
from midwatch.shell.status_files import Publishing, files, html, share
from midwatch.shell.status_settings import ComponentSettings, StatusPageSettings

NOW = datetime.fromisoformat("2026-11-25T10:00:00+00:00").timestamp()
DAY = 86_400.0
GATEWAY = "service:gateway"
SLO = Slo("checkout", GATEWAY, "ratio", 0.999)
SHOP = Component("Shop", "checkout")
MAIL = Component("Mail", "", ("mailer",))
TOLD = {"findings": ("alert|service:gateway|TLS certificate expires in 7 days",), "impact": None, "severity": 1}
"""What makes it an incident that is known from alerts of other systems only."""
CAUSE = Hypothesis("service:secret-billing", "bad_deploy", 0.9)


def incident(**changes: object) -> Incident:
    began = NOW - 3600
    usual = Incident(
        "INC-7",
        opened_at=began + 20,
        onset_at=began,
        severity=2,
        title="Elevated error rates in secret-billing",
        symptoms=(GATEWAY, "service:secret-billing"),
        impact=Impact(GATEWAY, 0.15, 1234, began, "failing", "checkout"),
        hypotheses=(CAUSE,),
        diagnosed_at=began + 25,
    )
    return with_fields(usual, **changes)


def page(
    *incidents: Incident,
    ledger: Ledger | None = None,
    state: State | None = None,
    parts: tuple[Component, ...] = (SHOP, MAIL),
) -> StatusPage:
    known = state or state_of(SLO)
    known = with_fields(known, incidents={i.id: i for i in incidents})
    return status_page(known, {"checkout": ledger if ledger is not None else steady(0)}, parts, NOW, title="Example")


def test_all_is_well() -> None:
    shop, mail = page().components
    assert (shop.standing, shop.uptime, len(shop.days)) == ("operational", 1.0, DAYS)
    assert {day.standing for day in shop.days} == {"good"}
    assert (mail.standing, mail.uptime, mail.days) == ("operational", None, ()), "nobody counts it, and nothing is told"
    assert page().standing == page(parts=(SHOP,)).standing == "operational"


def test_a_promise_that_nobody_keeps_is_no_data() -> None:
    [lost] = page(parts=(Component("Lost", "no-such-promise", ("lost",)),)).components
    assert (lost.standing, {day.standing for day in lost.days}) == ("no data", {"no data"})


def test_without_a_promise_incidents_alone_say_how_it_stands() -> None:
    found = page(incident(symptoms=("service:mailer",)), parts=(MAIL,))
    assert (found.standing, found.components[0].standing, found.components[0].days) == ("degraded", "degraded", ())
    text = html(found)
    assert "Mail" in text and "<svg" not in text and "uptime" not in text and "worse than promised" not in text
    assert "<svg" in html(page()) and "more than ten times worse" in html(page())


def test_what_only_other_systems_say_is_told_once_a_person_rated_it_and_claims_no_harm() -> None:
    silent = incident(**TOLD)
    assert page(silent).incidents == () and page(silent).standing == "operational"
    assert page(with_fields(silent, findings=(*silent.findings, "dying|service:gateway|"))).incidents == ()
    rated_by_person = IncidentRated("INC-7", 2, "ana said so", by="ana", facts=1)
    said = rated(silent, rated_by_person, NOW - 60)
    [told] = page(said).incidents
    assert told.title == "Possible problem of Shop" and told.standing == page(said).standing == "degraded"
    assert [u.text for u in told.updates] == [
        "We know where it comes from.",
        "We are looking into a possible problem; nothing is known yet of what you may notice.",
    ]
    worse = rated(with_fields(said, said_facts=2), IncidentRated("INC-7", 1, "so rated by its sender"), NOW)
    assert worse.severity == 1 and worse.said_severity == 0
    assert page(worse).incidents[0].standing == "degraded", "it stays told, and only a person makes it an outage"
    assert page(rated(said, IncidentRated("INC-7", 1, "ana leaves it", by="ana"), NOW)).incidents == ()
    [over] = page(with_fields(said, mitigated_at=NOW - 60, resolved_at=NOW)).incidents
    texts = " ".join(u.text for u in over.updates)
    assert "nothing was measured that you could notice" in texts and "fail" not in texts + over.title


def test_measured_harm_is_told_by_itself_as_what_it_is() -> None:
    silent = incident(**TOLD)
    [counted] = page(with_fields(silent, impact=incident().impact)).incidents
    assert counted.updates[-1].text.startswith("About 15 % of the requests fail.")
    for kind, title, verb in (
        ("error_shift", "Errors of Shop", "fail"),
        ("latency_shift", "Slow responses of Shop", "are answered slowly"),
        ("traffic_drop", "Missing requests of Shop", "do not reach us"),
        ("burn_rate", "Trouble of Shop", "are not served as promised"),
    ):
        [told] = page(with_fields(silent, findings=(*silent.findings, f"{kind}|service:gateway|x"))).incidents
        assert told.title == title
        assert told.updates[-1].text == f"Requests {verb}; how many is not known. We are finding out why."
    waiting = with_fields(silent, findings=("queue_lag|queue:mails|",))
    assert page(waiting).incidents[0].title == "Possible problem of Shop", "messages wait; of requests nothing is known"


def test_a_day_is_what_was_counted_on_it() -> None:
    yesterday = NOW - 12 * 3600
    ledger = ledger_of([(12 * 3600.0, 995, 5), (0.0, 100, 0), (3 * DAY, 50, 50)], begun=5 * DAY)
    days = {datetime.fromtimestamp(d.at, UTC).date().isoformat(): d for d in page(ledger=ledger).components[0].days}
    assert datetime.fromtimestamp(yesterday, UTC).date().isoformat() == "2026-11-24"
    assert (days["2026-11-24"].standing, days["2026-11-24"].uptime) == ("fair", 0.995)
    assert (days["2026-11-22"].standing, days["2026-11-22"].uptime) == ("bad", 0.5)
    assert (days["2026-11-25"].standing, days["2026-11-25"].uptime) == ("good", 1.0)
    assert days["2026-11-23"].standing == "no traffic", "seen, and empty"
    assert days["2026-11-10"].standing == "no data", "before the ledger began"


def test_what_a_person_left_out_is_left_out() -> None:
    ledger = ledger_of([(12 * 3600.0, 0, 100), (10 * 3600.0, 100, 0)], begun=2 * DAY)
    left_out = Adjustment("ADJ-1", "exclude", "checkout", NOW - 13 * 3600, NOW - 12 * 3600, "ana", "a drill", NOW)
    shop = page(ledger=ledger, state=with_fields(state_of(SLO), adjustments=(left_out,))).components[0]
    assert shop.uptime == 1.0
    assert page(ledger=ledger).components[0].uptime == 0.5


def test_blind_is_no_data_and_not_well() -> None:
    stale = replace(steady(0, now=NOW - 3600), seen_until=NOW - 3600)
    assert page(ledger=stale).components[0].standing == "no data"


@pytest.mark.parametrize(("severity", "standing"), [(1, "outage"), (2, "degraded"), (3, "operational")])
def test_open_incidents_say_how_it_stands(severity: int, standing: str) -> None:
    found = page(incident(severity=severity))
    assert found.components[0].standing == standing
    assert bool(found.incidents) is (severity <= 2)


def test_what_got_milder_stays_on_the_page_and_says_so_unless_a_person_says_that_it_is_none() -> None:
    less = with_fields(incident().impact, affected_ratio=0.021)
    began = NOW - 3600
    milder = incident(severity=3, worst_severity=2, worst_impact=incident().impact, impact=less, eased_at=began + 900)
    found = page(milder)
    [told] = found.incidents
    assert found.components[0].standing == "degraded"
    assert [u.text for u in told.updates] == [
        "It got better: about 2 % of the requests fail now.",
        "We know where it comes from.",
        "About 15 % of the requests fail. We are finding out why.",
    ]
    assert not page(with_fields(milder, said_severity=4)).incidents


def test_the_words_name_nothing_inside() -> None:
    [told] = page(incident()).incidents
    said = msgspec.json.encode(told).decode()
    assert "secret-billing" not in said and "bad_deploy" not in said and "gateway" not in said
    assert [u.text for u in told.updates] == [
        "We know where it comes from.",
        "About 15 % of the requests fail. We are finding out why.",
    ]
    assert told.title == "Errors of Shop" and told.ended_at is None


def test_over_it_is_told_in_the_past_and_newest_first() -> None:
    over = incident(
        mitigated_at=NOW - 3000, resolved_at=NOW - 2880, impact=Impact(GATEWAY, 0.004, 9, NOW, "slow", "checkout")
    )
    found = page(over)
    [told] = found.incidents
    assert [u.text for u in told.updates] == [
        "It is over. It lasted 12 minutes.",
        "It no longer happens; we are watching whether it stays so.",
        "About 0.4 % of the requests were answered slowly.",
    ]
    assert found.components[0].standing == "operational" and told.title == "Slow responses of Shop"


def test_incidents_of_others_of_long_ago_and_parts_of_others_do_not_show() -> None:
    elsewhere = incident(symptoms=("service:batch",), impact=None)
    old = incident(onset_at=NOW - 40 * DAY, opened_at=NOW - 40 * DAY, resolved_at=NOW - 39 * DAY)
    assert page(elsewhere).incidents == page(old).incidents == page(incident(merged_into="INC-1")).incidents == ()
    assert page(incident(symptoms=("service:mailer",), impact=None)).incidents[0].components == ("Mail",)


def test_the_files_hold_by_themselves() -> None:
    told = files(page(incident()), "https://status.example.org/")
    text = told["index.html"].decode()
    assert "There is an outage." not in text and "Something does not work as it should." in text
    assert "src=" not in text and "@import" not in text and "http://" not in text and "https://" not in text
    feed = Xml.fromstring(told["history.atom"])
    space = "{http://www.w3.org/2005/Atom}"
    assert_atom(feed)
    assert [e.findtext(f"{space}id") for e in feed.findall(f"{space}entry")] == ["https://status.example.org/#INC-7"]
    assert feed.findtext(f"{space}updated") == "2026-11-25T09:00:25Z"
    assert msgspec.json.decode(told["status.json"])["standing"] == "degraded"


def assert_atom(feed: Xml.Element) -> None:
    """What RFC 4287 requires of a feed and its entries (4.1.1, 4.1.2), and that ids and dates are what they must be."""
    space = "{http://www.w3.org/2005/Atom}"
    assert feed.tag == f"{space}feed"
    ids = []
    for one in (feed, *feed.findall(f"{space}entry")):
        for name in ("id", "title", "updated"):
            assert len(one.findall(f"{space}{name}")) == 1 and one.findtext(f"{space}{name}"), name
        ids.append(one.findtext(f"{space}id"))
        assert urlsplit(ids[-1] or "").scheme, "an id is an IRI"
        for name in ("updated", "published"):
            if (said := one.findtext(f"{space}{name}")) is not None:
                assert datetime.fromisoformat(said).tzinfo is not None
        for link in one.findall(f"{space}link"):
            assert link.get("href")
    assert len(set(ids)) == len(ids)
    assert feed.findtext(f"{space}author/{space}name"), "an author of the feed is that of its entries"
    if any(entry.find(f"{space}content") is None for entry in feed.findall(f"{space}entry")):
        raise AssertionError("an entry without content needs a link")


@pytest.mark.parametrize("url", ["", "https://status.example.org"])
def test_the_feed_is_one_without_incidents_and_with_many(url: str) -> None:
    many = [incident(id=f"INC-{n}", resolved_at=NOW - n) for n in range(1, 60)]
    for incidents in ((), many):
        feed = Xml.fromstring(files(page(*incidents), url)["history.atom"])
        assert_atom(feed)
        assert len(feed.findall("{http://www.w3.org/2005/Atom}entry")) == min(len(incidents), 50)


def test_what_goes_on_stands_before_the_components_and_what_is_over_after_them() -> None:
    text = html(page(incident(), incident(id="INC-3", resolved_at=NOW - 60)), "https://status.example.org/subscribe")
    places = [text.index(part) for part in ('id="INC-7"', '<ul class="parts">', 'id="INC-3"')]
    assert places == sorted(places) and text.count("<article") == 2
    assert 'class="open degraded"' in text and "since 2026-11-25 09:00" in text
    assert 'href="https://status.example.org/subscribe"' in text and "subscribe" not in html(page(incident()))


def test_a_bad_day_differs_by_more_than_its_colour() -> None:
    days = tuple(Day(NOW, standing, None) for standing in ("good", "fair", "bad"))
    shown = html(StatusPage("Shop", NOW, "operational", (ComponentState("Pay", "operational", days, None, 0.99),), ()))
    heights = [int(high) for high in re.findall(r'<rect [^>]*height="(\d+)" class', shown)]
    assert heights == sorted(heights, reverse=True) and len(set(heights)) == 3


def test_without_components_it_says_so() -> None:
    assert "There is nothing to see here yet." in html(page(parts=()))


def test_a_title_is_text() -> None:
    state = state_of(SLO)
    bad = status_page(state, {}, (Component("<script>x</script>", ""),), NOW, title="<b>")
    assert b"<script>x" not in files(bad)["index.html"] and b"<b>" not in files(bad)["history.atom"]


def test_nearly_all_is_not_all() -> None:
    assert share(0.999999) == "99.999 %" and share(1.0) == "100 %" and share(0.995) == "99.5 %"


def test_it_is_kept_written_and_what_is_wrong_is_said(tmp_path: Path) -> None:
    vitals = Health()
    settings = StatusPageSettings(components=(ComponentSettings(name="Shop", slo="checkout"),), out=tmp_path / "www")
    publishing = Publishing(settings, lambda: files(page()), vitals, lambda: True)
    asyncio.run(publishing.once(tmp_path / "www"))
    assert sorted(p.name for p in (tmp_path / "www").iterdir()) == ["history.atom", "index.html", "status.json"]
    (tmp_path / "file").write_text("")
    asyncio.run(publishing.once(tmp_path / "file" / "www"))
    assert "cannot be written" in vitals.troubles["status page"]
    asyncio.run(publishing.once(tmp_path / "www"))
    assert "status page" not in vitals.troubles
