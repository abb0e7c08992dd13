"""The JSON API of a running watch, under ``/api/v1``, and ``/metrics`` and ``/healthz`` beside it.

Reading is open on loopback while nothing asks for a token. Whatever changes something, and reading once a token is set,
needs ``Authorization: Bearer <token>``: a person's own (``tokens:`` in settings.yaml, which then says who it is), the
folder's (a 0600 file that the CLI reads) or the console's. A browser's cookie is not accepted here: pages send forms to
the console, which checks a CSRF token.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from midwatch.core.decide import correct, hush, room, severity
from midwatch.core.decide.regroup import why_not
from midwatch.core.oncall import by_hand, rota
from midwatch.core.turn import Turn
from midwatch.faces.api.alerts import add_alert_routes
from midwatch.faces.api.inquiries import add_inquiry_routes
from midwatch.faces.api.oncall_routes import add_oncall_routes
from midwatch.faces.api.openapi import document
from midwatch.faces.api.promises import add_promise_routes
from midwatch.faces.api.status_page_routes import add_status_page_routes
from midwatch.model.entity import service_key
from midwatch.model.errors import Forbidden, JournalError, MidwatchError, NotFound, UsageError
from midwatch.model.events import MAX_SAID, CommandGiven
from midwatch.model.world import Change
from midwatch.shell import queries
from midwatch.shell.access_settings import Scope
from midwatch.shell.alert_views import find_alert
from midwatch.shell.desk import COMMANDS
from midwatch.shell.run import Watch
from midwatch.shell.tokens import Tokens
from midwatch.shell.told import told

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Command(BaseModel):
    """``target``: an incident, an action, a playbook. ``value``: what the verb needs besides."""

    model_config = ConfigDict(extra="forbid")
    verb: str = Field(max_length=40)
    by: str = Field("", max_length=80)  # taken from the token where that has a name
    target: str = Field("", max_length=1000)
    value: str = Field("", max_length=MAX_SAID)
    note: str = Field("", max_length=MAX_SAID)
    via: str = Field("api", pattern="^(api|cli|chat)$")


class ChangeIn(BaseModel):
    """A deploy, a config change, a flag, scaling, infrastructure."""

    model_config = ConfigDict(extra="ignore")
    id: str = Field(min_length=1, max_length=200)
    at: float = Field(gt=0)
    kind: str = Field(pattern="^(deploy|config|flag|scale|infra)$")
    entity: str = Field(min_length=1, max_length=200)
    summary: str = Field("", max_length=500)
    before: str = Field("", max_length=500)
    after: str = Field("", max_length=500)
    by: str = Field("", max_length=80)


def router(watch: Watch) -> APIRouter:
    """All routes, with absolute paths. Include it in any app."""
    routes = APIRouter(route_class=_Friendly)

    def host(request: Request) -> None:
        """A page elsewhere can point its own name at 127.0.0.1; without a token the name must be ours."""
        name = urlsplit(f"//{request.headers.get('host', '')}").hostname
        if not (watch.token or watch.tokens or watch.gate.signs_in) and name not in LOOPBACK:
            raise HTTPException(421, "midwatch answers only to 127.0.0.1 and localhost while no token is set")

    def reader(request: Request) -> None:
        host(request)
        if watch.token or watch.tokens or watch.gate.signs_in:
            _bearer(request, watch, "read")

    def writer(request: Request) -> str:
        host(request)
        return _bearer(request, watch, "changes" if request.url.path == "/api/v1/changes" else "commands")

    read, write = [Depends(reader)], [Depends(writer)]

    @routes.get("/healthz", dependencies=[Depends(host)])
    async def healthz() -> JSONResponse:
        """200 while the loop turns and the journal takes entries, else 503."""
        troubles = {k: v for k, v in watch.vitals.troubles.items() if k in ("journal", "loop", "lease")}
        return JSONResponse({"ok": not troubles, "troubles": troubles}, status_code=503 if troubles else 200)

    @routes.get("/api/v1/openapi.json", dependencies=read)
    async def openapi() -> dict[str, Any]:
        """What can be said here, the doors for other systems included."""
        return document(routes.routes)

    @routes.get("/metrics", dependencies=read)
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(watch.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @routes.get("/api/v1/status", dependencies=read)
    async def status() -> dict[str, Any]:
        found = queries.status(watch.state)
        found["hands_off"] = watch.hands_off
        return {**found, "health": queries.plain(watch.health()), "journal": queries.plain(vars(watch.head))}

    @routes.get("/api/v1/calls", dependencies=read)
    async def calls() -> dict[str, tuple[str, ...]]:
        """Who calls whom: entity -> entities, as seen lately."""
        return dict(watch.world.callees)

    @routes.get("/api/v1/incidents", dependencies=read)
    async def incidents(limit: Annotated[int, Query(ge=1, le=500)] = 100) -> list[dict[str, Any]]:
        return [queries.incident_row(watch.state, i) for i in queries.newest_first(watch.state)[:limit]]

    @routes.get("/api/v1/incidents/{ident}", dependencies=read)
    async def incident(ident: str) -> dict[str, Any]:
        chronicle = await watch.recall(ident)
        found = queries.find_incident(watch.state, ident)
        return {
            **queries.incident(watch.state, ident, chronicle),
            **queries.plain(told(watch.state, found, watch.now())),
        }

    @routes.get("/api/v1/incidents/{ident}/postmortem", dependencies=read)
    async def postmortem(ident: str) -> PlainTextResponse:
        chronicle = await watch.recall(ident)
        text = queries.postmortem(watch.state, ident, chronicle)
        return PlainTextResponse(text, media_type="text/markdown; charset=utf-8")

    @routes.get("/api/v1/actions", dependencies=read)
    async def actions(limit: Annotated[int, Query(ge=1, le=500)] = 100) -> list[dict[str, Any]]:
        return [queries.action_row(r) for r in list(watch.state.actions.values())[-limit:]][::-1]

    add_alert_routes(routes, watch, read)
    add_promise_routes(routes, watch, read)
    add_inquiry_routes(routes, watch, read)
    add_oncall_routes(routes, watch, read)
    add_status_page_routes(routes, watch, read, Depends(writer))

    @routes.post("/api/v1/commands", status_code=202)
    async def command(given: Command, holder: str = Depends(writer)) -> dict[str, Any]:
        """Journaled at once, obeyed by the next turn (``hands_off`` holds at once). ``seq`` is null where there is nothing
        to journal: who acknowledges an incident again has it already."""
        by = holder or given.by
        if not by:
            raise HTTPException(422, "by: say who you are; this token does not")
        target = _target(watch, given)
        if queries.has_already(watch.state, given.verb, target, by):
            return {"seq": None, "at": watch.now(), "verb": given.verb, "target": target, "by": by}
        said = CommandGiven(given.verb, by, target, _value(watch, given), given.note, given.via, holder)
        if given.verb in ("merge", "split", "move") and (why := why_not(watch.state, said)):
            raise UsageError(why, hint=f"midwatch show {target} says what it is about")
        if given.verb in room.VERBS and (why := room.why_not(watch.state, said)):
            raise UsageError(why, hint=f"midwatch show {target} says who does what")
        if given.verb == "severity" and (why := severity.why_not(watch.state, said)):
            raise UsageError(why, hint=f"midwatch show {target} says how it is rated and why")
        if given.verb in by_hand.VERBS and (why := by_hand.why_not(watch.state, said)):
            hint = "midwatch declare --help shows how it is said" if given.verb == "declare" else ""
            raise UsageError(why, hint=hint or "midwatch alerts shows which there are")
        if given.verb in ("silence", "unsilence") and (why := hush.why_not(watch.state, said, watch.now())):
            raise UsageError(why, hint="midwatch silence --help shows how it is said")
        if given.verb == "adjust" and (why := correct.why_not(watch.state, said, watch.now())):
            raise UsageError(why, hint="midwatch slo adjust --help shows how it is said")
        now = Turn(watch.state, watch.memory, watch.world, watch.now())
        if why := rota.why_not(now, said):
            raise UsageError(why, hint="midwatch oncall who and midwatch oncall shifts show how it stands")
        recorded = await watch.command(said)
        return {"seq": recorded.seq, "at": recorded.at, "verb": given.verb, "target": target, "by": by}

    @routes.post("/api/v1/changes", dependencies=write, status_code=202)
    async def changes(given: ChangeIn) -> dict[str, Any]:
        """``seq`` is null when the journal has a change of this id already: a retry is no second change."""
        entity = service_key(given.entity)
        recorded = await watch.change(Change(**{**given.model_dump(), "entity": entity}))
        return {"seq": recorded.seq if recorded else None, "at": recorded.at if recorded else given.at}

    return routes


def _target(watch: Watch, given: Command) -> str:
    """Ids as the journal has them, so that ``ack 3`` works; a command about nothing is refused before it is journaled."""
    if given.verb not in COMMANDS:
        raise UsageError(f"there is no command {given.verb!r}", hint="one of: " + ", ".join(sorted(COMMANDS)))
    state = watch.state
    if given.verb in ("approve", "refuse", "undo"):
        record = queries.find_action(state, given.target)
        if why := queries.cannot(given.verb, record):
            raise UsageError(why, hint=f"midwatch show {record.action.incident} says how it stands")
        return record.action.id
    if given.verb in (
        "ack",
        "unack",
        "confirm_cause",
        "resolve",
        "item",
        "escalate",
        "merge",
        "split",
        "move",
        "severity",
        *room.VERBS,
    ):
        incident = queries.find_incident(state, given.target)
        if given.verb == "confirm_cause":
            _known(watch, given.value.replace(",", " ").split())
        return incident.id
    if given.verb == "declare":
        return service_key(given.target) if given.target else ""
    if given.verb in by_hand.VERBS:
        return find_alert(state, given.target).alert.key
    if given.verb == "autonomy" and given.target not in state.playbooks:
        known = ", ".join(sorted(state.playbooks)) or "none"
        raise UsageError(f"there is no playbook {given.target!r}", hint=f"known: {known}")
    return given.target


def _value(watch: Watch, given: Command) -> str:
    """Incidents that are named in the value by their ids as well, so that ``merge 1 2`` works. Raises NotFound."""
    if given.verb == "merge":
        named = given.value.replace(",", " ").split()
        return " ".join(queries.find_incident(watch.state, one).id for one in named)
    if given.verb == "move":
        into, what = (*given.value.split(None, 1), "", "")[:2]
        return f"{queries.find_incident(watch.state, into).id} {what}"
    if given.verb == "move_alert" and given.value != by_hand.NEW:
        return queries.find_incident(watch.state, given.value).id
    return given.value


def _known(watch: Watch, words: list[str]) -> None:
    """A confirmed cause teaches diagnosis, so a misspelt entity is refused. Raises UsageError."""
    if len(words) != 2 or not (seen := watch.world.entities) or words[0] in seen:
        return
    close = difflib.get_close_matches(words[0], seen, n=1)
    hint = f"did you mean {close[0]}?" if close else "known: " + ", ".join(sorted(seen)[:20])
    raise UsageError(f"nothing called {words[0]!r} was seen", hint=hint)


def _bearer(request: Request, watch: Watch, scope: Scope) -> str:
    """The name of the token's holder, "" for a shared token."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    holder = Tokens(watch.tokens, (watch.api_token, watch.token or "")).holder(given)
    if scheme.lower() != "bearer" or holder is None:
        watch.gate.refused("", request.url.path[:60], "a wrong token" if given else "no token")
        raise HTTPException(401, "send the token: Authorization: Bearer <the content of the folder's file 'token'>")
    if not watch.gate.access.scope(holder, scope):
        watch.gate.refused(holder, request.url.path[:60], f"the token is not for {scope}")
        raise HTTPException(
            403, f"this token is not for {scope}: its scopes are in the settings, under access.machines"
        )
    return holder


class _Friendly(APIRoute):
    """Our errors as JSON ``{"error", "hint"}``: 404 for what is not there, 503 when the journal does not take it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def friendly(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:  # without what was sent: it may be no text at all, or a secret
                wrong = [{"loc": list(one["loc"]), "msg": one["msg"], "type": one["type"]} for one in error.errors()]
                return JSONResponse({"detail": wrong}, status_code=422)
            except MidwatchError as error:
                return JSONResponse({"error": str(error), "hint": error.hint}, status_code=_status(error))

        return friendly


def _status(error: MidwatchError) -> int:
    if isinstance(error, NotFound):
        return 404
    if isinstance(error, Forbidden):
        return 403
    if isinstance(error, UsageError):
        return 400
    return 503 if isinstance(error, JournalError) else 500
