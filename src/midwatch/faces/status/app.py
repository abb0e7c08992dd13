"""The page for customers, served to everybody: on a port of its own, with nothing else behind it.

No cookie, no script, no sign-in. What a link in a mail asks for happens on POST only, since mail programs and scanners open
links by themselves; the one exception is the other way round, the POST by which a mail program unsubscribes in one step (RFC
8058), which no page precedes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.requests import ClientDisconnect

from midwatch.model.errors import JournalError
from midwatch.shell.gate import Gate
from midwatch.shell.status_files import files, template
from midwatch.shell.subscribers.office import StatusOffice

MAX_FORM_BYTES: Final = 8192
KEPT_SECONDS: Final = 15.0  # the page is made at most so often, however many look
TYPES: Final = {
    "history.atom": "application/atom+xml; charset=utf-8",
    "status.json": "application/json",
}
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # links hold tokens
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
TROUBLE: Final = "That did not work: something is wrong here. Please try again in a few minutes."
OLD_LINK: Final = "This link does not hold any more."


def status_app(office: StatusOffice, gate: Gate) -> FastAPI:
    """``gate`` says whose word on where a request comes from is believed."""
    app = FastAPI(title="status page", docs_url=None, redoc_url=None, openapi_url=None)
    kept: dict[str, bytes] = {}
    made_at = -KEPT_SECONDS
    making = asyncio.Lock()
    asking, title = office.asking, office.settings.title

    def fresh() -> dict[str, bytes]:
        return files(office.page(), office.settings.url or office.settings.door, "subscribe" if asking else "")

    async def current() -> dict[str, bytes]:
        """Made on a thread: with many components it takes a while, and pages must not wait for that."""
        nonlocal kept, made_at
        async with making:
            now = office.now()
            if not 0 <= now - made_at < KEPT_SECONDS:
                kept, made_at = await asyncio.to_thread(fresh), now
            return kept

    @app.middleware("http")
    async def headed(request: Request, call_next: Callable[..., object]) -> Response:
        response: Response = await call_next(request)  # type: ignore[misc]
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    @app.api_route("/", methods=["GET", "HEAD"])
    @app.api_route("/index.html", methods=["GET", "HEAD"])
    async def index() -> Response:
        return HTMLResponse((await current())["index.html"], headers={"Cache-Control": "max-age=15"})

    @app.api_route("/history.atom", methods=["GET", "HEAD"])
    async def feed() -> Response:
        return _file("history.atom", await current())

    @app.api_route("/status.json", methods=["GET", "HEAD"])
    async def facts() -> Response:
        return _file("status.json", await current())

    if asking is None:
        return app

    def form_page(wrong: str = "", status: int = 200, address: str = "", chosen: tuple[str, ...] = ()) -> Response:
        text = template("subscribe.html").render(
            title=title, components=asking.components, wrong=wrong, address=address, chosen=chosen
        )
        headers = {"Retry-After": "600"} if status == 429 else None
        return HTMLResponse(text, status_code=status, headers=headers)

    def said(heading: str, text: str, status: int = 200, button: str = "", back: str = "../") -> Response:
        page = template("said.html").render(title=title, heading=heading, text=text, button=button, back=back)
        return HTMLResponse(page, status_code=status)

    @app.get("/subscribe")
    async def form() -> Response:
        return form_page()

    @app.post("/subscribe")
    async def ask(request: Request) -> Response:
        fields = await _form(request)
        if fields is None:
            return PlainTextResponse("That form is too large.\n", status_code=413)
        address = next(iter(fields.get("address", [])), "")[:300]
        chosen = tuple(fields.get("component", [])[:100])
        match await asking.ask(address, chosen, _client(request, gate)):
            case "no address":
                return form_page("That is no mail address. One looks like ann@example.org.", 422, address, chosen)
            case "slow down":
                return form_page("That was asked very often from where you are. Please try again in ten minutes.", 429)
            case "full":
                return said(
                    "No more room", "We cannot take more subscribers now. The feed is open to everybody.", 503, back="."
                )
            case "trouble":
                return form_page(TROUBLE, 503, address, chosen)
            case _:
                return RedirectResponse("asked", status_code=303)

    @app.get("/asked")
    async def asked() -> Response:
        return said(
            "Look into your mail",
            "If that address can get mail from us, a message is on its way. Open the link in it within a day to begin.",
            back=".",
        )

    @app.get("/confirm/{token}")
    async def confirm_page(token: str) -> Response:
        try:
            if not await asking.known("confirm", token):
                return said(OLD_LINK, "It held for a day, or the address has left since. You can ask again.", 410)
        except JournalError:
            return said("Not now", TROUBLE, 503)
        return said("One step more", f"Do you want mail from {title} about incidents?", button="Yes, I want that")

    @app.post("/confirm/{token}")
    async def confirm(token: str) -> Response:
        try:
            done = await asking.confirm(token)
        except JournalError:
            return said("Not now", TROUBLE, 503)
        if not done:
            return said(OLD_LINK, "It held for a day, or there is no more room. You can ask again.", 410)
        return said("Done", "You get mail when an incident begins, changes and ends. Each has a link to leave.")

    @app.get("/leave/{token}")
    async def leave_page(token: str) -> Response:
        try:
            if not await asking.known("leave", token):
                return said("You are not subscribed", "There is no more mail to the address of this link.")
        except JournalError:
            return said("Not now", TROUBLE, 503)
        return said(
            "Leave?", f"There will be no more mail from {title}, and your address is erased here.", button="Leave"
        )

    @app.post("/leave/{token}")
    async def leave(token: str) -> Response:
        """Also what a mail program sends by itself: ``List-Unsubscribe=One-Click``."""
        try:
            done = await asking.leave(token)
        except JournalError:
            return said("Not now", TROUBLE, 503)
        if not done:
            return said(OLD_LINK, "It is not complete. Open it from the newest mail.", 404)
        return said("Done", "There will be no more mail, and your address is erased here.")

    return app


def _file(name: str, found: dict[str, bytes]) -> Response:
    return Response(found[name], media_type=TYPES[name], headers={"Cache-Control": "max-age=15"})


def _client(request: Request, gate: Gate) -> str:
    """Where it comes from: whom a trusted proxy names last, else who is connected."""
    peer = request.client.host if request.client else ""
    told = request.headers.get("x-forwarded-for", "") if gate.trusts(peer) else ""
    return told.rpartition(",")[2].strip() or peer


async def _form(request: Request) -> dict[str, list[str]] | None:
    """None where it is too large, or where whoever sends it is gone in the middle: then nobody hears the answer."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM_BYTES:
                return None
    except ClientDisconnect:
        return None
    try:
        return parse_qs(body.decode("utf-8", "replace"), max_num_fields=120)
    except ValueError:
        return None
