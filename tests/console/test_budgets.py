"""The budget pages: every state in words, a thousand promises a page at a time, one promise whole."""

from __future__ import annotations

import asyncio
import re

import httpx
import numpy as np
import pytest
from tests.console.test_pages import NOW, browser, check_document, get, text_of

from midwatch.core.slo.forecast import Forecast
from midwatch.core.slo.ledger import add, new_ledger
from midwatch.faces.console import foresight, slo_words
from midwatch.faces.console.alerts import read_alerts
from midwatch.faces.console.budgets import PER_PAGE
from midwatch.faces.console.fake_promises import STATES
from midwatch.faces.console.fakes import HOSTILE, FakeWatch
from midwatch.model import events as e
from midwatch.model.findings import Finding
from midwatch.model.indicators import BoolGauge, Composite, Histogram, Part, RawRatio
from midwatch.model.policy import Policy
from midwatch.model.slo import BurnTier, Slo
from midwatch.model.state import State

WORDS = {
    "spent": "spent, still burning",
    "burning": "burning",
    "slowly": "burning slowly",
    "no_data": "no data",
    "never": "no data",
    "ok": "ok",
    "no_errors": "no errors",
    "no_traffic": "no traffic",
    "journey": "ok",
    "whole": "no errors",
    "young": "ok",
}
NOT_WORDS = re.compile(r"\bnan\b|\bNone\b|\binf\b|Infinity")


@pytest.fixture(scope="module")
def watch() -> FakeWatch:
    return FakeWatch("promises", NOW)


@pytest.fixture(scope="module")
def listed(watch: FakeWatch) -> str:
    return get(watch, "/budgets").text


@pytest.mark.parametrize("state", WORDS)
def test_every_state_is_said_in_words_in_the_list_and_on_its_page(watch: FakeWatch, listed: str, state: str) -> None:
    slo = STATES[state]
    part = listed[listed.index(f'id="slo-{slo.name}"') :]
    assert f"{slo.name} {WORDS[state]} " in text_of(part[: part.index("</li>")])
    page = get(watch, f"/budgets/{slo.name}")
    assert page.status_code == 200
    check_document(page.text)
    text = text_of(page.text[page.text.index("<main") :])
    assert f"{slo.name} {WORDS[state]} " in text
    assert not NOT_WORDS.search(text), NOT_WORDS.search(text)


def test_trouble_comes_first_and_services_stay_together(listed: str) -> None:
    names = re.findall(r'id="slo-([^"]+)"', listed)
    assert names[0] in ("checkout-availability", "tenants-availability") and names[-1] == "review-availability"
    assert abs(names.index("catalog-minutes") - names.index("catalog-availability")) == 1
    assert names.index("search-availability") < names.index("notification-delivery") < names.index("user-login")


def test_what_is_left_is_said_in_events_and_in_time(watch: FakeWatch, listed: str) -> None:
    text = text_of(listed).replace("\u00a0", " ")
    assert re.search(r"[\d,]+ of [\d,]+ failures left", text) and re.search(r"\d+ of 43 min of full outage", text)
    assert re.search(r"[\d,]+ failures, [\d,]+ allowed overspent by \d+ min of full outage", text)
    assert re.search(r"\d+ of [\d,]+ bad slices left", text) and re.search(r"\d+ of [\d,]+ bad looks left", text)


def test_a_source_that_is_down_leaves_the_last_known_and_its_age(watch: FakeWatch) -> None:
    text = text_of(get(watch, "/budgets/notification-delivery").text).replace("\u00a0", " ")
    assert "left when last seen" in text and "( 30 min ago )" in text and "No data since" in text
    assert "No alert can be judged: its Prometheus refuses the connection." in text


def test_the_page_of_a_promise_says_it_all(watch: FakeWatch) -> None:
    page = get(watch, "/budgets/checkout-availability").text
    text = text_of(page).replace("\u00a0", " ")
    for said in (
        "99.9 % of the events are good, over 30 d.",
        "The ticket alert fires",
        "INC-41 Checkout fails for 35 % of the requests",
        "deploy checkout: checkout 4.2.0",
        "given back",
        "a load test, no customer",
        "left out all promises",
        "How fast it would be noticed",
        "Owner team-checkout",
    ):
        assert said in text, said
    assert page.count('class="p p-wide"') == page.count('class="p p-tall"') == 2
    assert 'href="/incidents/INC-41"' in page
    days = re.findall(r'<th scope="row">(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) ', page)
    assert len(days) == 31


def test_detection_is_told_for_each_tier_with_never_where_it_never_fires(watch: FakeWatch) -> None:
    page = get(watch, "/budgets/checkout-availability").text
    part = page[page.index('id="detect-h"') : page.index('id="ledger-h"')]
    rows = [text_of(row).replace("\u00a0", " ") for row in re.findall(r"<tr>.*?</tr>", part, re.S)]
    assert re.search(r"Failing .* outage fast slow day ticket", rows[0])
    assert rows[1].strip().startswith("100 % 43 min") and rows[3].count("never") == 2


def test_groups_have_budgets_and_pages_of_their_own(watch: FakeWatch) -> None:
    page = get(watch, "/budgets/tenants-availability").text
    text = text_of(page)
    assert "4 groups, each with a budget of its own. The worst, tenant=globex , is spent" in text
    assert text.index("tenant=globex", text.index("Groups")) < text.index("tenant=acme", text.index("Groups"))
    links = re.findall(r'href="(/budgets/tenants-availability[^"]+)"', page)
    one = get(watch, next(link for link in links if "acme" in link))
    assert one.status_code == 200 and "group {tenant=acme}" in text_of(one.text)


def test_a_journey_names_its_parts(watch: FakeWatch) -> None:
    page = get(watch, "/budgets/buy-something").text
    assert "of the journeys through 2 promises are good" in text_of(page)
    assert 'href="/budgets/checkout-availability"' in page


def test_a_calendar_is_told_in_its_own_time(watch: FakeWatch) -> None:
    text = text_of(get(watch, "/budgets/catalog-availability").text)
    assert "01 Sep to 30 Sep, Europe/Berlin time" in text and "per month (Europe/Berlin)" in text


def test_what_is_not_there_is_not_found(watch: FakeWatch) -> None:
    for path in ("/budgets/nothing", "/budgets/tenants-availability{tenant=nobody}"):
        assert get(watch, path).status_code == 404, path
    assert "No promise yet" in get(FakeWatch("empty", NOW), "/budgets").text


def test_a_thousand_promises_are_shown_a_hundred_at_a_time() -> None:
    watch = FakeWatch("promises", NOW, promises=1000)

    async def go() -> dict[str, httpx.Response]:
        async with browser(watch) as client:
            asked = (
                "",
                "?page=11",
                "?page=999",
                "?q=svc-00+avail",
                "?state=spent",
                "?q=team-svc-0500",
                "?q=zzz",
                "?page=x",
            )
            return {one: await client.get("/budgets" + one) for one in asked}

    found = asyncio.run(go())
    shown = {one: re.findall(r'id="slo-([^"]+)"', answer.text) for one, answer in found.items()}
    assert {len(answer.content) < 250_000 and answer.status_code == 200 for answer in found.values()} == {True}
    assert [len(shown[one]) for one in ("", "?page=11", "?page=999", "?q=svc-00+avail")] == [PER_PAGE, 13, 13, PER_PAGE]
    assert shown["?state=spent"] == ["checkout-availability", "tenants-availability"] or set(shown["?state=spent"]) == {
        "checkout-availability",
        "tenants-availability",
    }
    assert shown["?q=team-svc-0500"] == ["svc-0500-availability"] and shown["?page=x"] == shown[""]
    assert "1 to 100 of 1,013" in text_of(found[""].text) and "1,001 to 1,013 of 1,013" in text_of(
        found["?page=11"].text
    )
    assert "No promise fits" in found["?q=zzz"].text
    assert 'href="/budgets?q=svc-00%20avail&amp;state=ok"' in found["?q=svc-00+avail"].text
    assert "stream?page=%2Fbudgets%3Fq%3Dteam-svc-0500" in found["?q=team-svc-0500"].text.replace(
        "/stream?page=/", "/stream?page=%2F"
    )


def test_what_is_looked_for_comes_back_escaped_and_leads_nowhere(watch: FakeWatch) -> None:
    async def go() -> tuple[str, str]:
        async with browser(watch) as client:
            hostile = await client.get(
                "/budgets", params={"q": HOSTILE, "state": "//evil.example", "page": "-1", "x": HOSTILE}
            )
            other = await client.get("/incidents", params={"q": HOSTILE})
            return hostile.text, other.text

    hostile, other = asyncio.run(go())
    assert HOSTILE not in hostile and HOSTILE not in other and "evil.example" not in text_of(hostile)
    check_document(hostile)


def test_hostile_names_are_escaped_on_the_budget_pages() -> None:
    watch = FakeWatch("promises", NOW)
    bad = Slo(HOSTILE, "service:x", "ratio", 0.99, owner=HOSTILE, description=HOSTILE, service=HOSTILE)
    watch.say(NOW, e.PolicyLoaded(Policy(slos=(bad,)), ()))
    watch.memory.ledgers[HOSTILE] = watch.memory.ledgers["user-login"]  # type: ignore[index]
    for path in ("/budgets", "/budgets/%3Cscript%3Ealert(%22x%22)%3C/script%3E", "/"):
        answer = get(watch, path)
        assert answer.status_code == 200 and HOSTILE not in answer.text and "&lt;script&gt;" in answer.text, path
        check_document(answer.text)


def test_the_style_of_plots_is_served_and_fetches_nothing(watch: FakeWatch) -> None:
    answer = get(watch, "/static/plots.css")
    assert answer.headers["content-type"].startswith("text/css") and ".p-line" in answer.text
    assert "url(" not in answer.text and "@import" not in answer.text


# why an alert fires or does not

SLO = Slo("s", "service:x", "ratio", 0.999)
FAST = BurnTier("fast", 14.4, 3600, 300, True)


def alert_of(bad_long: float, bad_short: float, per_minute: float = 100.0, *, slo: Slo = SLO, tier: BurnTier = FAST,
             firing: tuple[Finding, ...] = (), blind: bool = False) -> tuple[str, str]:  # fmt: skip
    """State and why after a day of clean traffic, an hour with ``bad_long`` of it failing, its last 5 min ``bad_short``."""
    at = np.arange(NOW - 86400, NOW, 60.0)
    total = np.full(at.size, per_minute)
    ratio = np.where(at >= NOW - 300, bad_short, np.where(at >= NOW - 3600, bad_long, 0.0))
    ledger = add(new_ledger(at[0]), at, total * (1 - ratio), total, NOW)
    state = State(policy=Policy(tiers=(tier,)))
    (alert,) = read_alerts(state, slo, firing, ledger, NOW, blind)
    return alert.state, alert.why.replace("\u00a0", " ")


def test_each_reason_has_its_words() -> None:
    assert alert_of(0.0, 0.0) == ("quiet", "0 x over 1 h; it fires above 14.4 x")
    assert alert_of(0.0, 0.05) == ("quiet", "50 x lately, but 4.17 x over 1 h; it fires above 14.4 x")
    assert alert_of(0.05, 0.0)[1] == "it burnt 45.8 x over 1 h; the last 5 min are calm"
    assert alert_of(0.05, 0.05)[0] == "waiting"
    assert alert_of(0.05, 0.05, 1.0)[1] == "only 3 failed; it wants 5 before it speaks"
    assert alert_of(0.05, 0.05, 0.0) == ("no traffic", "no traffic in the last 1 h")
    assert alert_of(0.05, 0.05, blind=True)[0] == "no data"
    assert alert_of(0.5, 0.5, slo=Slo("s", "service:x", "ratio", 0.9))[0] == "dead"
    assert (
        alert_of(0.5, 0.5, slo=Slo("s", "service:x", "ratio", 1.0))[1]
        == "a target of 100 % leaves no budget that could burn"
    )
    opened = Finding(
        "burn_rate|service:x|s/fast", "burn_rate", "service:x", NOW - 60, 50.0, 1.0, "x", slo="s", pages=True
    )
    assert alert_of(0.05, 0.05, firing=(opened,)) == ("firing", "50 x over 1 h; it fires above 14.4 x")


AT_MOST = "90 % of the events are at most 0.5 in their own unit, over 30 d"
MEAN = "90 % as the weighted mean of 2 promises, over 30 d"


@pytest.mark.parametrize(
    ("slo", "said"),
    [
        (Slo("a", "e", "latency", 0.99, 300), "99 % of the requests are answered within 300 ms, over 30 d"),
        (Slo("a", "e", "freshness", 0.99, 30_000), "99 % of the time no message is older than 30.00 s, over 30 d"),
        (Slo("a", "e", "source", 0.9, indicator=BoolGauge("up")), "90 % of the looks find it up, over 30 d"),
        (Slo("a", "e", "source", 0.9, indicator=RawRatio("x")), "90 % on the average over time, over 30 d"),
        (Slo("a", "e", "source", 0.9, indicator=Histogram("x", 0.5)), AT_MOST),
        (Slo("a", "e", "source", 0.9, indicator=Composite((Part("b"), Part("c")))), MEAN),
        (Slo("a", "e", "source", 0.9), "90 % of the requests succeed, over 30 d"),
    ],
)  # fmt: skip
def test_a_promise_in_words(slo: Slo, said: str) -> None:
    assert slo_words.promise(slo).replace("\u00a0", " ") == said


def test_what_is_left_in_words() -> None:
    assert slo_words.left_events(SLO, 2760, 4000) == "1,240 of 4,000 failures left"
    assert slo_words.left_events(SLO, 5200, 4000) == "5,200 failures, 4,000 allowed"
    assert slo_words.left_events(SLO, 1, 4.5) == "3.5 of 4.5 failures left"
    assert slo_words.left_time(SLO, 0.42, 30 * 86400).replace("\u00a0", " ") == "18 of 43 min of full outage"
    assert slo_words.left_time(SLO, -0.5, 30 * 86400).replace("\u00a0", " ") == "overspent by 22 min of full outage"


# the forecast


def test_the_forecast_is_said_and_drawn_where_there_is_one(watch: FakeWatch) -> None:
    page = get(watch, "/budgets/search-freshness").text
    text = text_of(page).replace("\u00a0", " ")
    assert re.search(r"\d+ % chance that it is gone by", text) and page.count('class="p-fan"') == 2
    calm = get(watch, "/budgets/user-login").text
    assert "It will last beyond" in text_of(calm) and 'class="p-fan"' not in calm
    assert "When it will be gone is not known" in text_of(get(watch, "/budgets/pricing-availability").text)
    down = get(watch, "/budgets/notification-delivery").text
    assert "chance" not in text_of(down) and "will last" not in text_of(down)


def test_the_words_of_a_forecast() -> None:
    def words_of(**more: object) -> str:
        given = {
            "state": "may run out",
            "spent": 0.5,
            "horizon_at": NOW + 30 * 86400,
            "chance": 0.62,
            "days": 20,
            **more,
        }
        return foresight.said(Forecast(**given), NOW).replace("\u00a0", " ")  # type: ignore[arg-type]

    assert words_of(early_at=NOW + 86400, middle_at=NOW + 3 * 86400, late_at=NOW + 9 * 86400) == (
        "62 % chance that it is gone by 21 Oct 14:13: in eight of ten futures between 22 Sep 14:13 and 30 Sep 14:13."
    )
    assert words_of(early_at=NOW + 86400).endswith("in one of ten futures before 22 Sep 14:13.")
    assert words_of(state="not within the horizon", chance=0.0) == (
        "It will last beyond 21 Oct 14:13, as far as 20 days of history say (hardly any chance of less)."
    )
    assert (
        words_of(state="not known", why="no traffic was seen")
        == "When it will be gone is not known: no traffic was seen."
    )
    assert words_of(state="spent") == "" and foresight.said(None, NOW) == ""
    assert words_of(early_at=NOW + 86400, at_this_rate_seconds=7200.0).endswith(
        "If the last hour goes on, it is gone in 2 h."
    )


def test_a_forecast_is_played_once_a_minute() -> None:
    ledger = FakeWatch("promises", NOW).memory.ledgers["search-freshness"]
    seer, slo = foresight.Foresight(), STATES["slowly"]

    async def go() -> list[Forecast | None]:
        return [await seer.of(slo, slo.name, ledger, (), NOW + after) for after in (0.0, 30.0, 61.0)] + [
            await seer.of(slo, "other", None, (), NOW)
        ]

    first, again, later, nothing = asyncio.run(go())
    assert first is again and first is not later and nothing is None
