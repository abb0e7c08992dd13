"""Who is at the page: a signed cookie, a CSRF token derived from it, and the rules for both.

The cookie is HttpOnly and SameSite=Strict and never holds a token. With tokens set its key is derived from them, so
sessions live over a restart and end when a token changes. A session that began with a person's own token carries that
name and no other. Without one the console answers only to loopback host
names (a page elsewhere could otherwise rebind its name to 127.0.0.1).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from fastapi import Request
from msgspec import Struct

from midwatch.shell.tokens import Tokens

COOKIE = "midwatch_session"
LIFE_SECONDS = 7 * 86400.0
MAX_NAME = 40
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_LOGIN_TRIES, _LOGIN_SECONDS = 10, 60.0


class Session(Struct, frozen=True):
    """``name`` is who the journal says pressed the button; ``known`` means that a token was shown, and ``credential`` whose:
    then it is ``name``, and "" for a token that carries no name."""

    cookie: str
    name: str
    known: bool
    credential: str = ""


class Sessions:
    def __init__(
        self, token: str | None, clock: Callable[[], float] = time.time, named: Mapping[str, str] | None = None
    ) -> None:
        self._clock = clock
        self._tokens = Tokens(named or {}, (token,) if token else ())
        said = "\0".join([token or "", *(f"{name}\0{secret}" for name, secret in sorted(self._tokens.named.items()))])
        self._key = hashlib.sha256(f"midwatch console\0{said}".encode()).digest()
        if not self.needs_login:
            self._key = secrets.token_bytes(32)
        self._tries: list[float] = []

    @property
    def needs_login(self) -> bool:
        return bool(self._tokens.named or self._tokens.shared)

    @property
    def asks_name(self) -> bool:
        """Whether somebody can sign in whose token does not say who it is."""
        return bool(self._tokens.shared)

    def read(self, request: Request) -> Session | None:
        """The session of this request, or None when it has none that holds."""
        raw = request.cookies.get(COOKIE, "")
        parts = raw.split(".")
        if len(parts) != 5 or len(raw) > 400:
            return None
        body = ".".join(parts[:4])
        if not hmac.compare_digest(self._sign("session", body), parts[4]):
            return None
        try:
            issued, name = float(parts[1]), base64.urlsafe_b64decode(parts[2].encode()).decode()
        except (ValueError, UnicodeDecodeError):
            return None
        if not 0 <= self._clock() - issued + 60 <= LIFE_SECONDS:
            return None
        return Session(raw, name, parts[0] in "kn", name if parts[0] == "n" else "")

    def issue(self, name: str, known: bool, holder: str = "") -> Session:
        """A new session; ``holder`` is the name of the token that was shown ("" when it has none), and wins."""
        name = holder or clean_name(name)
        coded = base64.urlsafe_b64encode(name.encode()).decode()
        kind = "n" if holder else "k" if known else "a"
        body = f"{kind}.{self._clock():.0f}.{coded}.{secrets.token_urlsafe(12)}"
        return Session(f"{body}.{self._sign('session', body)}", name, known, holder)

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
        if holder is None:
            self._tries.append(self._clock())
        return holder

    def _sign(self, purpose: str, body: str) -> str:
        return hmac.new(self._key, f"{purpose}\0{body}".encode(), hashlib.sha256).hexdigest()[:40]


def clean_name(name: str) -> str:
    """A person's name as the journal can hold it: printable, short; "someone" when nothing is left."""
    return "".join(c for c in name if c.isprintable()).strip()[:MAX_NAME] or "someone"


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
