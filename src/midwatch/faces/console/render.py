"""Templates and what they are given: whole pages, a page's inside for the live stream, login and confirmation."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markdown_it import MarkdownIt
from markupsafe import Markup

from midwatch.core.decide.obey import incident_of
from midwatch.faces.console import alerts, alerts_page, budget_page, pages, words
from midwatch.faces.console.foresight import Foresight
from midwatch.faces.console.incident import incident_page
from midwatch.faces.console.projection import JournalProjection
from midwatch.faces.console.roster import Roster
from midwatch.faces.console.sessions import Session, Sessions
from midwatch.faces.console.view import WatchView
from midwatch.model.errors import JournalError
from midwatch.model.events import CommandRefused
from midwatch.model.state import State

TEMPLATES = Path(__file__).parent / "templates"
PENDING_SECONDS = 60.0
LATE_SECONDS = 15.0
REFUSAL_SECONDS = 90.0

FILTERS = (
    *("number", "whole", "rate", "percent", "target_percent", "measured", "duration", "ago", "clock", "wall", "iso"),
    *("entity", "fault", "parameters", "check", "expectation", "evidence_numbers", "impact"),
)
_HEARD = {
    "hands_off": "Hands off was ordered.",
    "hands_on": "Hands on was ordered.",
    "declare": "Heard. The next turn opens an incident for it, or adds it to an open one.",
    "ack": "Acknowledged. Pages for {target} stop repeating.",
    "unack": "The acknowledgement of {target} was taken back: it pages again.",
    "approve": "Approved {target}. The guards have the last word.",
    "refuse": "Refused {target}.",
    "undo": "Undo of {target} was ordered.",
    "confirm_cause": "Thank you. The cause of {target} was noted as confirmed.",
    "resolve": "Resolve of {target} was ordered.",
    "autonomy": "The new level of {target} was ordered.",
    "note": "Noted.",
    "swap_answer": "The answer to {target} was noted.",
    "escalate": "Help for {target} was asked for: the next level is woken.",
    "silence": "A silence was ordered.",
    "unsilence": "The end of {target} was ordered.",
    "merge": "To make it part of {target} was ordered.",
    "split": "To open an incident of its own for a part of {target} was ordered.",
    "move": "To move a part of {target} was ordered.",
    "role": "Who does it in {target} was noted.",
    "decide": "The decision was noted for {target}.",
    "tick": "A step of {target} was ticked.",
    "untick": "A step of {target} is open again.",
    "task": "The task was noted for {target}.",
    "task_give": "Who does it was noted for {target}.",
    "task_done": "A task of {target} is done.",
    "severity": "A rating of {target} was ordered.",
}


class Renderer:
    """Renders one watch. ``page`` gives (HTML, status); ``inside`` the same without the frame around it."""

    def __init__(self, watch: WatchView, sessions: Sessions, clock: Callable[[], float]) -> None:
        self.watch, self.sessions, self.clock = watch, sessions, clock
        self.projection = JournalProjection(watch.journal)
        self._hands_pending: tuple[bool, float] | None = None
        self._markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
        self._env = environment()
        self._foresight = Foresight()
        self._roster = Roster(watch.journal)

    def gave(self, verb: str, target: str, at: float) -> None:
        """A command was journaled; the page shows it as pending until state says that it was obeyed."""
        if verb in ("hands_off", "hands_on"):
            self._hands_pending = (verb == "hands_off", at)

    @staticmethod
    def heard(verb: str, target: str) -> str:
        return _HEARD.get(verb, "Done.").format(target=target or "it")

    def pending_hands(self, now: float) -> dict[str, Any] | None:
        if self._hands_pending is None:
            return None
        off, at = self._hands_pending
        if self.watch.hands_off == off or now - at > PENDING_SECONDS:
            self._hands_pending = None
            return None
        return {"off": off, "at": at, "late": now - at > LATE_SECONDS}

    async def page(self, path: str, session: Session, said: tuple[str, str] | None = None) -> tuple[str, int]:
        return await self._show(path, session, said, whole=True)

    async def inside(self, path: str, session: Session, said: tuple[str, str] | None = None) -> tuple[str, int]:
        return await self._show(path, session, said, whole=False)

    async def found(self, path: str, session: Session) -> str:
        """The inside of a page that was asked for anew (other words to find), and a stream that goes on with that."""
        text, _ = await self.inside(path, session)
        return text + self._env.get_template("stream.html").render(place=path, anew=True)

    async def confirm(self, session: Session, form: dict[str, str], back: str) -> str:
        """Asks again, under a token that holds: the page was from before a restart, or not ours."""
        kept = {k: form.get(k, "") for k in ("verb", "target", "value", "note")}
        context = await self._context("/confirm", session, None)
        return self._env.get_template("confirm.html").render(**context, whole=True, form=kept, back_to=back)

    def login(self, onward: str, why: str = "") -> str:
        return self._env.get_template("login.html").render(onward=onward, why=why, sessions=self.sessions)

    async def _show(self, path: str, session: Session, said: tuple[str, str] | None, whole: bool) -> tuple[str, int]:
        path, _, query = path.partition("?")
        asked = dict(parse_qsl(query, max_num_fields=5))
        context = await self._context(path, session, said, query)
        view = context["view"]
        head, _, ident = path.strip("/").partition("/")
        status, name, more = 200, "missing.html", {}
        told = self.projection
        if head in ("incidents", "postmortems") and ident in view.state.incidents:
            told = await told.recall(view.state.incidents[ident])
        match (head, ident):
            case ("", ""):
                name, more = "watch.html", pages.watch_page(view, self.watch, self.projection)
            case ("incidents", ""):
                name, more = "incidents.html", pages.incidents_page(view, self.projection)
            case ("incidents", _) if ident in view.state.incidents:
                incident = view.state.incidents[ident]
                name, more = "incident.html", incident_page(view, incident, told, self.watch.memory)
            case ("budgets", ""):
                name, more = "budgets.html", pages.budgets_page(view, self.watch, asked)
            case ("budgets", _) if budget_page.find(view.state, self.watch.memory, ident) is not None:
                name, more = "budget.html", await self._budget(view, ident)
            case ("alerts", ""):
                name, more = "alerts.html", await asyncio.to_thread(alerts_page.alerts_page, view, self.watch, asked)
            case ("oncall", ""):
                name, more = "oncall.html", await self._roster.page(view.state, view.now)
            case ("actions", ""):
                name, more = "actions.html", pages.actions_page(view)
            case ("postmortems", ""):
                name, more = "postmortems.html", pages.postmortems_page(view)
            case ("postmortems", _) if (written := told.story(ident).postmortem) is not None:
                name = "postmortem.html"
                html = Markup(self._markdown.render(written[1]))
                more = {"ident": ident, "at": written[0], "html": html}
            case ("health", ""):
                name, more = "health.html", pages.health_page(view, self.watch)
            case _:
                status = 404
        return self._env.get_template(name).render(**context, **more, whole=whole), status

    def _refusals(self, state: State, now: float) -> list[CommandRefused]:
        """What was not done lately, and still matters: not what is about an incident that was over since, nor the second
        acknowledgement of somebody who has it."""
        found = []
        for one in self.projection.refusals:
            said = one.event
            if isinstance(said, CommandRefused) and 0 <= now - one.at < REFUSAL_SECONDS:
                about = incident_of(state, said.target)
                over = about is not None and about.resolved_at is not None and about.resolved_at > one.at
                theirs = about is not None and said.verb == "ack" and about.acknowledged_by == said.by
                if not (over or theirs):
                    found.append(said)
        return found[-3:]

    async def _budget(self, view: pages.View, ident: str) -> dict[str, Any]:
        memory = self.watch.memory
        found = budget_page.find(view.state, memory, ident)
        foreseen = None
        if found is not None:
            foreseen = await self._foresight.of(*found, memory.ledgers.get(found[1]), view.state.adjustments, view.now)
        return budget_page.budget_page(view.state, memory, view.fleet, view.world, view.now, ident, foreseen)

    async def _context(
        self, path: str, session: Session, said: tuple[str, str] | None, query: str = ""
    ) -> dict[str, Any]:
        with contextlib.suppress(
            JournalError
        ):  # the page then says that the journal cannot be read, and shows the rest
            await self.projection.catch_up(self.watch.state.seq, self.watch.state)
        now = self.clock()
        view = pages.read_view(self.watch, self.projection, now)
        return {
            "view": view,
            "state": view.state,
            "now": now,
            "banner": pages.banner(view),
            "path": path,
            "place": f"{path}?{query}" if query else path,
            "anew": False,
            "session": session,
            "csrf": self.sessions.csrf(session),
            "said": said,
            "pending_hands": self.pending_hands(now),
            "refusals": self._refusals(view.state, now),
            "needs_login": self.sessions.needs_login,
            "seq": view.state.seq,
        }


@cache
def environment() -> Environment:
    """Jinja with autoescape always on and the words of ``words.py`` as filters. One for all: compiling a template takes
    longer than filling it, and that of the first page is compiled before anybody waits for it."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in FILTERS:
        env.filters[name] = getattr(words, name)
    env.filters["plot_json"] = lambda plot: json.dumps(plot, separators=(",", ":"), allow_nan=False)
    env.filters["window"] = alerts.window
    env.filters["arrows"] = lambda text: text.replace(
        " -> ", f"{words.NBSP}→ "
    )  # from -> to, which must not break in the arrow
    env.filters["finite"] = lambda value: value is not None and value == value
    env.globals["PHASES"] = words.PHASES
    env.globals["AUTONOMY"] = words.AUTONOMY
    env.globals["EVIDENCE"] = words.EVIDENCE
    for name in ("base.html", "macros.html", "watch.html"):
        env.get_template(name)
    return env
