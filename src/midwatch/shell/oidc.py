"""Signing in with an OpenID Connect provider: authorization code with PKCE, state and nonce, and an ID token whose
signature, issuer, audience, time and nonce hold. Nothing of the provider's is kept beyond the name and the groups.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from midwatch.adapters.bounded import beginning
from midwatch.model.errors import ConfigError, UsageError
from midwatch.shell.access_settings import OidcSettings, encrypted
from midwatch.shell.config import resolve

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by keys that the provider publishes; never none, never a shared secret."""
KEEP_SECONDS: Final = 3600.0
AGAIN_SECONDS: Final = 30.0
"""A token signed with a key that is not known makes the keys be read again, this often at most."""
LEEWAY_SECONDS: Final = 60
TIMEOUT_SECONDS: Final = 10.0
MAX_BYTES: Final = 1_000_000
MAX_GROUPS: Final = 500
BACK: Final = "/login/oidc/back"


@dataclass(frozen=True)
class Trip:
    """What this side must remember while somebody is at the provider."""

    state: str
    nonce: str
    verifier: str

    @staticmethod
    def new() -> Trip:
        return Trip(*(secrets.token_urlsafe(32) for _ in range(3)))


@dataclass(frozen=True)
class Identity:
    name: str
    groups: tuple[str, ...]


class Oidc:
    """One provider. ``transport`` is for tests."""

    def __init__(
        self,
        settings: OidcSettings,
        *,
        clock: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        try:
            import joserfc  # noqa: F401
        except ImportError as error:
            raise ConfigError("signing in with OpenID Connect needs joserfc", key="access.oidc",
                              hint="pip install 'midwatch[oidc]'") from error  # fmt: skip
        self.settings = settings
        self._clock, self._transport = clock, transport
        self._about: tuple[float, dict[str, Any]] = (0.0, {})
        self._keys: tuple[float, Any] = (0.0, None)

    @property
    def back(self) -> str:
        """Where the provider sends people back to; it must know this address."""
        return self.settings.url + BACK

    async def away(self, trip: Trip) -> str:
        """The provider's address to send somebody to. Raises UsageError when the provider does not answer."""
        about = await self._discovered()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(trip.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self.back,
            "scope": " ".join(self.settings.scopes),
            "state": trip.state,
            "nonce": trip.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        address = str(about["authorization_endpoint"])
        return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}"

    async def arrived(self, trip: Trip, code: str) -> Identity:
        """Who came back with ``code``. Raises UsageError with a reason that is safe to show."""
        about = await self._discovered()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.back,
            "client_id": self.settings.client_id,
            "code_verifier": trip.verifier,
        }
        auth = None
        if self.settings.client_secret:
            secret = await asyncio.to_thread(resolve, self.settings.client_secret)  # a command may be asked for it
            if "client_secret_basic" in about.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]):
                auth = httpx.BasicAuth(self.settings.client_id, secret)
            else:
                form["client_secret"] = secret
        told = await self._asked("POST", str(about["token_endpoint"]), data=form, auth=auth)
        token = told.get("id_token")
        if not isinstance(token, str) or len(token) > MAX_BYTES:
            raise UsageError("the provider gave no ID token")
        return self._identity(await self._claims(token, trip.nonce, about))

    async def _claims(self, token: str, nonce: str, about: Mapping[str, Any]) -> Mapping[str, Any]:
        from joserfc import errors, jwt

        for fresh in (False, True):
            keys = await self._published(about, fresh)
            try:
                decoded = jwt.decode(token, keys, algorithms=list(ALGORITHMS))
            except (errors.InvalidKeyIdError, errors.BadSignatureError, ValueError) as error:
                if fresh or not self._may_read_keys_again():
                    raise UsageError("the ID token is not signed by a key of the provider") from error
                continue
            except errors.JoseError as error:
                raise UsageError(f"the ID token cannot be read ({type(error).__name__})") from error
            break
        rules = jwt.JWTClaimsRegistry(
            now=lambda: int(self._clock()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": str(about["issuer"])},
            aud={"essential": True, "value": self.settings.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            rules.validate(decoded.claims)
        except errors.JoseError as error:
            raise UsageError(f"the ID token does not hold: {str(error)[:200]}") from error
        audience, party = decoded.claims["aud"], decoded.claims.get("azp")
        if party not in (None, self.settings.client_id) or (
            isinstance(audience, list) and len(audience) > 1 and not party
        ):
            raise UsageError("the ID token was made for another program")
        return dict(decoded.claims)

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        name = claims.get(self.settings.name)
        if not isinstance(name, str) or not name.strip():
            raise UsageError(
                f"the provider says no {self.settings.name}", hint="choose another claim: access.oidc.name"
            )
        verified = claims.get("email_verified", self.settings.email_verified == "assumed")
        if self.settings.name == "email" and str(verified).lower() != "true":  # some say it as a string
            raise UsageError(
                "the provider does not say that it has verified that e-mail address",
                hint="docs/access.md: another claim for access.oidc.name, or access.oidc.email_verified",
            )
        groups = claims.get(self.settings.groups, [])
        groups = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        return Identity(name.strip(), tuple(str(one) for one in groups[:MAX_GROUPS]))

    # -- what the provider publishes --

    async def _discovered(self) -> dict[str, Any]:
        at, about = self._about
        if about and self._clock() - at < KEEP_SECONDS:
            return about
        about = await self._asked("GET", self.settings.issuer + "/.well-known/openid-configuration")
        if str(about.get("issuer", "")).rstrip("/") != self.settings.issuer:
            raise UsageError("the provider says that it is another one", hint="check access.oidc.issuer")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not encrypted(str(about.get(name, ""))):
                raise UsageError(f"the provider's {name} is not an https address")
        self._about = (self._clock(), about)
        return about

    async def _published(self, about: Mapping[str, Any], fresh: bool) -> Any:
        from joserfc.jwk import KeySet

        at, keys = self._keys
        if keys is None or fresh or self._clock() - at > KEEP_SECONDS:
            told = await self._asked("GET", str(about["jwks_uri"]))
            try:
                keys = KeySet.import_key_set(told)  # type: ignore[arg-type]
            except Exception as error:  # whatever a broken key makes the library raise
                raise UsageError("the provider's keys cannot be read") from error
            self._keys = (self._clock(), keys)
        return keys

    def _may_read_keys_again(self) -> bool:
        return self._clock() - self._keys[0] >= AGAIN_SECONDS

    async def _asked(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        try:
            async with (
                httpx.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False, transport=self._transport) as client,
                client.stream(method, url, **more) as answer,
            ):
                body = await beginning(answer, MAX_BYTES)
            if len(body) > MAX_BYTES:
                raise UsageError("the provider says too much", hint="check access.oidc.issuer")
            told = json.loads(body)
        except (httpx.HTTPError, httpx.InvalidURL, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"the provider does not answer ({type(error).__name__})", hint="try again") from error
        if not answer.is_success or not isinstance(told, dict):
            raise UsageError(f"the provider refused ({answer.status_code})", hint="sign in again")
        return told
