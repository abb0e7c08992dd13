"""The page of other systems' alerts: which, where each was put and why; what is silenced; who sends. And its forms that act
on several at once, which are bounded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlencode

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from msgspec import Struct

from midwatch.faces.console.pages import View
from midwatch.faces.console.sessions import Session, Sessions, same_origin
from midwatch.faces.console.view import WatchView
from midwatch.model.alerts import INFORMS, AlertRecord
from midwatch.model.errors import MidwatchError, UsageError
from midwatch.model.events import CommandGiven
from midwatch.shell import alert_views

if TYPE_CHECKING:
    from midwatch.faces.console.render import Renderer  # which draws this page

PER_PAGE: Final = 50
MAX_BULK: Final = 50
"""Alerts that one form acts on: a page's worth."""
MAX_BULK_BYTES: Final = 128 * 1024
MAX_QUERY_CHARS: Final = 100
_CHIPS: Final = (
    ("grouped", "In incidents", "bad"),
    ("flapping", "Come and go", "warn"),
    ("silenced", "Silenced", "idle"),
    ("maintenance", "In maintenance", "idle"),
    ("inhibited", "Made needless", "idle"),
    ("informs", "Only inform", "info"),
    ("over", "Over", "ok"),
)


class Chip(Struct, frozen=True):
    place: str
    word: str
    tone: str
    count: int
    link: str


class Row(Struct, frozen=True):
    record: AlertRecord
    tone: str
    where: str
    wakes_nobody: str


def alerts_page(view: View, watch: WatchView, asked: Mapping[str, str]) -> dict[str, Any]:
    """``asked`` is what the address says: ``q`` (words or matchers), ``state`` (a place) and ``page``."""
    query, place = asked.get("q", "")[:MAX_QUERY_CHARS], asked.get("state", "")
    place = place if place in alert_views.PLACES else ""
    number = asked.get("page", "1")
    page = max(1, min(2000, int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 1))
    why = ""
    try:
        found = alert_views.find(
            view.state, alert_views.Asked(query, place, limit=PER_PAGE, offset=(page - 1) * PER_PAGE)
        )
    except UsageError as error:
        found, why = alert_views.Found((), 0, {}), str(error)
    pages = max(1, -(-found.total // PER_PAGE))
    return {
        "rows": [
            Row(r, _tone(r), _WHERE.get(r.place, "not yet looked at"), alert_views.wakes(view.state, r, view.now))
            for r in found.records
        ],
        "total": found.total,
        "chips": [
            Chip(name, word, tone, found.counts[name], at_page(query, name, 1))
            for name, word, tone in _CHIPS
            if found.counts.get(name)
        ],
        "open_count": sum(n for name, n in found.counts.items() if name != "over"),
        "query": query,
        "place_asked": place,
        "page": page,
        "pages": pages,
        "first": (page - 1) * PER_PAGE + 1,
        "at_page": lambda n: at_page(query, place, n),
        "all_link": at_page(query, "", 1),
        "unreadable": why,
        "silences": alert_views.silences(view.state, view.now),
        "senders": watch.senders(),
        "max_bulk": MAX_BULK,
        "open_incidents": [i.id for i in view.state.open_incidents][-100:],
    }


_WHERE: Final = {name: word.lower() for name, word, _ in _CHIPS}


def _tone(record: AlertRecord) -> str:
    if record.place == "grouped":
        return "bad" if record.alert.severity <= 2 else "warn" if record.alert.severity < INFORMS else "info"
    return next((tone for name, _, tone in _CHIPS if name == record.place), "nodata")


def at_page(query: str, place: str, page: int) -> str:
    """The address of a page of the list."""
    asked = {"q": query, "state": place, "page": str(page) if page > 1 else ""}
    told = urlencode({name: value for name, value in asked.items() if value})
    return f"/alerts?{told}" if told else "/alerts"


def add_bulk_form(
    app: FastAPI,
    watch: WatchView,
    sessions: Sessions,
    renderer: Renderer,
    say: Callable[[Session, str, str], None],
    safe_path: Callable[[str], str],
) -> None:
    """``POST /alerts/do``: the ticked alerts are closed or moved, each as a command of its own."""

    @app.post("/alerts/do")
    async def bulk(request: Request) -> Response:
        session: Session = request.state.session
        form = await _form(request)
        if form is None:
            return PlainTextResponse("That form is too large.\n", status_code=413)
        back = safe_path(form.get("back", ["/alerts"])[0])
        if not same_origin(request) or not sessions.csrf_holds(session, form.get("csrf", [""])[0]):
            return PlainTextResponse("Reload the page and try again.\n", status_code=403)
        verb, keys = form.get("verb", [""])[0], tuple(dict.fromkeys(form.get("key", [])))
        if verb not in ("close_alert", "move_alert"):
            return PlainTextResponse("There is no such button.\n", status_code=400)
        tone, text = await _each(watch, session, verb, keys, form.get("into", [""])[0])
        if request.headers.get("hx-request") == "true":
            inside, status = await renderer.inside(back, session, said=(tone, text))
            return HTMLResponse(inside, status_code=status)
        say(session, tone, text)
        return RedirectResponse(back, status_code=303)


async def _each(watch: WatchView, session: Session, verb: str, keys: tuple[str, ...], into: str) -> tuple[str, str]:
    if not 1 <= len(keys) <= MAX_BULK:
        return "bad", f"Nothing was done: tick 1 to {MAX_BULK} alerts."
    if verb == "move_alert" and not into:
        return "bad", "Nothing was done: say which incident they belong to."
    done = 0
    for key in keys:
        try:
            given = CommandGiven(verb, session.name, key[:600], into[:40], "", "page", session.credential)
            await watch.command(given)
        except MidwatchError as error:
            return "bad", f"{done} of {len(keys)} were ordered, then: {error}."
        done += 1
    word = "Closing" if verb == "close_alert" else f"Moving to {into}"
    return "info", f"{word}: {done} {'alerts' if done > 1 else 'alert'} ordered."


async def _form(request: Request) -> dict[str, list[str]] | None:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BULK_BYTES:
            return None
    try:
        return parse_qs(body.decode("utf-8", "replace"), max_num_fields=MAX_BULK + 20)
    except ValueError:
        return None
