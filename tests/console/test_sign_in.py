"""Getting in with a provider, through a proxy and over TLS; and who gets in but may not."""

from __future__ import annotations

import asyncio
import datetime
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.console.provider import Provider
from tests.endless import Endless
from tests.shell.conftest import make_settings

from midwatch.faces.cli.common import Running
from midwatch.faces.console.app import console_app
from midwatch.model import events as e
from midwatch.model.errors import ConfigError, UsageError
from midwatch.model.policy import Policy
from midwatch.shell.access_settings import OidcSettings
from midwatch.shell.oidc import MAX_BYTES, Oidc, Trip
from midwatch.shell.run import Watch

SECRET = "the-client-secret"
CI, BOT, ANA = "c" * 20, "b" * 20, "a" * 20
OIDC = {
    "issuer": Provider.issuer, "client_id": "midwatch", "client_secret": "env:OIDC_SECRET", "url": "https://midwatch.example",
    "roles": {"sre": "operator", "devs": "responder"},
}  # fmt: skip
MACHINES = {
    "ci": {"token": "env:CI_TOKEN", "scopes": ["changes"]},
    "bot": {"token": "env:BOT_TOKEN", "scopes": ["read", "commands"], "role": "responder"},
}


class Scene:
    """A watch whose console is reached as https://midwatch.example, by one browser."""

    def __init__(self, tmp_path: Path, **access: Any) -> None:
        self.now = 1_800_000_000.0
        tokens = {"ana": "env:ANA_TOKEN"} if access.pop("tokens", False) else {}
        self.watch = Watch(make_settings(tmp_path, access=access, tokens=tokens), policy=Policy())
        self.provider = Provider(lambda: self.now)
        oidc = self.watch.settings.access.oidc
        if oidc is not None:
            self.watch.gate.oidc = Oidc(oidc, clock=lambda: self.now, transport=self.provider)

    def run(self, test: Callable[[Scene], Awaitable[None]]) -> None:
        async def go() -> None:
            await self.watch.start()
            try:
                self.app = console_app(self.watch, clock=lambda: self.now)
                self.browser = self.another()
                await test(self)
            finally:
                await self.watch.stop()

        asyncio.run(go())

    def another(self, peer: str = "192.0.2.7") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, client=(peer, 1234))
        return httpx.AsyncClient(transport=transport, base_url="https://midwatch.example")

    async def signs_in(self) -> httpx.Response:
        sent = await self.browser.get("/login/oidc?next=/incidents")
        assert sent.status_code == 303, sent.text
        code, state = self.provider.signs_in(sent.headers["location"])
        return await self.browser.get("/login/oidc/back", params={"code": code, "state": state})

    async def presses(self, verb: str, **headers: str) -> str:
        """What the page says after a button."""
        page = (await self.browser.get("/", headers=headers)).text
        csrf = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
        assert csrf, page
        answer = await self.browser.post("/do", data={"verb": verb, "csrf": csrf[1], "back": "/"}, headers=headers)
        assert answer.status_code == 303
        return (await self.browser.get("/", headers=headers)).text

    def journaled(self, kind: type[Any]) -> list[Any]:
        return [one.event for one in self.watch.journal.read() if isinstance(one.event, kind)]


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("OIDC_SECRET", SECRET), ("CI_TOKEN", CI), ("BOT_TOKEN", BOT), ("ANA_TOKEN", ANA)):
        monkeypatch.setenv(name, value)


def test_a_provider_says_who_it_is_and_its_groups_say_what_for(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        first = await scene.browser.get("/incidents")
        assert first.status_code == 303 and first.headers["location"] == "/login?next=/incidents"
        assert "Sign in with id.example" in (await scene.browser.get(first.headers["location"])).text
        back = await scene.signs_in()
        assert back.status_code == 200 and 'content="0;url=/incidents"' in back.text
        cookie = next(c for c in back.headers.get_list("set-cookie") if c.startswith("midwatch_session="))
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" in cookie
        assert (await scene.browser.get("/incidents")).status_code == 200
        assert "Hands off was ordered" in await scene.presses("hands_off")
        (given,) = scene.journaled(e.CommandGiven)
        assert (given.by, given.credential) == ("ana@example.com", "ana@example.com")
        await scene.watch.audit.write()
        assert e.SignedIn("ana@example.com", "oidc", "operator") in scene.journaled(e.SignedIn)
        scene.now += 13 * 3600
        assert (await scene.browser.get("/incidents")).status_code == 303, "a provider is asked again each half day"

    Scene(tmp_path, oidc=OIDC).run(test)


def test_a_role_that_is_too_small_and_none_at_all(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        scene.provider.claims["groups"] = ["devs", "cooks"]
        await scene.signs_in()
        assert "hands_on takes the role operator; ana@example.com has responder" in await scene.presses("hands_on")
        scene.browser = scene.another()
        scene.provider.claims = {**scene.provider.claims, "email": "zed@example.com", "groups": ["cooks"]}
        refused = await scene.signs_in()
        assert refused.status_code == 403 and "has no role here" in refused.text
        assert (await scene.browser.get("/")).status_code == 303
        await scene.watch.audit.write()
        assert {(one.by, one.what) for one in scene.journaled(e.AccessRefused)} == {
            ("ana@example.com", "hands_on"), ("zed@example.com", "sign in"),
        }  # fmt: skip

    Scene(tmp_path, oidc=OIDC).run(test)


@pytest.mark.parametrize("name", ["bot", "midwatch", "an\nother", "a" * 81])
def test_nobody_signs_in_under_a_name_that_is_another_s(tmp_path: Path, name: str) -> None:
    """A program's name has the program's role; midwatch's own stands in the journal for what nobody said."""
    proxy = {"addresses": ["10.0.0.0/8"], "user": "X-Forwarded-User", "default": "admin"}

    async def test(scene: Scene) -> None:
        scene.provider.claims["email"] = name
        back = await scene.signs_in()
        assert back.status_code == 403 and f"Nobody can be called {name[:80]} here" in back.text
        assert not scene.browser.cookies.get("midwatch_session")
        scene.browser = scene.another("10.1.2.3")
        said = {"X-Forwarded-User": name.replace("\n", "\x01")}
        assert (await scene.browser.get("/", headers=said)).headers["location"].startswith("/login")

    Scene(tmp_path, oidc=OIDC, proxy=proxy, machines=MACHINES).run(test)


BAD_CLAIMS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "another issuer": lambda c: {**c, "iss": "https://evil.example"},
    "another audience": lambda c: {**c, "aud": "another-program"},
    "several audiences": lambda c: {**c, "aud": ["midwatch", "another-program"]},
    "another party": lambda c: {**c, "azp": "another-program"},
    "another nonce": lambda c: {**c, "nonce": "x"},
    "no nonce": lambda c: {k: v for k, v in c.items() if k != "nonce"},
    "too old": lambda c: {**c, "exp": c["exp"] - 3600},
    "no end": lambda c: {k: v for k, v in c.items() if k != "exp"},
    "no name": lambda c: {k: v for k, v in c.items() if k != "email"},
    "a name that nobody has verified": lambda c: {**c, "email_verified": False},
    "a name of which nobody says that it is verified": lambda c: {k: v for k, v in c.items() if k != "email_verified"},
}


@pytest.mark.parametrize("what", BAD_CLAIMS)
def test_a_token_that_does_not_hold_lets_nobody_in(tmp_path: Path, what: str) -> None:
    async def test(scene: Scene) -> None:
        scene.provider.spoil = BAD_CLAIMS[what]
        back = await scene.signs_in()
        assert back.status_code == 401, back.text
        assert not scene.browser.cookies.get("midwatch_session")
        assert SECRET not in back.text and "eyJ" not in back.text

    Scene(tmp_path, oidc=OIDC).run(test)


@pytest.mark.parametrize(
    ("choice", "says", "status"),
    [
        ({"email_verified": "assumed"}, None, 200),
        ({"email_verified": "assumed"}, False, 401),
        ({"email_verified": "assumed"}, "false", 401),
        ({}, "true", 200),
        ({"name": "preferred_username"}, None, 200),
    ],
)
def test_whose_word_an_address_is(tmp_path: Path, choice: dict[str, str], says: object, status: int) -> None:
    async def test(scene: Scene) -> None:
        kept = {k: v for k, v in scene.provider.claims.items() if k != "email_verified"}
        more = {} if says is None else {"email_verified": says}
        scene.provider.claims = {**kept, "preferred_username": "ana@corp.example", **more}
        assert (await scene.signs_in()).status_code == status

    Scene(tmp_path, oidc={**OIDC, **choice}).run(test)


def test_keys_and_their_rotation(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        assert (await scene.signs_in()).status_code == 200
        scene.now += 60
        scene.provider.rotate()
        assert (await scene.signs_in()).status_code == 200, "a new key is read when a token names it"
        scene.now += 60
        scene.provider.forge()
        back = await scene.signs_in()
        assert back.status_code == 401 and "not signed by a key of the provider" in back.text
        asked = scene.provider.asked.count("/keys")
        await scene.signs_in()
        assert scene.provider.asked.count("/keys") == asked, "keys are not read again for each bad token"

    Scene(tmp_path, oidc=OIDC).run(test)


def test_a_provider_without_end_is_not_read_to_its_end() -> None:
    endless = Endless()
    oidc = Oidc(
        OidcSettings(**OIDC),  # type: ignore[arg-type]
        transport=httpx.MockTransport(lambda request: httpx.Response(200, content=endless.words())),
    )
    with pytest.raises(UsageError, match="says too much"):
        asyncio.run(oidc.away(Trip.new()))
    assert endless.given < 2 * MAX_BYTES


def test_a_way_back_that_was_not_begun_here(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        sent = await scene.browser.get("/login/oidc")
        code, state = scene.provider.signs_in(sent.headers["location"])
        elsewhere = scene.another()
        back = {"code": code, "state": state}
        assert (await elsewhere.get("/login/oidc/back", params=back)).status_code == 400, "another browser"
        assert (await scene.browser.get("/login/oidc/back", params={**back, "state": "x"})).status_code == 400
        assert (await scene.browser.get("/login/oidc/back", params={"state": state, "error": "x"})).status_code == 401
        assert (await scene.browser.get("/login/oidc/back", params=back)).status_code == 200
        assert (await scene.browser.get("/login/oidc/back", params=back)).status_code == 400, "once"
        scene.provider.down = True
        scene.now += 4000
        assert (await scene.browser.get("/login/oidc")).status_code == 502
        sent = await scene.browser.get("/login/oidc?next=https://evil.example/")
        assert "evil" not in sent.text

    Scene(tmp_path, oidc=OIDC).run(test)


def test_a_proxy_that_signs_people_in_is_believed_and_nobody_else(tmp_path: Path) -> None:
    proxy = {
        "addresses": ["10.0.0.0/8"],
        "user": "X-Forwarded-User",
        "groups": "X-Groups",
        "roles": {"sre": "operator"},
    }

    async def test(scene: Scene) -> None:
        said = {"X-Forwarded-User": "ana", "X-Groups": "sre, cooks", "X-Forwarded-Proto": "https"}
        stranger = await scene.browser.get("/", headers=said)
        assert stranger.status_code == 303 and stranger.headers["location"].startswith("/login"), "not from the proxy"
        scene.browser = scene.another("10.1.2.3")
        assert (await scene.browser.get("/")).status_code == 303, "the proxy says nobody"
        assert "Hands off was ordered" in await scene.presses("hands_off", **said)
        (given,) = scene.journaled(e.CommandGiven)
        assert given.credential == "ana"
        kept = scene.browser.cookies.get("midwatch_session") or ""
        assert (await scene.browser.get("/")).status_code == 303, "the cookie alone is not enough"
        other = {**said, "X-Forwarded-User": "bo", "X-Groups": ""}
        assert (await scene.browser.get("/", headers=other)).status_code == 403, "signed in as somebody without a role"
        outside = scene.another()
        outside.cookies.set("midwatch_session", kept)
        assert (await outside.get("/")).status_code == 303

    Scene(tmp_path, proxy=proxy).run(test)


def test_what_tokens_of_programs_are_for(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        change = {"id": "d-1", "at": scene.now, "kind": "deploy", "entity": "payment"}
        note = {"verb": "note", "target": "", "note": "x"}
        answers = {}
        for name, token in (("ci", CI), ("bot", BOT), ("ana", ANA), ("nobody", "x" * 20)):
            headers = {"Authorization": f"Bearer {token}"}
            answers[name] = [
                (await scene.browser.get("/api/v1/status", headers=headers)).status_code,
                (await scene.browser.post("/api/v1/changes", json=change, headers=headers)).status_code,
                (await scene.browser.post("/api/v1/commands", json=note, headers=headers)).status_code,
                (
                    await scene.browser.post(
                        "/api/v1/commands", json={"verb": "hands_on", "target": ""}, headers=headers
                    )
                ).status_code,
            ]
        assert answers == {
            "ci": [403, 202, 403, 403], "bot": [200, 403, 202, 403], "ana": [200, 202, 403, 403],
            "nobody": [401, 401, 401, 401],
        }  # fmt: skip
        assert [(one.by, one.credential) for one in scene.journaled(e.CommandGiven)] == [("bot", "bot")]
        page = await scene.browser.post("/login", data={"token": BOT, "next": "/"})
        assert page.status_code == 401, "a program has no business at the page"
        await scene.watch.audit.write()
        refused = {(one.by, one.what) for one in scene.journaled(e.AccessRefused)}
        assert {("ci", "/api/v1/status"), ("bot", "hands_on"), ("ana", "note"), ("", "/api/v1/status")} <= refused

    Scene(tmp_path, machines=MACHINES, tokens=True).run(test)


def test_over_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    _self_signed(certificate, key)
    tls = {"certificate": certificate, "key": key}

    async def go() -> None:
        watch = Watch(make_settings(tmp_path, access={"tls": tls}), policy=Policy(), console=console_app)
        await watch.start()
        running = Running(watch.settings.folder)
        assert running.api.startswith("https://")
        found = await asyncio.to_thread(running.get, "/api/v1/status")
        assert found["seq"] == watch.state.seq
        async with httpx.AsyncClient(trust_env=False) as anybody:
            with pytest.raises(httpx.ConnectError):
                await anybody.get(running.api)
        await watch.stop()

    asyncio.run(go())
    key.write_text("not a key")
    broken = Watch(make_settings(tmp_path, access={"tls": tls}), policy=Policy(), console=console_app)
    with pytest.raises(ConfigError, match="certificate and key"):
        asyncio.run(broken.start())


def _self_signed(certificate: Path, key: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "midwatch.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1)).sign(private, hashes.SHA256())
    )  # fmt: skip
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
