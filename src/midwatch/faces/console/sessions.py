"""Who is at the page: a signed cookie, a CSRF token derived from it, and the rules for both.

The cookie is HttpOnly and SameSite=Strict and never holds a token. With tokens set its key is derived from them, so
sessions live over a restart and end when a token changes. A session that began with a person's own token, a provider or a
proxy carries that name and no other, and the groups that give roles. Without one the console answers only to loopback host
names (a page elsewhere could otherwise rebind its name to 127.0.0.1).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from fastapi import Request
from msgspec import Struct

from midwatch.shell.access_settings import AccessSettings
from midwatch.shell.gate import Gate
from midwatch.shell.tokens import Tokens

COOKIE = "midwatch_session"
LIFE_SECONDS = 7 * 86400.0
MAX_NAME = 40
MAX_COOKIE = 3000
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_LOGIN_TRIES, _LOGIN_SECONDS = 10, 60.0


class Session(Struct, frozen=True):
    """``name`` is who the journal says pressed the button; ``known`` means that a token was shown, and ``credential`` whose:
    then it is ``name``, and "" for a token that carries no name. ``groups`` are those that a provider or a proxy said."""

    cookie: str
    name: str
    known: bool
    credential: str = ""
    groups: tuple[str, ...] = ()
    kind: str = "a"  # anonymous, known, named, oidc, proxy: the first letter


class Sessions:
    def __init__(
        self,
        token: str | None,
        clock: Callable[[], float] = time.time,
        named: Mapping[str, str] | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._clock = clock
        self._gate = gate or Gate(AccessSettings())
        self._tokens = Tokens(named or {}, (token,) if token else ())
        said = "\0".join([token or "", *(f"{name}\0{secret}" for name, secret in sorted(self._tokens.named.items()))])
        material = self._gate.key_material()
        self._key = hashlib.sha256(f"midwatch console\0{said}\0{material}".encode()).digest()
        if not (material or self._tokens.named or self._tokens.shared):
            self._key = secrets.token_bytes(32)
        self._tries: list[float] = []

    @property
    def needs_login(self) -> bool:
        return bool(self._tokens.named or self._tokens.shared) or self._gate.signs_in

    @property
    def asks_name(self) -> bool:
        """Whether somebody can sign in whose token does not say who it is."""
        return bool(self._tokens.shared)

    @property
    def takes_tokens(self) -> bool:
        return bool(self._tokens.named or self._tokens.shared)

    @property
    def provider(self) -> str:
        """Where people sign in elsewhere, "" for nowhere."""
        return urlsplit(self._gate.settings.oidc.issuer).netloc if self._gate.settings.oidc else ""

    def read(self, request: Request) -> Session | None:
        """The session of this request, or None when it has none that holds."""
        session = self._read(request)
        proxied = self._gate.proxied(peer_of(request), request.headers)
        if proxied is not None and (session is None or session.credential != proxied[0]):
            return None  # the proxy has signed in somebody else meanwhile
        if session is not None and session.kind == "p" and proxied is None:
            return None
        if session is not None and session.kind in ("o", "p"):
            self._gate.access.remember(session.credential, session.groups)
        return session

    def _read(self, request: Request) -> Session | None:
        raw = request.cookies.get(COOKIE, "")
        parts = raw.split(".")
        if len(parts) != 6 or len(raw) > MAX_COOKIE:
            return None
        body = ".".join(parts[:5])
        if not hmac.compare_digest(self._sign("session", body).encode(), parts[5].encode()):
            return None
        kind = parts[0]
        try:
            issued, name = float(parts[1]), base64.urlsafe_b64decode(parts[2].encode()).decode()
            groups = tuple(json.loads(base64.urlsafe_b64decode(parts[3].encode())))
        except (ValueError, UnicodeDecodeError):
            return None
        oidc = self._gate.settings.oidc
        life = oidc.session_seconds if kind == "o" and oidc is not None else LIFE_SECONDS
        if not 0 <= self._clock() - issued + 60 <= life:
            return None
        return Session(raw, name, kind != "a", name if kind in ("n", "o", "p") else "", groups, kind)

    def proxied(self, request: Request) -> Session | None:
        """A new session for whom the proxy in front has signed in; None when it has nobody."""
        found = self._gate.proxied(peer_of(request), request.headers)
        if found is None:
            return None
        name, groups = found[0], self._gate.of_use(found[1])
        self._gate.access.remember(name, groups)
        self._gate.signed_in(name, "proxy", self._gate.access.role(name))
        return self.issue(name, True, name, groups, "p")

    def issue(
        self, name: str, known: bool, holder: str = "", groups: tuple[str, ...] | None = None, kind: str = ""
    ) -> Session:
        """A new session; ``holder`` is the name of the token that was shown ("" when it has none), and wins. With ``groups``
        a provider has said who it is."""
        name = holder or clean_name(name)
        coded = base64.urlsafe_b64encode(name.encode()).decode()
        listed = base64.urlsafe_b64encode(json.dumps(groups or ()).encode()).decode()
        kind = kind or ("o" if groups is not None else "n" if holder else "k" if known else "a")
        body = f"{kind}.{self._clock():.0f}.{coded}.{listed}.{secrets.token_urlsafe(12)}"
        return Session(f"{body}.{self._sign('session', body)}", name, known, holder, groups or (), kind)

    def packed(self, *values: str) -> str:
        """``values`` in a signed text, for a cookie."""
        body = base64.urlsafe_b64encode(json.dumps([self._clock(), *values]).encode()).decode()
        return f"{body}.{self._sign('packed', body)}"

    def unpacked(self, text: str, life_seconds: float) -> list[str] | None:
        """What ``packed`` took, unless it is older than ``life_seconds`` or not ours."""
        body, _, signature = text.partition(".")
        if len(text) > MAX_COOKIE or not hmac.compare_digest(self._sign("packed", body).encode(), signature.encode()):
            return None
        at, *values = json.loads(base64.urlsafe_b64decode(body.encode()))
        return [str(one) for one in values] if 0 <= self._clock() - at <= life_seconds else None

    def csrf(self, session: Session) -> str:
        return self._sign("csrf", session.cookie)

    def csrf_holds(self, session: Session | None, given: str) -> bool:
        return session is not None and hmac.compare_digest(self.csrf(session).encode(), given.encode())

    def too_many_tries(self) -> bool:
        """Whether too many wrong tokens came lately."""
        now = self._clock()
        self._tries = [t for t in self._tries if now - t < _LOGIN_SECONDS]
        return len(self._tries) >= _LOGIN_TRIES

    def login(self, given: str) -> str | None:
        """Whose token it is ("" when it carries no name), None when it is none of ours."""
        holder = self._tokens.holder(given)
        if holder is not None and holder in self._gate.settings.machines:
            holder = None  # a program has no business at the page
        if holder is None:
            self._tries.append(self._clock())
            self._gate.refused("", "sign in", "a wrong token")
        else:
            self._gate.signed_in(holder, "token", self._gate.access.role(holder))
        return holder

    def _sign(self, purpose: str, body: str) -> str:
        return hmac.new(self._key, f"{purpose}\0{body}".encode(), hashlib.sha256).hexdigest()[:40]


def clean_name(name: str) -> str:
    """A person's name as the journal can hold it: printable, short; "someone" when nothing is left."""
    return "".join(c for c in name if c.isprintable()).strip()[:MAX_NAME] or "someone"


def peer_of(request: Request) -> str:
    return request.client.host if request.client else ""


def host_allowed(request: Request) -> bool:
    """Without a token only loopback names may be used in the address."""
    host = request.headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name in LOOPBACK_HOSTS


def same_origin(request: Request) -> bool:
    """False when the browser says that the form was sent from another site."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host", "")
