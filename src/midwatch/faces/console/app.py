"""The web console: FastAPI app, pages, buttons and the live stream.

Every page is rendered whole on the server and works without JavaScript; with it, ``/stream`` sends the same page's inside
again when something changed. Buttons are plain forms that POST to ``/do``.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from midwatch.faces.console.alerts_page import add_bulk_form
from midwatch.faces.console.oidc_routes import add_oidc_routes
from midwatch.faces.console.render import Renderer
from midwatch.faces.console.sessions import (
    COOKIE,
    LIFE_SECONDS,
    Session,
    Sessions,
    host_allowed,
    peer_of,
    same_origin,
)
from midwatch.faces.console.stream import EndQuietly, Streams
from midwatch.faces.console.view import WatchView
from midwatch.model.entity import service_key
from midwatch.model.errors import MidwatchError
from midwatch.model.events import CommandGiven
from midwatch.shell import plots
from midwatch.shell.queries import has_already

MAX_FORM_BYTES = 16_384
MAX_FIELDS = 120
VERBS = frozenset(
    {
        "ack",
        "unack",
        "approve",
        "refuse",
        "undo",
        "confirm_cause",
        "hands_off",
        "hands_on",
        "resolve",
        "autonomy",
        "note",
    }
    | {"declare", "merge", "split", "move", "silence", "unsilence", "escalate", "swap_answer"}
    | {"role", "decide", "tick", "untick", "task", "task_give", "task_done", "severity"}
)
STATIC = Path(__file__).parent / "static"
ASKED = frozenset({"q", "state", "page"})
OPEN_PATHS = ("/static/", "/login", "/favicon.ico")

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Said:
    """What the last button did, per session, shown once. Bounded."""

    def __init__(self, most: int = 256) -> None:
        self._kept: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._most = most

    def put(self, session: Session, tone: str, text: str) -> None:
        self._kept[session.cookie] = (tone, text)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def take(self, session: Session) -> tuple[str, str] | None:
        return self._kept.pop(session.cookie, None)


def console_app(watch: WatchView, *, clock: Callable[[], float] = time.time) -> FastAPI:
    """The app for one watch. ``clock`` (unix seconds) is what "2 min ago" is counted from."""
    app = FastAPI(title="midwatch", docs_url=None, redoc_url=None, openapi_url=None)
    sessions = Sessions(watch.token, clock, watch.tokens, watch.gate)
    renderer = Renderer(watch, sessions, clock)
    streams = Streams(watch, renderer)
    said = Said()
    app.state.streams = streams

    def set_cookie(response: Response, request: Request, session: Session) -> None:
        response.set_cookie(
            COOKIE,
            session.cookie,
            max_age=int(LIFE_SECONDS),
            path="/",
            httponly=True,
            samesite="strict",
            secure=watch.gate.encrypted(peer_of(request), request.url.scheme, request.headers),
        )

    @app.get("/static/plots.css", include_in_schema=False)
    async def plot_style() -> FileResponse:
        return FileResponse(plots.STYLE, media_type="text/css")

    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    api = _api_router(watch)
    api_paths: tuple[str, ...] = ()
    if api is not None:
        app.include_router(api)
        api_paths = tuple({route.path for route in api.routes if hasattr(route, "path")})

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        path = request.url.path
        if not sessions.needs_login and not host_allowed(request):
            return PlainTextResponse(
                "midwatch answers only to 127.0.0.1 and localhost while no token is set.\n", status_code=421
            )
        session = sessions.read(request)
        request.state.fresh = None
        if session is None and (proxied := sessions.proxied(request)) is not None:
            session = request.state.fresh = proxied
        is_api = any(path == p or path.startswith(p.split("{")[0].rstrip("/") + "/") for p in api_paths)
        if not is_api and not path.startswith(OPEN_PATHS):
            if sessions.needs_login and (session is None or not session.known):
                if request.method == "GET" and path != "/stream":
                    return _headed(RedirectResponse("/login?next=" + _safe_path(path), status_code=303))
                return _headed(PlainTextResponse("Sign in first.\n", status_code=401))
            if session is None:
                session = request.state.fresh = sessions.issue("", False)
            if session.credential and not watch.gate.access.sees(session.credential):
                watch.gate.refused(session.credential, "look", "no role")
                return _headed(PlainTextResponse("You have no role here: ask an admin.\n", status_code=403))
        request.state.session = session
        response = await call_next(request)
        if request.state.fresh is not None:
            set_cookie(response, request, request.state.fresh)
        return _headed(response, cache=path.startswith("/static/"))

    app.add_middleware(EndQuietly)

    def page(path: str) -> Callable[[Request], Awaitable[Response]]:
        async def show(request: Request) -> Response:
            session: Session = request.state.session
            place = _place(request.url.path, request.url.query)
            if path == "/budgets" and request.headers.get("hx-request") == "true":
                return HTMLResponse(await renderer.found(place, session))
            text, status = await renderer.page(place, session, said=said.take(session))
            return HTMLResponse(text, status_code=status)

        show.__name__ = "page_" + (path.strip("/").replace("/", "_").replace("{", "").replace("}", "") or "watch")
        return show

    for path in (
        "/",
        "/incidents",
        "/incidents/{ident}",
        "/alerts",
        "/budgets",
        "/budgets/{name:path}",
        "/oncall",
        "/actions",
        "/postmortems",
        "/postmortems/{ident}",
        "/health",
    ):
        app.get(path, response_class=HTMLResponse)(page(path))

    @app.get("/stream")
    async def stream(request: Request) -> Response:
        return streams.open(request, _safe_path(request.query_params.get("page", "/")), request.state.session)

    @app.post("/do")
    async def do(request: Request) -> Response:
        """One button: verb, target, value, note; ``back`` is the page that it was pressed on."""
        session: Session = request.state.session
        form = await _form(request)
        if form is None:
            return PlainTextResponse("That form is too large.\n", status_code=413)
        back = _safe_path(form.get("back", "/"))
        if form.get("verb") == "move":  # the incident that it goes to is a field of its own
            form["value"] = f"{form.pop('into', '')} {form.get('value', '')}"
        if form.get("verb") == "declare" and (where := form.get("target", "").strip()):
            form["target"] = service_key(where)
        if form.get("verb") not in VERBS:
            return PlainTextResponse("There is no such button.\n", status_code=400)
        if not same_origin(request):
            return PlainTextResponse("This form was sent from another site.\n", status_code=403)
        if not sessions.csrf_holds(session, form.get("csrf", "")):
            if request.headers.get("hx-request") == "true":
                why = "Nothing was done: this page was older than the running midwatch. Press again."
                return HTMLResponse((await renderer.inside(back, session, said=("bad", why)))[0])
            return HTMLResponse(await renderer.confirm(session, form, back), status_code=403)
        verb, target = form["verb"], form.get("target", "")[:200]
        try:
            value, note = form.get("value", ""), form.get("note", "")  # refused, not cut: half a name is another
            given = CommandGiven(verb, session.name, target, value, note, "page", session.credential)
            had = has_already(watch.state, verb, target, session.credential or session.name)
            recorded = None if had else await watch.command(given)
        except MidwatchError as error:
            hint = f" {error.hint}" if error.hint else ""
            said.put(session, "bad", f"That could not be done: {error}.{hint}")
        else:
            if recorded is not None:
                renderer.gave(verb, target, recorded.at)
            said.put(session, "info", had or renderer.heard(verb, target))
        if request.headers.get("hx-request") == "true":
            text, status = await renderer.inside(back, session, said=said.take(session))
            return HTMLResponse(text, status_code=status)
        return RedirectResponse(back, status_code=303)

    add_bulk_form(app, watch, sessions, renderer, said.put, _safe_path)

    @app.post("/name")
    async def name(request: Request) -> Response:
        """Who is pressing the buttons, as the journal will say."""
        session: Session = request.state.session
        form = await _form(request) or {}
        if not same_origin(request) or not sessions.csrf_holds(session, form.get("csrf", "")):
            return PlainTextResponse("Reload the page and try again.\n", status_code=403)
        if session.credential:
            return PlainTextResponse("Your token says who you are.\n", status_code=403)
        response = RedirectResponse(_safe_path(form.get("back", "/")), status_code=303)
        set_cookie(response, request, sessions.issue(form.get("name", ""), session.known))
        return response

    @app.get("/login", response_class=HTMLResponse)
    async def login_page(request: Request) -> Response:
        if not sessions.needs_login:
            return RedirectResponse("/", status_code=303)
        return HTMLResponse(renderer.login(_safe_path(request.query_params.get("next", "/"))))

    @app.post("/login")
    async def login(request: Request) -> Response:
        form = await _form(request) or {}
        onward = _safe_path(form.get("next", "/"))
        if not same_origin(request):
            return PlainTextResponse("This form was sent from another site.\n", status_code=403)
        if sessions.too_many_tries():
            return HTMLResponse(renderer.login(onward, "Too many wrong tokens. Wait a minute."), status_code=429)
        holder = sessions.login(form.get("token", ""))
        if holder is None:
            return HTMLResponse(renderer.login(onward, "That is not the token."), status_code=401)
        response = RedirectResponse(onward, status_code=303)
        set_cookie(response, request, sessions.issue(form.get("name", ""), True, holder))
        return response

    if watch.gate.oidc is not None:
        add_oidc_routes(
            app, sessions, watch.gate, watch.gate.oidc, refuse=renderer.login, set_cookie=set_cookie, safe=_safe_path
        )

    @app.post("/logout")
    async def logout(request: Request) -> Response:
        form = await _form(request) or {}
        if not sessions.csrf_holds(request.state.session, form.get("csrf", "")):
            return PlainTextResponse("Reload the page and try again.\n", status_code=403)
        response = RedirectResponse("/login", status_code=303)
        response.delete_cookie(COOKIE, path="/")
        return response

    @app.get("/favicon.ico", include_in_schema=False)
    async def favicon() -> Response:
        return RedirectResponse("/static/lantern.svg", status_code=308)

    @app.exception_handler(404)
    async def missing(request: Request, error: Exception) -> Response:
        if request.url.path.startswith(("/api", "/v1")):
            return JSONResponse({"error": "not found"}, status_code=404)
        session = getattr(request.state, "session", None)
        if session is None:
            return PlainTextResponse("Not found.\n", status_code=404)
        text, _ = await renderer.page("/404", session)
        return HTMLResponse(text, status_code=404)

    return app


def _api_router(watch: WatchView) -> Any:
    """The JSON API of ``faces/api``, when it is there."""
    try:
        return import_module("midwatch.faces.api.routes").router(watch)
    except ModuleNotFoundError:
        return None


def _headed(response: Response, cache: bool = False) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Cache-Control"] = "max-age=3600" if cache else "no-store"
    return response


def _safe_path(path: str) -> str:
    """A path of ours; anything that could lead elsewhere becomes ``/``."""
    parts = urlsplit(path)
    if parts.scheme or parts.netloc or not path.startswith("/") or path.startswith("//") or "\\" in path:
        return "/"
    return _place(parts.path[:400], parts.query) if parts.path.isprintable() else "/"


def _place(path: str, query: str) -> str:
    """A path with what the lists of budgets and alerts may be asked, and nothing else of its query."""
    if path not in ("/budgets", "/alerts"):
        return path
    asked = [(k, v[:100]) for k, v in parse_qsl(query[:1000], max_num_fields=20) if k in ASKED and v.isprintable()]
    return f"{path}?{urlencode(asked)}" if asked else path


async def _form(request: Request) -> dict[str, str] | None:
    """A urlencoded form, one value per name (several of ``value`` are one a line); None when it is too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            return None
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=MAX_FIELDS)
    except ValueError:
        return None
    return {k: "\n".join(v) if k == "value" else v[0] for k, v in fields.items()}
