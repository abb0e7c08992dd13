"""The routes about promises, asked over HTTP: what makes no sense is refused in words, and long work is beside the loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest
from tests.shell.test_watch import Script, watch_of

from midwatch.core.memory import Memory
from midwatch.core.slo.ledger import new_ledger
from midwatch.faces.api import promises
from midwatch.faces.api.app import api_app
from midwatch.model.slo import Slo
from midwatch.shell import slo_past
from midwatch.shell.config import Settings

SHOP = Slo("shop", "service:shop", "ratio", 0.99)


def ask(settings: Settings, *paths: str, clock: Callable[[], float] = time.time) -> list[httpx.Response]:
    """The answers of a watch that stands, all asked at once."""

    async def go() -> list[httpx.Response]:
        watch = watch_of(settings, Script([]), console=api_app, clock=clock)
        await watch.start()
        try:
            await watch.tick_once()
            app = httpx.ASGITransport(api_app(watch), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=app, base_url="http://127.0.0.1") as client:
                return await asyncio.gather(*(client.get(f"/api/v1/slos{path}") for path in paths))
        finally:
            await watch.stop()

    return asyncio.run(go())


@pytest.mark.parametrize("zone", ["Nope/x", "Europe", "../../etc/passwd", "/etc/passwd", "%00"])
def test_what_is_no_time_zone_is_refused_in_words(settings: Settings, zone: str) -> None:
    (answer,) = ask(settings, f"/report?month=2026-10&time_zone={zone}")
    assert answer.status_code == 400 and "time zone" in answer.text


def test_months_outside_the_calendar_and_endless_numbers_are_refused(settings: Settings) -> None:
    ends = ["0001-01&time_zone=Asia/Tokyo", "9999-12&time_zone=America/New_York", "2026-13", "x"]
    for answer in ask(settings, *(f"/report?month={end}" for end in ends)):
        assert answer.status_code == 400, answer.text
    endless = ["/x/history?since=inf", "/x/history?since=0&until=inf", "/x/alerts?per_minute=inf"]
    for answer in ask(settings, *endless):
        assert answer.status_code == 422, answer.text


def test_the_month_that_is_running_is_that_of_the_zone_that_was_asked_for(settings: Settings) -> None:
    zones = ("America/New_York", "UTC", "Pacific/Auckland")
    for day, months in (
        ("2026-12-31T23:30", "2026-12 2026-12 2027-01"),
        ("2027-01-01T00:30", "2026-12 2027-01 2027-01"),
    ):
        at = datetime.fromisoformat(f"{day}+00:00").timestamp()
        answers = ask(settings, *(f"/report?time_zone={zone}" for zone in zones), clock=lambda at=at: at)  # type: ignore[misc]
        assert [answer.json().get("month") for answer in answers] == months.split()


def test_reports_are_written_beside_the_loop_one_at_a_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    real, writing, most, threads = promises.month_report, 0, 0, set()

    def watched(*given: Any, **named: Any) -> Any:
        nonlocal writing, most
        writing += 1
        most = max(most, writing)
        threads.add(threading.current_thread())
        time.sleep(0.05)
        try:
            return real(*given, **named)
        finally:
            writing -= 1

    monkeypatch.setattr(promises, "month_report", watched)
    answers = ask(settings, *["/report?month=2026-10&time_zone=Europe/Berlin"] * 3)
    assert [answer.status_code for answer in answers] == [200] * 3 and answers[0].json()["text"]
    assert most == 1 and threading.main_thread() not in threads


def test_the_past_of_a_ledger_is_summed_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    real, threads = slo_past.of_ledger, set()

    def watched(*given: Any) -> Any:
        threads.add(threading.current_thread())
        return real(*given)

    monkeypatch.setattr(slo_past, "of_ledger", watched)
    memory = Memory(ledgers={"shop": new_ledger(1_800_000_000.0)})
    found, _ = asyncio.run(slo_past.past_of(memory, None, "shop", 0.0, 1_800_000_000.0))
    assert len(found) == 1 and threads and threading.main_thread() not in threads
