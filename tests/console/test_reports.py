"""Pages that stand alone: the monthly report and the picture of a back-test."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from markdown_it import MarkdownIt
from tests.console.test_pages import NOW, text_of
from tests.slo.accounts import account_of

from midwatch.core.oncall.wall import reached
from midwatch.core.slo.burndown import BurnDown
from midwatch.core.slo.month import MonthReport
from midwatch.core.slo.report import report
from midwatch.core.slo.score_alerts import Labelled, backtest
from midwatch.core.slo.simulate import Series
from midwatch.core.slo.tiers import GUARDED, TEXTBOOK
from midwatch.faces.console.backtest import Played, binned, picture, render
from midwatch.faces.console.fakes import HOSTILE, MOODS, FakeWatch
from midwatch.model.slo import Slo
from midwatch.shell import slo_report
from midwatch.shell.markdown import bars
from midwatch.shell.plots import Mark, burn_down_svg

MONTH = "2026-09"


class _Sources(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def stands_alone(page: str) -> None:
    """Nothing is fetched, nothing runs, every plot has words, every table its headers, and nothing unknown is a number."""
    parser = _Sources()
    parser.feed(page)
    for tag, attrs in parser.tags:
        assert tag not in ("script", "link", "img", "iframe", "object", "embed"), tag
        for name in ("src", "href", "data", "action", "xlink:href"):
            assert str(attrs.get(name) or "#").startswith("#"), (tag, attrs)
        assert not any(name.startswith("on") for name in attrs), attrs
        if tag == "svg":
            assert attrs.get("role") == "img" and attrs.get("aria-label")
        if tag == "th":
            assert attrs.get("scope") in ("col", "row")
    assert "url(" not in page and "@import" not in page and "http://" not in page and "https://" not in page
    names = [tag for tag, _ in parser.tags]
    assert names.count("h1") == 1 and names.count("main") == 1
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", text_of(page)), re.search(
        r"\bnan\b|\bNone\b|\binf\b", text_of(page)
    )


def month_of(mood: str) -> MonthReport:
    watch = FakeWatch(mood, NOW)
    return slo_report.month_report(watch.state, watch.memory.ledgers, MONTH, now=NOW)


@pytest.mark.parametrize("mood", MOODS)
def test_the_report_stands_alone_in_every_mood(mood: str) -> None:
    facts = month_of(mood)
    page, words = slo_report.render(facts, "html"), slo_report.render(facts, "md")
    stands_alone(page)
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", words)
    assert len(facts.promises) == 0 if mood == "empty" else all(kept.name in words for kept in facts.promises)


def test_both_forms_say_the_same_facts() -> None:
    facts = month_of("promises")
    page, words = text_of(slo_report.render(facts, "html")), slo_report.render(facts, "md")
    by_name = {kept.name: kept for kept in facts.promises}
    spent = by_name["checkout-availability"]
    assert spent.month.standing == "missed" and facts.promises[0].month.standing == "missed"
    for said in (
        f"{slo_report.count(spent.month.bad)} failed, {slo_report.count(spent.month.allowed or 0)} were allowed",
        slo_report.percent(spent.month.spent),
        "a load test, no customer",
        "Checkout fails for 35 % of the requests",
        "its Prometheus refuses the connection",
        spent.worst[0].date,
    ):
        assert said in page and said in words.replace("\\", ""), said
    assert "no data" in words and "no traffic" in words and "no errors so far" in words
    assert len(spent.corrections) == 2 and {c.kind for c in spent.corrections} == {"exclude", "give_back"}
    given = next(c for c in spent.corrections if c.kind == "give_back")
    assert (given.good, given.total) == (18.0, 0.0)
    assert "(+18 good, 0 in all)" in words and re.search(r"% spent, [\d.]+ d of it seen", words)
    assert "tenants-availability{tenant=globex}" in words.replace("\\", "")


def test_what_is_not_known_of_most_promises_is_said_once() -> None:
    page = slo_report.render(month_of("promises"), "html")
    assert page.count("The month is not over") == 1 and "What is not known of most" in page
    assert page.count("Nothing was counted in this month.") == 1, "what concerns one promise stands with it"


def test_the_markdown_is_markdown_whatever_people_wrote() -> None:
    evil = Slo(f"a|b*{HOSTILE}", "service:x", "ratio", 0.99, owner="[x](http://evil)", description="# big\n| row |")
    hours = np.arange(NOW - 86400, NOW, 3600.0)
    total = np.full(24, 10.0)
    one = account_of(evil, hours, total - 1, total, step_seconds=3600, first_at=NOW - 86400, seen_until=NOW)
    facts = report([one], MONTH, now=NOW)
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(slo_report.render(facts, "md"))
    assert "<script" not in html and "<a " not in html and html.count("<h1>") == 1 and html.count("<table>") == 1
    assert len(re.findall("<td", html)) == 6
    page = slo_report.render(facts, "html")
    assert HOSTILE not in page and "<a href" in page
    stands_alone(page.replace("http://evil", "evil"))


def test_bars_and_numbers_in_words() -> None:
    assert bars([0.0, None, 0.1, 0.8, 0.4]) == "·?▂█▅"
    assert bars([]) == "" and bars([None]) == "?"
    assert [slo_report.percent(v) for v in (None, float("nan"), 0.9987, 0.5, 0.0123, 2.0, 0.0, 1.0)] == [
        "not known", "not known", "99.87 %", "50 %", "1.23 %", "200 %", "0 %", "100 %",
    ]  # fmt: skip
    assert [slo_report.target(v) for v in (0.99, 0.9995, 1.0)] == ["99 %", "99.95 %", "100 %"]


def test_labels_in_a_plot_are_never_written_over_each_other_and_incidents_come_first() -> None:
    line = BurnDown(0.0, 30 * 86400.0, np.array([0.0, 86400.0]), np.array([1.0, 0.9]))
    marks = [
        Mark(10 * 86400.0, "change", "deploy", "deploy: <b>"),
        Mark(10 * 86400.0 + 60, "incident", "INC-1", "down", 10 * 86400.0 + 7200),
        Mark(29.9 * 86400.0, "change", "config", "config"),
        Mark(90 * 86400.0, "change", "later", "outside"),
    ]
    drawn = burn_down_svg(line, "words", marks=marks)
    labels = re.findall(r'class="p-label[^>]*>([^<]+)<', drawn)
    assert labels == ["INC-1", "config"] and "<b>" not in drawn and "outside" not in drawn
    assert drawn.count('class="p-change"') == 2 and drawn.count('class="p-incident"') == 1


# back-tests

SLO = Slo("pay", "service:payment", "ratio", 0.999)


def history() -> tuple[Series, list[Labelled]]:
    """20 days at 4 req/min, 0.05 % failing; two outages, one of which is labelled, and one slow burn that is labelled."""
    rng = np.random.default_rng(5)
    steps = 20 * 1440
    total = rng.poisson(4, steps).astype(float)
    ratio = np.full(steps, 0.0005)
    ratio[5 * 1440 : 5 * 1440 + 40] = 0.5
    ratio[9 * 1440 : 9 * 1440 + 30] = 0.6
    bad = rng.binomial(total.astype(int), ratio).astype(float)
    start = NOW - steps * 60
    labelled = [
        Labelled(start + 5 * 86400, start + 5 * 86400 + 2400, "INC-1"),
        Labelled(start + 15 * 86400, start + 15 * 86400 + 600, "INC-2"),
    ]
    return Series(bad, total, 60.0, start), labelled


@pytest.mark.parametrize(
    ("begin", "days", "dated", "zone"),
    [
        ("2026-10-01", 31, 2, "Europe/Berlin"),
        ("2026-03-01", 31, 2, "Europe/Berlin"),
        ("2026-10-22", 7, 1, "Europe/Berlin"),
        ("2026-11-01", 30, 2, "America/St_Johns"),
        ("2026-03-27", 4, 1, "Asia/Beirut"),  # a midnight that the clock jumps over
    ],
)
def test_dates_under_a_plot_stand_at_their_midnights_whatever_the_clocks_do(
    begin: str, days: int, dated: int, zone: str
) -> None:
    first = datetime.fromisoformat(begin)
    start, end = (day.replace(tzinfo=ZoneInfo(zone)).timestamp() for day in (first, first + timedelta(days=days)))
    nothing = np.array([])
    line = BurnDown(start, end, nothing, nothing)
    width = 50 + 72 * (days // dated + 2)  # room for these dates and no more
    pixel = (end - start) / (width - 60)
    drawn = burn_down_svg(line, "", time_zone=zone, width=width)
    found = re.findall(r'x="([\d.]+)" y="274">([^<]*)<', drawn)
    assert len(found) >= days // dated - 2
    each = {f"{day:%d %b}".lstrip("0"): day for day in (first + timedelta(days=n) for n in range(days))}
    for x, label in found:
        assert start + (float(x) - 50) * pixel == pytest.approx(reached(each.pop(label), zone), abs=0.06 * pixel)


def test_a_back_test_is_a_picture_with_its_scores() -> None:
    series, incidents = history()
    one, two = backtest(series, SLO, GUARDED, incidents), backtest(series, SLO, TEXTBOOK, incidents)
    page = render([Played(SLO, series, one, two)], made_at=NOW)
    stands_alone(page)
    text = text_of(page).replace("\u00a0", " ")
    assert "Back-test of guarded against textbook" in text and "not found" in text and "INC-2" in text
    for score in (one, two):
        assert f"{score.policy} found {sum(f.found for f in score.incidents)} and paged {len(score.pages)} time" in text
        drawn = len(score.pages)
        assert drawn >= 2 and sum(not p.true for p in score.pages) >= 1
    right = sum(p.true for s in (one, two) for p in s.pages)
    wrong = sum(not p.true for s in (one, two) for p in s.pages)
    assert page.count('class="p-true"') == right and page.count('class="p-false"') == wrong
    assert page.count('class="p-incident"') == 2


def test_one_policy_without_labels_says_what_is_not_known() -> None:
    series, _ = history()
    page = render([Played(SLO, series, backtest(series, SLO, GUARDED))], made_at=NOW)
    stands_alone(page)
    text = text_of(page)
    assert "not known" in text and "No incident is labelled" in text
    stands_alone(render([], made_at=NOW))


def test_a_history_without_events_has_a_picture_without_numbers() -> None:
    empty = Series(np.zeros(1440), np.zeros(1440), 60.0, NOW - 86400)
    assert "nan" not in picture(Played(SLO, empty, backtest(empty, SLO, GUARDED)))
    _, ratio = binned(empty)
    assert np.isnan(ratio).all()


def test_a_short_outage_in_a_long_history_is_not_averaged_away() -> None:
    steps = 400 * 1440
    total, bad = np.full(steps, 10.0), np.zeros(steps)
    bad[200_000:200_010] = 10.0
    edges, ratio = binned(Series(bad, total, 60.0, 0.0))
    assert ratio.size <= 480 and edges.size == ratio.size + 1 and np.nanmax(ratio) == 1.0
