"""The page of other systems' alerts, and its forms that act on several at once."""

from __future__ import annotations

import asyncio
from urllib.parse import urlencode

import httpx
from msgspec.structs import replace
from tests.console.test_pages import NOW, browser, check_document, csrf_of, get, text_of

from midwatch.core.oncall.grouping import finding_for
from midwatch.faces.console.alerts_page import MAX_BULK
from midwatch.faces.console.fakes import HOSTILE, FakeWatch
from midwatch.model import events as e
from midwatch.model.alerts import Judged

FORM = {"content-type": "application/x-www-form-urlencoded", "origin": "http://localhost"}


def test_it_says_where_each_alert_is_and_why_and_who_sends() -> None:
    page = get(FakeWatch("alerts", NOW), "/alerts").text
    check_document(page)
    text = text_of(page)
    assert "INC-1 : nothing open was about payment" in text
    assert "In maintenance : SIL-1 until" in text and "by zoe: reindexing" in text
    assert "5 not: refused with 401" in text and "412 taken since the start" in text
    assert "1 to 50 of 126" in text
    assert "disk-cleaner" in text_of(get(FakeWatch("alerts", NOW), "/alerts?state=over").text)


def test_an_incident_that_wakes_nobody_says_so_there_and_at_its_alert() -> None:
    watch = FakeWatch("alerts", NOW)
    known = next(iter(watch.state.alerts.values())).alert
    mild = replace(known, key="prom:Disk", name="Disk", severity=4, entity="service:attic", state="firing")
    finding = finding_for("alert|service:attic|Disk", mild)
    opened = e.IncidentOpened(
        "INC-90", "Disk at attic", NOW, 4, "a sender rates it so", (finding.id,), ("service:attic",)
    )
    watch.say(NOW, e.AlertsReceived((mild,)), e.FindingOpened(finding), opened)
    judged = Judged(mild.key, "grouped", "nothing open was about attic", finding.id, "INC-90")
    watch.say(NOW, e.AlertsJudged((judged,)))
    said = "wakes nobody: SEV4, and page_severity is 3"
    assert f"INC-90 {said}." in text_of(get(watch, "/incidents/INC-90").text)
    assert said in text_of(get(watch, "/alerts?q=Disk").text)
    assert said in text_of(get(watch, "/incidents").text) and said in text_of(get(watch, "/").text)
    assert said not in get(watch, "/incidents/INC-1").text


def test_what_may_be_asked() -> None:
    watch = FakeWatch("alerts", NOW)
    assert "1 to 50" not in text_of(get(watch, "/alerts?q=payment").text)
    assert "HighErrorRate" in get(watch, "/alerts?" + urlencode({"q": '{service="payment"}'})).text
    assert "No alert fits" in get(watch, "/alerts?q=nothing-of-that-name").text
    assert "cannot read" in get(watch, "/alerts?" + urlencode({"q": "{oops"})).text or "write name" in text_of(
        get(watch, "/alerts?" + urlencode({"q": "{oops}"})).text
    )
    for page in ("0", "-1", "99999", "x", "\u0662"):
        assert get(watch, "/alerts?" + urlencode({"page": page, "state": HOSTILE})).status_code == 200


def test_nothing_that_a_sender_writes_becomes_markup() -> None:
    watch = FakeWatch("alerts", NOW)
    old = next(iter(watch.state.alerts.values())).alert
    evil = replace(old, key=HOSTILE, name=HOSTILE, summary=HOSTILE, labels={HOSTILE: HOSTILE}, by=HOSTILE)
    watch.say(NOW, e.AlertsReceived((evil,)), e.AlertNoted(HOSTILE, HOSTILE, HOSTILE))
    for path in ("/alerts", "/alerts?q=script"):
        page = get(watch, path).text
        check_document(page)
        assert HOSTILE not in page and "&lt;script&gt;" in page


def test_ticked_alerts_are_closed_and_moved_and_no_more_than_a_pageful() -> None:
    watch = FakeWatch("alerts", NOW)
    keys = [r.alert.key for r in watch.state.alerts.values() if r.alert.name == "InstanceDown"]

    async def go() -> None:
        async with browser(watch) as client:
            csrf = csrf_of((await client.get("/alerts")).text)

            async def press(verb: str, some: list[str], token: str = csrf, **more: str) -> httpx.Response:
                fields = [
                    ("csrf", token),
                    ("back", "/alerts"),
                    ("verb", verb),
                    *(("key", k) for k in some),
                    *more.items(),
                ]
                return await client.post("/alerts/do", content=urlencode(fields), headers=FORM, follow_redirects=True)

            assert "Closing: 2 alerts ordered" in (await press("close_alert", keys[:2])).text
            assert [watch.state.alerts[k].firing for k in keys[:3]] == [False, False, True]
            assert "Moving to new: 1 alert ordered" in (await press("move_alert", keys[2:3], into="new")).text
            assert watch.state.alerts[keys[2]].incident == "INC-2"
            assert "tick 1 to 50 alerts" in (await press("close_alert", keys[: MAX_BULK + 1])).text
            assert "tick 1 to 50 alerts" in (await press("close_alert", [])).text
            assert (await press("close_alert", keys[3:4], token="0" * 64)).status_code == 403
            assert (await press("hands_off", keys[3:4])).status_code == 400
            assert (await press("close_alert", ["x" * 200_000])).status_code == 413
            assert watch.state.alerts[keys[3]].firing

    asyncio.run(go())


def test_a_silence_from_the_page() -> None:
    watch = FakeWatch("alerts", NOW)

    async def go() -> None:
        async with browser(watch) as client:
            said = {
                "verb": "silence",
                "target": 'service="cart"',
                "value": "2h",
                "note": "new racks",
                "back": "/alerts",
            }
            said["csrf"] = csrf_of((await client.get("/alerts")).text)
            page = await client.post("/do", data=said, headers={"origin": "http://localhost"}, follow_redirects=True)
            assert "A silence was ordered" in page.text and "new racks" in page.text
            assert watch.state.silences["SIL-2"].end_at == NOW + 7200
            said |= {"verb": "unsilence", "target": "SIL-2", "csrf": csrf_of(page.text)}
            await client.post("/do", data=said, headers={"origin": "http://localhost"})
            assert "SIL-2" not in watch.state.silences

    asyncio.run(go())
