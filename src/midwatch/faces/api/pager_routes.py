"""Where PagerDuty and Opsgenie say what people do there: ``POST /in/pagerduty/<channel>`` and ``/in/opsgenie/<channel>``,
plain ASGI in front of the console.

Who sends is known by a signature or a secret, so no token and no host name is asked for. What was done becomes a command
like any other, by the person whom the people files know under that id or address, with that person's roles, journaled
before the 2xx and once, however often it is delivered. What is rightly sent and of no use here is answered with 2xx and
says so: a sender that is refused a few times stops sending.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from midwatch.adapters.channels import opsgenie_hook, pagerduty_hook
from midwatch.adapters.channels.heard import MAX_BODY_BYTES, Heard, Who
from midwatch.core.decide.obey import obey
from midwatch.core.oncall.rota import rota
from midwatch.core.turn import Turn
from midwatch.model.errors import ConfigError, Forbidden, IngestError, JournalError, UsageError
from midwatch.model.events import CommandGiven, CommandRefused
from midwatch.model.state import State
from midwatch.shell.channel_settings import OpsgenieSettings, PagerDutySettings
from midwatch.shell.config import resolve
from midwatch.shell.ingest.body import Gone, Receive, read_body
from midwatch.shell.integrations import Allowance
from midwatch.shell.run import Watch

log = logging.getLogger("midwatch.pagers")

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Hooked = PagerDutySettings | OpsgenieSettings

MAX_AGE_SECONDS: Final = 6 * 3600.0
"""Less than what was heard is remembered (``HEARD_SECONDS`` in state.py): what is older could be a replay."""
MAX_AHEAD_SECONDS: Final = 3600.0
PER_MINUTE: Final = 600
MAX_PLACES: Final = 2000
TAKEN, KNOWN, IGNORED, REFUSED = "taken", "known", "ignored", "refused"


@dataclass(frozen=True)
class Product:
    """``verify(secret, headers, body)`` says why it is refused, ``decode(body, source)`` raises ValueError."""

    name: str
    via: str
    settings: type[Hooked]
    verify: Callable[[str, Mapping[str, str], bytes], str]
    decode: Callable[[bytes, str], Heard]


PRODUCTS: Final[Mapping[str, Product]] = {
    "/in/pagerduty/": Product(
        "PagerDuty", "pagerduty", PagerDutySettings, pagerduty_hook.verify, pagerduty_hook.decode
    ),
    "/in/opsgenie/": Product("Opsgenie", "opsgenie", OpsgenieSettings, opsgenie_hook.verify, opsgenie_hook.decode),
}
"""Beginning of a path -> who sends there; the name of the channel follows."""


class PagerRoutes:
    """ASGI middleware: takes the paths of ``PRODUCTS``, and leaves everything else to ``app``."""

    def __init__(self, app: App, watch: Watch) -> None:
        self._app, self._watch = app, watch
        self._places: OrderedDict[tuple[str, str], str] = OrderedDict()  # (channel, its incident) -> dedup key
        self._allowances: dict[str, Allowance] = {}
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        prefix = next((p for p in PRODUCTS if path.startswith(p)), "")
        if scope["type"] != "http" or not prefix:
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        product, name = PRODUCTS[prefix], path.removeprefix(prefix)
        settings = self._watch.settings.channels.get(name)
        if not isinstance(settings, product.settings):
            name, settings = "", None
        try:
            if scope["method"] != "POST":
                raise IngestError("only POST is understood here", status=405)
            if settings is None:
                raise IngestError(f"there is no such {product.name} channel here", status=404)
            body = await read_body(headers, receive, MAX_BODY_BYTES)
            status, answer = 202, await self._taken(product, name, settings, headers, body)
        except Gone:
            return
        except IngestError as problem:
            self._watch.inbox.drop(name, f"refused with {problem.status}")
            status, answer = problem.status, {"error": str(problem)}
        except JournalError as error:  # or this replica only stands by: it is delivered again, or to the next one
            status, answer = 503, {"error": str(error)}
        except Exception:
            log.exception("a request of %s failed", product.name)
            status, answer = 500, {"error": "internal error"}
        await _send(send, status, json.dumps(answer, ensure_ascii=False).encode())

    async def _taken(
        self, product: Product, name: str, settings: Hooked, headers: Mapping[str, str], body: bytes
    ) -> dict[str, str]:
        """What became of it. Raises IngestError, JournalError."""
        secret = await asyncio.to_thread(_secret, settings)  # a command may be asked for it
        if why := product.verify(secret, headers, body):
            self._watch.gate.refused("", f"a webhook of {product.name} for {name}", why)
            raise IngestError(why, status=401)
        if not self._allowances.setdefault(name, Allowance(PER_MINUTE)).take(1, time.monotonic()):
            raise IngestError(f"{name} may be sent {PER_MINUTE} events a minute", status=429)
        try:
            heard = product.decode(body, settings.source)
        except ValueError as error:
            raise IngestError(str(error)) from error
        age = self._watch.now() - heard.at
        if heard.at and not -MAX_AHEAD_SECONDS <= age <= MAX_AGE_SECONDS:
            raise IngestError(
                f"this was done {age:.0f} s ago by the clock here: too far away to be believed", status=409
            )
        async with self._turn:
            status, words = await self._obeyed(product, name, settings.source, heard)
        return {"status": status, "message": words}

    async def _obeyed(self, product: Product, name: str, source: str, heard: Heard) -> tuple[str, str]:
        """Raises IngestError, JournalError."""
        if heard.verb and not self._watch.duty.leading:
            raise JournalError(self._watch.duty.words())  # who follows may not know yet what it is about
        state = self._watch.state
        key = f"{name}/{heard.key}"
        if key in state.heard:
            return KNOWN, "this was heard before: nothing is done twice"
        incident = self._incident(state, name, source, heard)
        if not heard.verb:
            return IGNORED, heard.why
        if not incident:
            return IGNORED, "no incident that was paged through this channel is meant"
        by, credential = self._person(state, heard.by, product)
        value = f"commander {self._person(state, heard.to, product)[0]}" if heard.to is not None else ""
        note = heard.text
        said = CommandGiven(heard.verb, by, incident, value, note, product.via, credential, name, key)
        why = self._refusal(said)
        if why and not (heard.verb == "resolve" and state.incidents[incident].phase != "resolved"):
            return IGNORED, why
        try:
            await self._watch.command(said)
        except Forbidden as error:  # an entry of the journal by now
            return REFUSED, str(error)
        except UsageError as error:
            raise IngestError(str(error), status=429) from error
        return TAKEN, f"{heard.verb} {incident}, by {by}"

    def _incident(self, state: State, name: str, source: str, heard: Heard) -> str:
        """Ours, by the key that the channel gave it; else by what was heard of theirs before, or by the title that a page of
        ours gave it. "" for none."""
        theirs = (name, heard.incident)
        place = heard.place or self._places.get(theirs, "")
        if heard.place and heard.incident:
            self._places[theirs] = heard.place
            self._places.move_to_end(theirs)
            while len(self._places) > MAX_PLACES:
                self._places.popitem(last=False)
        paged = [p for p in state.pages.values() if p.ordered.channel == name]
        if place:
            found = {p.ordered.incident for p in paged if place in (p.place, f"{source}/{p.ordered.incident}")}
        else:
            found = {p.ordered.incident for p in paged if heard.title and p.ordered.subject[:1024] == heard.title}
        found &= state.incidents.keys()
        return found.pop() if len(found) == 1 else ""

    def _person(self, state: State, who: Who | None, product: Product) -> tuple[str, str]:
        """The name for the journal, and whose roles count. Somebody whom no people file knows has the roles of a stranger;
        what the product does by itself (an acknowledgement whose time is over) needs none."""
        if who is None:
            return product.name, ""
        person = state.policy.people.known(who.ident, who.email)
        called = person.ident if person else f"{who.name or who.email or who.ident} ({product.name})"
        return called, called

    def _refusal(self, said: CommandGiven) -> str:
        """Why the next turn would refuse it; "" when it would obey. Nothing comes of asking."""
        watch = self._watch
        turn = Turn(watch.state, watch.memory, watch.world, watch.now(), (said,))
        told = rota(obey(turn)).events
        return next((event.why for event in told if isinstance(event, CommandRefused)), "")


def _secret(settings: Hooked) -> str:
    try:
        return resolve(settings.webhook_secret)
    except ConfigError:
        return ""


async def _send(send: Send, status: int, body: bytes) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if status in (429, 503):
        headers.append((b"retry-after", b"5"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
