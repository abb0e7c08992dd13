"""A contract fake of an OpenID Connect provider: publishes keys, takes a code once, checks PKCE, signs real ID tokens."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey


class Provider(httpx.AsyncBaseTransport):
    """``claims`` are what it says of whoever signs in; ``spoil`` may change them, or the header, before they are signed."""

    issuer = "https://id.example"

    def __init__(
        self, clock: Callable[[], float], client_id: str = "midwatch", secret: str = "the-client-secret"
    ) -> None:
        self.clock, self.client_id, self.secret = clock, client_id, secret
        self.claims: dict[str, Any] = {
            "sub": "42",
            "email": "ana@example.com",
            "groups": ["sre"],
            "email_verified": True,
        }
        self.spoil: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
        self.keys = [RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})]
        self.published = self.keys
        self.algorithm = "RS256"
        self.down = False
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}

    def rotate(self) -> None:
        """Another key, of another kind."""
        self.keys, self.algorithm = [ECKey.generate_key("P-256", {"kid": "two", "use": "sig", "alg": "ES256"})], "ES256"
        self.published = self.keys

    def forge(self) -> None:
        """Somebody else signs, under the name of the key that is published."""
        kid, self.algorithm = self.published[0].kid, "ES256"
        self.keys = [ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": "ES256"})]

    def signs_in(self, address: str) -> tuple[str, str]:
        """What a person does at the address that they were sent to: the (code, state) that they bring back."""
        asked = {k: v[0] for k, v in parse_qs(urlsplit(address).query).items()}
        assert asked["response_type"] == "code" and asked["client_id"] == self.client_id
        assert asked["code_challenge_method"] == "S256" and "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return code, asked["state"]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if self.down:
            raise httpx.ConnectError("no route")
        if request.url.path == "/.well-known/openid-configuration":
            return httpx.Response(200, json={
                "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            })  # fmt: skip
        if request.url.path == "/keys":
            return httpx.Response(200, json=KeySet(self.published).as_dict(private=False))
        return self._token(request)

    def _token(self, request: httpx.Request) -> httpx.Response:
        form = {k: v[0] for k, v in parse_qs(request.content.decode()).items()}
        basic = base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()
        begun = self._codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if request.headers.get("authorization") != f"Basic {basic}":
            return httpx.Response(401, json={"error": "invalid_client"})
        if (
            begun is None
            or begun["redirect_uri"] != form["redirect_uri"]
            or begun["code_challenge"] != challenge.rstrip(b"=").decode()
        ):
            return httpx.Response(400, json={"error": "invalid_grant"})
        now = int(self.clock())
        claims = {"iss": self.issuer, "aud": self.client_id, "iat": now, "exp": now + 300, "nonce": begun["nonce"]}
        claims = self.spoil({**claims, **self.claims})
        token = jwt.encode({"alg": self.algorithm, "kid": self.keys[0].kid}, claims, self.keys[0], [self.algorithm])
        return httpx.Response(200, json={"id_token": token, "access_token": "x", "token_type": "Bearer"})
