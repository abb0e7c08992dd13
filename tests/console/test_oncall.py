"""The page of who is on call: now, in pictures and in words, what is wrong with it, and a swap that is taken there."""

from __future__ import annotations

import asyncio
import re

import pytest
from msgspec.structs import replace
from tests.console.test_pages import NOW, browser, check_document, csrf_of, get, text_of, watch_in
from tests.console.test_parts import STATIC, contrast

from midwatch.core.oncall.schedule import Shift
from midwatch.faces.console.fake_people import fake_people
from midwatch.faces.console.fakes import HOSTILE, MOODS, FakeWatch
from midwatch.faces.console.roster_chart import NARROW, WIDE, fitting, picture, span
from midwatch.model import events as e
from midwatch.model.policy import Policy


@pytest.mark.parametrize("mood", MOODS)
def test_the_page_in_every_mood(mood: str) -> None:
    answer = get(watch_in(mood), "/oncall")
    assert answer.status_code == 200
    check_document(answer.text)
    if mood != "oncall":
        assert "No people file says who is on call" in text_of(answer.text)


def test_who_when_what_is_wrong_and_who_carried_how_much() -> None:
    page = text_of(get(watch_in("oncall"), "/oncall").text)
    for words in (
        "Cleo Nakamura until",
        "Mon 28 Sep 09:00 CEST (in 7 d)",
        "Ben Okoro asks Cleo Nakamura to take a shift of shop",
        "Cleo Nakamura stands in for second",
        "dentist",
        "cleo is on call in shop and away (Lisbon)",
        "Night pages",
        "Shifts in words",
    ):
        assert words in page, words
    assert "nobody" in page, "the schedule ends in three weeks"


def test_a_swap_is_taken_on_the_page() -> None:
    async def go() -> FakeWatch:
        watch = watch_in("oncall")
        async with browser(watch) as client:
            await client.post("/name", data={"csrf": csrf_of((await client.get("/oncall")).text), "name": "cleo"})
            page = (await client.get("/oncall")).text
            form = {
                "csrf": csrf_of(page),
                "back": "/oncall",
                "verb": "swap_answer",
                "target": "SWP-1",
                "value": "accept",
            }
            answer = await client.post("/do", data=form, follow_redirects=True)
            assert "The answer to SWP-1 was noted." in text_of(answer.text)
        return watch

    watch = asyncio.run(go())
    assert [(o.person, o.instead_of) for o in watch.state.overrides[1:]] == [("cleo", "ben"), ("ben", "cleo")]
    assert watch.state.swaps[0].answered_by == "cleo"


def test_names_are_text() -> None:
    watch = watch_in("empty")
    people = fake_people(NOW)
    evil = replace(people, people=tuple(replace(p, name=HOSTILE) for p in people.people))
    watch.say(NOW, e.PolicyLoaded(Policy(people=evil)))
    page = get(watch, "/oncall").text
    assert HOSTILE not in page and "&lt;script&gt;" in page


def test_the_outlook_is_worked_out_once_for_the_same_people() -> None:
    async def go() -> int:
        watch = watch_in("oncall")
        reads = 0
        plain = watch.journal.seq_before

        def counting(at: float) -> int:
            nonlocal reads
            reads += 1
            return plain(at)

        watch.journal.seq_before = counting  # type: ignore[method-assign]
        async with browser(watch) as client:
            await client.get("/oncall")
            await client.get("/oncall")
        return reads

    assert asyncio.run(go()) == 1


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_picture_keeps_within_its_frame_and_shows_every_shift(width: float) -> None:
    since, until = span(NOW, "Europe/Berlin")
    steps = 12
    edges = [since + (until - since) * n / steps for n in range(steps + 1)]
    made = [Shift("s", f"p{n}", edges[n], edges[n + 1]) for n in range(steps)]
    svg = picture(made, "Europe/Berlin", NOW, {f"p{n}": n for n in range(steps)}, {}, width)
    for x, wide in re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', svg):
        assert float(x) >= 0 and float(x) + float(wide) <= width + 0.2
    assert all(f"<title>p{n}, " in svg for n in range(steps))
    assert svg.count('class="moment"') == 1


def test_a_name_is_cut_to_its_room() -> None:
    assert [fitting("Dora Lindqvist", w) for w in (200, 60, 24, 5)] == ["Dora Lindqvist", "Dora", "DL", ""]
    since, _ = span(NOW, "UTC")
    drawn = [picture([Shift("s", "", since, since + hours * 3600)], "UTC", NOW, {}, {}, WIDE) for hours in (24, 6)]
    words = [re.findall(r'<text class="on-nobody"[^>]*>([^<]*)<', svg) for svg in drawn]
    assert words == [["nobody"], []], "nobody has no initials"


@pytest.mark.parametrize("dark", [False, True])
def test_names_on_bars_keep_their_contrast(dark: bool) -> None:
    sets = re.findall(r":root \{ (--who-0: .*?) \}", (STATIC / "console.css").read_text("utf-8"))
    tokens = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", sets[int(dark)]))
    assert len(tokens) == 9
    for number in range(8):
        assert contrast(tokens["who-ink"], tokens[f"who-{number}"]) >= 4.5, number


def test_an_incident_says_whom_it_woke_and_asks_for_help() -> None:
    async def go() -> tuple[str, FakeWatch]:
        watch = watch_in("incident")
        people = replace(watch.state.policy, people=fake_people(NOW))
        watch.say(NOW, e.PolicyLoaded(people))
        ident = watch.state.open_incidents[0].id
        watch.say(NOW, e.EscalationStarted(ident, "shop", "shop", "shop owns payment"))
        watch.say(NOW, e.PageOrdered("P-9", ident, "k9", "phone", "SEV2", "", 2, person="cleo", level=1, run=1))
        async with browser(watch) as client:
            page = (await client.get(f"/incidents/{ident}")).text
            check_document(page)
            form = {"csrf": csrf_of(page), "back": f"/incidents/{ident}", "verb": "escalate", "target": ident}
            said = await client.post("/do", data=form, follow_redirects=True)
            assert "the next level is woken" in text_of(said.text)
        return page, watch

    page, watch = asyncio.run(go())
    assert "to cleo over phone" in text_of(page) and "Ask for help" in page
    assert any(isinstance(r.event, e.EscalationAdvanced) for r in watch.journal.entries)
