"""The console in a real Chromium: live updates, keyboard, narrow screens, and a quiet error log."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tests.conftest import missing

from midwatch.faces.console.app import console_app
from midwatch.faces.console.fakes import FakeWatch
from midwatch.model import events as e

pytestmark = pytest.mark.integration
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    path = CHROMIUM if Path(CHROMIUM).exists() else shutil.which("chromium")
    if path is None:
        missing("Chromium is not installed: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("Playwright is not installed: make venv")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Served:
    """A console on a free port, in a thread of its own."""

    def __init__(self, mood: str, token: str | None = None) -> None:
        self.watch = FakeWatch(mood, time.time(), token)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.app = console_app(self.watch)
        self._server = uvicorn.Server(uvicorn.Config(self.app, log_level="warning", timeout_graceful_shutdown=1))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)

    def __enter__(self) -> Served:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(5)


@pytest.fixture(scope="module")
def incident() -> Iterator[Served]:
    with Served("incident") as served:
        yield served


LIVE = "!!document.querySelector('#stream')._htmx?.sse"

STATE = """[document.hidden, document.readyState, typeof htmx, document.querySelector('#notlive').textContent,
    Object.keys(document.querySelector('#stream')._htmx || {}), performance.getEntriesByType('resource').map(
    r => [r.name, r.responseStatus, r.duration])]"""


def until(page: Any, expression: str, seconds: float = 20.0) -> None:
    """Wait until ``expression`` holds. (Playwright's own wait evaluates strings in the page, which the CSP forbids.)"""
    deadline = time.time() + 2 * seconds
    while not page.evaluate(expression):
        assert time.time() < deadline, (expression, page.evaluate(STATE))
        page.wait_for_timeout(50)


def page_of(chromium: Any, width: int, dark: bool = False, **more: Any) -> tuple[Any, list[str]]:
    """A page and what it complained about."""
    scheme = "dark" if dark else "light"
    context = chromium.new_context(viewport={"width": width, "height": 780}, color_scheme=scheme, **more)
    page = context.new_page()
    troubles: list[str] = []
    page.on("console", lambda m: troubles.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith("http://127.0.0.1:") else troubles.append(r.url))
    return page, troubles


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_every_page_fits_and_complains_of_nothing(chromium: Any, incident: Served, width: int) -> None:
    page, troubles = page_of(chromium, width, dark=width == 360)
    one = "/budgets/gateway-availability"
    for path in ("/", "/incidents", "/incidents/INC-7", "/budgets", one, "/actions", "/postmortems", "/health"):
        page.goto(incident.url + path)
        until(page, LIVE)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate("[...document.querySelectorAll('.tabs a')].every(n => n.scrollHeight <= 61)"), (
            "one line each"
        )
        if path in (one, "/incidents/INC-7"):
            assert page.locator("figure.plot canvas").count() >= (1 if path == one else 2)
        if path == one:
            shown = [page.locator(f"#main svg.{kind}").first.is_visible() for kind in ("p-wide", "p-tall")]
            assert shown == ([True, False] if width > 759 else [False, True])
    assert troubles == []
    page.context.close()


def test_what_can_be_touched_is_large_enough(chromium: Any, incident: Served) -> None:
    page, _ = page_of(chromium, 360, has_touch=True, is_mobile=True)
    alone = (
        "h3 a, .facts a, .plain > li > a, .crumb a, .foot p a, .head > a, .alert-row a, label:has(> [type=checkbox])"
    )
    with Served("alerts") as others:
        page.goto(others.url + "/alerts")
        assert page.locator(".alert-row summary").first.evaluate("n => n.getBoundingClientRect().height") >= 44
        assert page.locator(".tick").first.evaluate("n => n.getBoundingClientRect().width") >= 44
    for path in ("/", "/incidents", "/incidents/INC-7", "/budgets", "/actions"):
        page.goto(incident.url + path)
        small = page.evaluate(
            f"[...document.querySelectorAll('button, .btn, .tabs a, .brand, summary, select, {alone}')]"
            ".filter(b => b.getClientRects().length && b.getBoundingClientRect().height < 44).map(b => b.textContent)"
        )
        assert small == [], path
        unnamed = page.evaluate(
            "[...document.querySelectorAll('a, button, input:not([type=hidden]), svg[role=img]')].filter(n =>"
            " !(n.textContent.trim() || n.getAttribute('aria-label') || n.getAttribute('aria-labelledby')"
            " || n.labels?.length)).map(n => n.outerHTML)"
        )
        assert unnamed == [], path
    page.context.close()


def test_a_telephone_begins_with_what_is_needed_first(chromium: Any, incident: Served) -> None:
    page, _ = page_of(chromium, 390)
    where = "n => n.getBoundingClientRect().bottom"
    for path in ("/", "/incidents/INC-7"):
        page.goto(incident.url + path)
        until(page, LIVE)
        tabs = page.locator(".tabs").bounding_box()["y"]
        assert page.locator("#do-ack-INC-7 button").evaluate(where) < tabs, path
    folds = "[...document.querySelectorAll('details.fold')].map(n => n.open)"
    assert page.evaluate(folds) == [False] * 5, "the runner-up, whom to tell, how far to trust it, its parts, before"
    page.goto(incident.url)
    assert page.locator("#do-ack-INC-7 button").evaluate(where) < page.locator("[id^=do-undo] button").evaluate(where)
    assert page.locator(".tabs a[href='/oncall']").is_visible()
    with Served("blind") as blind:
        page.goto(blind.url)
        assert page.locator(".banner a[href='/health']").evaluate(where) < page.locator("#did-h").evaluate(where)
    page.set_viewport_size({"width": 1280, "height": 780})
    page.goto(incident.url + "/incidents/INC-7")
    assert page.evaluate(folds) == [True] * 5
    page.context.close()


def test_an_update_arrives_by_itself_and_spoils_nothing(chromium: Any) -> None:
    with Served("incident") as served:
        page, troubles = page_of(chromium, 390)
        page.goto(served.url + "/incidents/INC-7")
        until(page, LIVE)
        page.locator("#hyp-2-more > summary").click()
        page.locator("#who-name").fill("Ad")
        served.watch.say(time.time(), e.UpdateWritten("INC-7", "The pool is wide enough now."))
        until(page, "document.querySelector('#update').textContent.includes('wide enough now')")
        assert page.locator("#hyp-2-more").get_attribute("open") is not None
        assert page.locator("#who-name").input_value() == "Ad"
        assert page.evaluate("document.activeElement.id") == "who-name"
        assert page.locator("#notlive").is_hidden()
        assert troubles == []
        page.context.close()


def test_a_part_is_split_off_and_a_tick_outlives_an_update(chromium: Any) -> None:
    with Served("busy") as served:
        page, troubles = page_of(chromium, 390)
        page.goto(served.url + "/incidents/INC-7")
        until(page, LIVE)
        page.locator("#group-fold > summary").click()
        page.locator("#regroup input[value='service:checkout']").focus()
        page.keyboard.press("Space")
        page.locator("#merge-with").select_option("INC-8")
        served.watch.say(time.time(), e.UpdateWritten("INC-7", "The pool is wide enough now."))
        until(page, "document.querySelector('#update').textContent.includes('wide enough now')")
        assert page.locator("#regroup input[value='service:checkout']").is_checked()
        assert not page.locator("#regroup input[value='service:gateway']").is_checked()
        ident = f"INC-{served.watch.state.next_incident}"
        page.get_by_role("button", name="Split off what is ticked").click()
        page.get_by_text("was ordered").first.wait_for(timeout=15000)
        until(page, f"document.querySelector('#merge-with').textContent.includes('{ident}')")
        assert served.watch.state.incidents[ident].symptoms == ("service:checkout",)
        assert page.locator("#regroup input[type=checkbox]").count() == 0, "nothing is left to take apart"
        assert page.locator("#merge-with").input_value() == "INC-8", "what was chosen stays chosen"
        page.get_by_role("button", name="Merge it into INC-7").click()
        page.get_by_text("Includes").first.wait_for(timeout=15000)
        assert served.watch.state.incidents["INC-8"].merged_into == "INC-7"
        assert troubles == []
        page.context.close()


def test_the_stream_opens_however_late_its_script_comes(chromium: Any, incident: Served) -> None:
    page, troubles = page_of(chromium, 390)
    page.route("**/hx-sse.min.js", lambda route: (time.sleep(1.0), route.continue_()))
    for _ in range(3):
        page.goto(incident.url)
        until(page, LIVE)
    assert troubles == []
    page.context.close()


def test_an_incident_is_announced(chromium: Any) -> None:
    with Served("healthy") as served:
        page, _ = page_of(chromium, 390)
        page.goto(served.url)
        until(page, LIVE)
        page.evaluate("window.kept = document.querySelector('#announce')")
        served.watch.say(time.time(), e.IncidentOpened("INC-9", "checkout fails", time.time(), 1, "half", (), ()))
        until(page, "document.querySelector('#announce').textContent.includes('checkout fails')")
        assert page.evaluate("window.kept === document.querySelector('#announce')")  # or no screen reader would speak
        assert "SEV1" in page.title()
        page.context.close()


def test_the_kill_switch_by_keyboard(chromium: Any) -> None:
    with Served("incident") as served:
        page, troubles = page_of(chromium, 1280)
        page.goto(served.url)
        until(page, LIVE)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.classList.contains('kill')"):
                break
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        page.keyboard.press("Enter")
        page.get_by_text("Hands are off").first.wait_for(timeout=15000)
        assert served.watch.state.hands_off
        page.locator("#handson > summary").focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.locator("#hands button.kill").wait_for(timeout=15000)
        assert not served.watch.state.hands_off and troubles == []
        page.context.close()


def test_a_page_says_when_it_is_no_longer_live(chromium: Any) -> None:
    with Served("healthy") as served:
        page, _ = page_of(chromium, 390)
        page.goto(served.url)
        until(page, LIVE)
        page.wait_for_timeout(400)
        served.__exit__()
        page.locator("#notlive").wait_for(state="visible", timeout=20000)
        assert "Not live since" in page.locator("#notlive").inner_text()
        page.context.close()


def test_streams_end_with_their_page(chromium: Any) -> None:
    with Served("healthy") as served:
        page, _ = page_of(chromium, 390)
        page.goto(served.url)
        until(page, LIVE)
        streams = served.app.state.streams

        def becomes(many: int) -> None:
            """The page knows of its stream before the server does."""
            deadline = time.monotonic() + 60
            while streams.open_now != many:
                assert time.monotonic() < deadline, streams.open_now
                time.sleep(0.05)

        becomes(1)
        page.goto(served.url + "/budgets")
        until(page, LIVE)
        becomes(1)
        page.context.close()
        becomes(0)


def test_what_is_looked_for_is_found_while_typing_and_stays_found(chromium: Any) -> None:
    with Served("promises") as served:
        page, troubles = page_of(chromium, 1280)
        page.goto(served.url + "/budgets")
        until(page, LIVE)
        every = page.locator(".prom").count()
        page.locator("#find-q").click()
        page.keyboard.type("catalog", delay=40)
        until(page, "document.querySelectorAll('.prom').length === 2")
        until(page, "location.search === '?q=catalog'")
        assert every > 10 and page.evaluate("document.activeElement.id") == "find-q"
        until(page, LIVE)
        served.watch.pass_time(5)
        served.watch.say(served.watch.now, e.HandsOffChanged(True, "anna", "page"))
        until(page, "document.querySelector('#hands-note') !== null")  # the stream goes on, with what was looked for
        assert page.locator(".prom").count() == 2 and page.input_value("#find-q") == "catalog"
        page.get_by_role("link", name="ok 2").click()
        assert page.url.endswith("/budgets?q=catalog&state=ok") and page.locator(".prom").count() == 2
        assert troubles == []
        page.context.close()


def test_signing_in_and_working_without_javascript(chromium: Any) -> None:
    with Served("incident", token="lantern") as served:
        page, troubles = page_of(chromium, 360, java_script_enabled=False)
        page.goto(served.url + "/incidents/INC-7")
        page.get_by_label("Your name, for the journal").fill("Ada")
        page.get_by_label("Token").fill("lantern")
        page.get_by_role("button", name="Sign in").click()
        assert page.url == served.url + "/incidents/INC-7"
        page.get_by_role("button", name="Acknowledge").click()
        assert "Ada has it" in page.content() and "lantern" not in page.url
        assert served.watch.state.incidents["INC-7"].acknowledged_by == "Ada"
        assert troubles == []
        page.context.close()
