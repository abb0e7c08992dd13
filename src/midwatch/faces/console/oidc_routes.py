"""``/login/oidc`` sends somebody to the provider, ``/login/oidc/back`` takes them in again.

What must be remembered in between lies in a cookie of ten minutes, signed and HttpOnly. It is Lax, not Strict: the way back
begins on another site. For the same reason the way in ends with a page that leads on, not with a redirect: a Strict cookie
is not sent along a redirect from elsewhere.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from html import escape

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from midwatch.faces.console.sessions import Session, Sessions
from midwatch.model.errors import MidwatchError
from midwatch.shell.gate import MAX_NAME, Gate
from midwatch.shell.oidc import BACK, Oidc, Trip

TRIP_COOKIE = "midwatch_trip"
TRIP_SECONDS = 600
AWAY = "/login/oidc"


def add_oidc_routes(
    app: FastAPI,
    sessions: Sessions,
    gate: Gate,
    oidc: Oidc,
    *,
    refuse: Callable[[str, str], str],
    set_cookie: Callable[[Response, Request, Session], None],
    safe: Callable[[str], str],
) -> None:
    """``refuse(onward, why)`` is the sign-in page with a reason."""

    @app.get(AWAY)
    async def away(request: Request) -> Response:
        onward, trip = safe(request.query_params.get("next", "/")), Trip.new()
        try:
            response: Response = RedirectResponse(await oidc.away(trip), status_code=303)
        except MidwatchError as error:
            return HTMLResponse(refuse(onward, f"{error}."), status_code=502)
        secure = oidc.settings.url.startswith("https:")
        response.set_cookie(
            TRIP_COOKIE, sessions.packed(trip.state, trip.nonce, trip.verifier, onward), max_age=TRIP_SECONDS,
            path=AWAY, httponly=True, samesite="lax", secure=secure,
        )  # fmt: skip
        return response

    @app.get(BACK)
    async def back(request: Request) -> Response:
        asked = request.query_params
        kept = sessions.unpacked(request.cookies.get(TRIP_COOKIE, ""), TRIP_SECONDS)
        if kept is None or len(kept) != 4:
            return HTMLResponse(
                refuse("/", "That took too long, or began in another browser: sign in again."), status_code=400
            )
        trip, onward = Trip(*kept[:3]), safe(kept[3])
        if not hmac.compare_digest(trip.state.encode(), asked.get("state", "").encode()):
            return HTMLResponse(refuse(onward, "That sign-in was not begun here."), status_code=400)
        if "code" not in asked:
            return HTMLResponse(refuse(onward, "The provider did not let you in."), status_code=401)
        try:
            who = await oidc.arrived(trip, asked["code"][:4096])
        except MidwatchError as error:
            gate.refused("", "sign in", str(error))
            return HTMLResponse(refuse(onward, f"{error}."), status_code=401)
        if not gate.admits(who.name):
            gate.refused(who.name, "sign in", "no name for a person")
            return HTMLResponse(refuse(onward, f"Nobody can be called {who.name[:MAX_NAME]} here."), status_code=403)
        groups = gate.of_use(who.groups)
        gate.access.remember(who.name, groups)
        if not gate.access.sees(who.name):
            gate.refused(who.name, "sign in", "no role")
            return HTMLResponse(refuse(onward, f"{who.name} has no role here: ask an admin."), status_code=403)
        gate.signed_in(who.name, "oidc", gate.access.role(who.name))
        page = (
            f'<!doctype html><meta http-equiv="refresh" content="0;url={escape(onward, quote=True)}"><p>Signed in.</p>'
        )
        response = HTMLResponse(page)
        response.delete_cookie(TRIP_COOKIE, path=AWAY)
        set_cookie(response, request, sessions.issue(who.name, True, who.name, groups))
        return response
