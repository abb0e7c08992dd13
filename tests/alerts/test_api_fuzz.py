"""The HTTP API from its own OpenAPI document: whatever it allows and what it does not, no answer is a 5xx and none holds a
secret; what other systems may send by it is taken. A running watch with an alert and an incident, so that there is something
to find, and with a key or a signature for each door."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from tests.alerts.conftest import OnWatch, recorded_bodies, until

from midwatch.adapters.channels import opsgenie_hook, pagerduty_hook
from midwatch.adapters.channels.slack import interact
from midwatch.adapters.fakes.opsgenie import FakeOpsgenie
from midwatch.adapters.fakes.pagerduty import FakePagerDuty
from midwatch.faces.api.alert_routes import ROUTES
from midwatch.faces.api.app import api_app
from midwatch.faces.api.openapi_bodies import SCHEMAS
from midwatch.faces.api.pager_routes import PRODUCTS

pytestmark = pytest.mark.integration

EXAMPLES: Final = 4
SLOW: Final = ("/api/v1/investigate",)  # a process of its own for each question
HOOK: Final = "w" * 32
CHANNELS: Final = {
    "pagerduty": {"type": "pagerduty", "routing_key": "env:HOOK", "webhook_secret": "env:HOOK"},
    "opsgenie": {"type": "opsgenie", "api_key": "env:HOOK", "webhook_secret": "env:HOOK"},
    "slack": {"type": "slack", "token": "env:HOOK", "signing_secret": "env:HOOK", "channel": "C0123"},
}
DOORS: Final = {**{path: one.kind for path, one in ROUTES.items()}, "/v2/alerts": "opsgenie"}
"""Path -> whose key is shown there."""
TAKEN: Final = {
    "/in/alertmanager", "/in/grafana", "/in/email", "/v2/enqueue", "/v2/change/enqueue", "/v2/alerts",
    "/v2/alerts/{identifier}/close", "/v2/alerts/{identifier}/acknowledge", "/v2/alerts/{identifier}/notes",
    "/in/pagerduty/{channel}", "/in/opsgenie/{channel}",
}  # fmt: skip
"""What the document allows there is accepted. A CloudEvent or any JSON may still say nothing of an alert, and a form of
Slack may hold no JSON."""


@schemathesis.serializer("message/rfc822")
def mail(context: Any, value: Any) -> bytes:
    return str(value).encode("utf-8", "replace")


@pytest.fixture
def served(on_watch: Callable[..., OnWatch], monkeypatch: pytest.MonkeyPatch) -> Iterator[OnWatch]:
    """The watch on a thread of its own: the fuzzer is no coroutine."""
    monkeypatch.setenv("HOOK", HOOK)
    ready, loop, found = threading.Event(), asyncio.new_event_loop(), []

    async def go() -> None:
        async with on_watch(channels=CHANNELS) as on, httpx.AsyncClient(base_url=on.url) as client:
            key = {"Authorization": f"Bearer {on.keys['alertmanager']}"}
            await client.post("/in/alertmanager", content=recorded_bodies()[1], headers=key)
            await until(lambda: on.watch.state.incidents)
            found.append((on, asyncio.Event()))
            ready.set()
            await found[0][1].wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(go(),))
    thread.start()
    assert ready.wait(60)
    on, over = found[0]
    yield on
    loop.call_soon_threadsafe(over.set)
    thread.join(60)


def test_no_5xx_and_no_secret(served: OnWatch) -> None:
    schema = schemathesis.openapi.from_dict(api_app(served.watch).openapi())
    tried, taken = set(), set()
    with httpx.Client(base_url=served.url, timeout=60) as client:
        fuzz = Fuzz(client, served)
        for found in schema.get_all_operations():
            operation = found.ok()
            if operation.path in SLOW:
                continue
            tried.add(operation.path)
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                with contextlib.suppress(Unsatisfiable):  # what takes nothing has nothing wrong to be given
                    if fuzz.all(operation, mode) and mode is GenerationMode.POSITIVE and operation.method == "post":
                        taken.add(operation.path)
        told = client.get("/api/v1/openapi.json", headers=fuzz.keys("/api/v1/openapi.json", b"")).json()
    assert tried | set(SLOW) == set(told["paths"]), "what is served is what was tried"
    assert tried >= {*DOORS, *(f"{prefix}{{channel}}" for prefix in (*PRODUCTS, "/in/slack/"))}
    assert taken >= TAKEN, f"never accepted: {TAKEN - taken}"
    assert len(tried) > 30


class Fuzz:
    def __init__(self, client: httpx.Client, on: OnWatch) -> None:
        self.client, self.on = client, on
        self.secrets = [on.watch.api_token, HOOK, *on.keys.values()]

    def all(self, operation: Any, mode: GenerationMode) -> bool:
        """Whether any of it was accepted."""
        accepted = []

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode))
        def one(case: Any) -> None:
            answer = self.sent(case, operation.path)
            if answer is None:
                return
            where = (operation.method, answer.url, answer.request.content[:300], answer.status_code, answer.text[:300])
            assert answer.status_code < 500, where
            assert not any(secret in answer.text for secret in self.secrets), where
            if mode is GenerationMode.POSITIVE and operation.method == "post" and operation.path in TAKEN:
                assert answer.status_code < 400 or answer.status_code == 409, where  # done when no clock is believed
            accepted.append(answer.is_success)

        one()
        return any(accepted)

    def sent(self, case: Any, path: str) -> httpx.Response | None:
        """None when the client will not even send it."""
        if "channel" in (case.path_parameters or {}):
            case.path_parameters["channel"] = path.split("/")[2]
        asked = case.as_transport_kwargs(base_url=str(self.client.base_url))
        if isinstance(said := asked.get("json"), dict) and path in ("/v2/enqueue", "/v2/change/enqueue"):
            asked["json"] = {**said, "routing_key": self.on.keys["pagerduty"]} if "routing_key" in said else said
        given = {name: asked.get(name) for name in ("params", "json", "data") if asked.get(name) is not None}
        given["content"] = given.pop("data") if isinstance(given.get("data"), bytes | str) else None
        try:
            request = self.client.build_request(asked["method"], asked["url"], **given, headers=dict(asked["headers"]))
            request.headers.update(self.keys(path, request.read()))
            return self.client.send(request)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeError, TypeError):
            return None

    def keys(self, path: str, body: bytes) -> dict[str, str]:
        """Who sends it, as that door asks for."""
        if path == "/in/pagerduty/{channel}":
            return {"X-PagerDuty-Signature": pagerduty_hook.sign(HOOK, body)}
        if path == "/in/slack/{channel}":
            at = f"{self.on.watch.now():.0f}"
            return {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": interact.sign(HOOK, at, body)}
        if path == "/in/opsgenie/{channel}":
            return {"Authorization": f"Bearer {HOOK}"}
        kind = next((kind for door, kind in DOORS.items() if path == door or path.startswith(f"{door}/")), "")
        return {"Authorization": f"Bearer {self.on.keys[kind] if kind else self.on.watch.api_token}"}


def test_what_others_really_send_is_what_the_document_says() -> None:
    """Bodies of a real Alertmanager, and the contract fakes' webhooks."""
    pager, genie = FakePagerDuty(), FakeOpsgenie()
    sent = {
        "AlertmanagerWebhook": recorded_bodies(),
        "PagerDutyWebhook": [pager.does(what, "k", 1.8e9)[0] for what in ("acknowledged", "annotated", "reassigned")],
        "OpsgenieWebhook": [genie.does(action, "k", 1.8e9)[0] for action in opsgenie_hook.VERBS],
    }
    for name, bodies in sent.items():
        schema = jsonschema_rs.validator_for(SCHEMAS[name])
        for body in bodies:
            schema.validate(json.loads(body))
        assert not schema.is_valid({}), name
