"""The page for customers as files that any web server can serve: ``index.html``, ``history.atom`` and ``status.json``.

They need nothing from here once they are written, so a copy that is served elsewhere stands when everything here is down; it
says itself as of when it is. Each file is replaced in one step: nobody reads half a page.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as Xml

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from midwatch.core.memory import Ledger
from midwatch.core.oncall.status_page import DAYS, ComponentState, Day, PublicIncident, StatusPage, status_page
from midwatch.model.state import State
from midwatch.shell.health import Health
from midwatch.shell.status_settings import StatusPageSettings

log = logging.getLogger("midwatch.status_page")

TEMPLATES: Final = Path(__file__).parent / "templates"
ATOM: Final = "http://www.w3.org/2005/Atom"
HEADLINES: Final = {
    "operational": "Everything works.",
    "degraded": "Something does not work as it should.",
    "outage": "There is an outage.",
    "no data": "We cannot see right now how it goes.",
}

DROPS: Final = {"fair": 8, "bad": 16}  # of a bar of 30: a worse day is a shorter one, for who cannot tell the colours
NOTHING: Final = "There is nothing to see here yet."


def files(page: StatusPage, url: str = "", subscribe: str = "") -> dict[str, bytes]:
    """Name -> content. ``url`` is where the page is read; the feed refers to it. ``subscribe`` is where the form for
    mail is, "" where there is none."""
    return {
        "index.html": html(page, subscribe).encode(),
        "history.atom": atom(page, url),
        "status.json": msgspec.json.format(msgspec.json.encode(page), indent=1),
    }


def page_of(settings: StatusPageSettings, state: State, ledgers: Mapping[str, Ledger], now: float) -> StatusPage:
    """The page as the settings want it, of what is known at ``now`` (unix seconds)."""
    return status_page(state, ledgers, settings.parts(), now, title=settings.title, severity=settings.severity)


def made(settings: StatusPageSettings, page: StatusPage) -> dict[str, bytes]:
    """Its files."""
    return files(page, settings.url, f"{settings.door}/subscribe" if settings.door else "")


def html(page: StatusPage, subscribe: str = "") -> str:
    """One page that fetches nothing but itself, once a minute."""
    headline = HEADLINES[page.standing] if page.components else NOTHING
    return template("status.html").render(page=page, headline=headline, days=DAYS, subscribe=subscribe)


def template(name: str) -> Template:
    """One of the pages that customers see."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        tone=lambda standing: standing.replace(" ", "-"),
        drop=lambda standing: DROPS.get(standing, 0),
        when=_when,
        iso=_iso,
        span=span_words,
        day_words=day_words,
        days_words=days_words,
        uptime_words=uptime_words,
    )
    return env.get_template(name)


def atom(page: StatusPage, url: str = "") -> bytes:
    """The incidents as a feed (RFC 4287). An entry's id stays the same, its ``updated`` moves with what is said."""
    Xml.register_namespace("", ATOM)
    base = url.rstrip("/")
    feed = Xml.Element(f"{{{ATOM}}}feed")
    _text(feed, "title", page.title)
    _text(feed, "id", base or "urn:midwatch:status")
    _text(feed, "updated", _iso(max([_said_at(i) for i in page.incidents], default=page.made_at)))
    author = Xml.SubElement(feed, f"{{{ATOM}}}author")
    _text(author, "name", page.title)
    if base:
        Xml.SubElement(feed, f"{{{ATOM}}}link", {"href": f"{base}/"})
        Xml.SubElement(feed, f"{{{ATOM}}}link", {"rel": "self", "href": f"{base}/history.atom"})
    for incident in page.incidents:
        entry = Xml.SubElement(feed, f"{{{ATOM}}}entry")
        _text(entry, "title", incident.title)
        _text(entry, "id", f"{base}/#{incident.id}" if base else f"urn:midwatch:incident:{incident.id}")
        _text(entry, "published", _iso(incident.updates[-1].at))
        _text(entry, "updated", _iso(_said_at(incident)))
        if base:
            Xml.SubElement(entry, f"{{{ATOM}}}link", {"href": f"{base}/#{incident.id}"})
        _text(entry, "content", "\n".join(f"{_when(told.at)}: {told.text}" for told in incident.updates))
    return bytes(Xml.tostring(feed, encoding="utf-8", xml_declaration=True))


def publish(found: dict[str, bytes], folder: Path) -> None:
    """Write them into ``folder``, each in one step. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in found.items():
        fresh = folder / f".{name}.new"
        fresh.write_bytes(content)
        fresh.replace(folder / name)


class Publishing:
    """Writes the page to the folder of the settings, where they name one, while ``wanted``; what is wrong with it is said as
    the trouble ``status page``."""

    def __init__(
        self,
        settings: StatusPageSettings,
        made: Callable[[], dict[str, bytes]],
        vitals: Health,
        wanted: Callable[[], bool],
    ) -> None:
        self._settings, self._made, self._vitals, self._wanted = settings, made, vitals, wanted

    async def run(self) -> None:
        """Until cancelled; at once where no folder is named."""
        while self._settings.out is not None:
            if self._wanted():
                await self.once(self._settings.out)
            await asyncio.sleep(self._settings.every_seconds)

    async def once(self, folder: Path) -> None:
        why = ""
        try:
            await asyncio.to_thread(lambda: publish(self._made(), folder))
        except OSError as error:
            why = f"the status page cannot be written to {folder}: {error.strerror}"
        if self._vitals.trouble("status page", why) and why:
            log.warning("%s", why)


def day_words(day: Day) -> str:
    """``2026-10-03: 99.98 %``."""
    date = datetime.fromtimestamp(day.at, UTC).date().isoformat()
    return f"{date}: {day.standing if day.uptime is None else share(day.uptime)}"


def days_words(component: ComponentState) -> str:
    """What the bars show, for those who do not see them."""
    off = [day_words(day) for day in component.days if day.standing in ("fair", "bad")]
    seen = sum(day.uptime is not None for day in component.days)
    worse = f"; worse than promised: {', '.join(off)}" if off else "; no day worse than promised" if seen else ""
    return f"{component.name}: {seen} of {len(component.days)} days with data{worse}"


def span_words(incident: PublicIncident) -> str:
    """``2026-10-03 10:05 to 10:45``, the day once where it is one; ``since 2026-10-03 10:05`` while it goes on."""
    began = _when(incident.began_at)
    if incident.ended_at is None:
        return f"since {began}"
    ended = _when(incident.ended_at)
    return f"{began} to {ended.removeprefix(began[:11])}"


def uptime_words(component: ComponentState) -> str:
    return "no data" if component.uptime is None else f"{share(component.uptime)} uptime"


def share(ratio: float) -> str:
    """``99.98 %``; never rounded up to 100."""
    return f"{int(ratio * 1e5 + 1e-6) / 1e3:g} %"


def _said_at(incident: PublicIncident) -> float:
    return max(told.at for told in incident.updates)


def _text(parent: Xml.Element, name: str, text: str) -> None:
    Xml.SubElement(parent, f"{{{ATOM}}}{name}").text = text


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
