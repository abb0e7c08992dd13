"""The HTTP API from its own OpenAPI document: whatever it allows and what it does not, no answer is a 5xx and none holds a
secret. A running watch with an alert, an incident and a silence, so that there is something to find."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from tests.alerts.conftest import OnWatch, recorded_bodies, until

from midwatch.faces.api.app import api_app

pytestmark = pytest.mark.integration

EXAMPLES = 4
SLOW = ("/api/v1/investigate",)  # a process of its own for each question


@pytest.fixture
def served(on_watch: Callable[..., OnWatch]) -> Iterator[OnWatch]:
    """The watch on a thread of its own: the fuzzer is no coroutine."""
    ready, loop, found = threading.Event(), asyncio.new_event_loop(), []

    async def go() -> None:
        async with on_watch() as on, httpx.AsyncClient(base_url=on.url) as client:
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
    secrets = [served.watch.api_token, *served.keys.values()]
    tried = 0
    with httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {served.watch.api_token}"}) as client:
        for found in schema.get_all_operations():
            operation = found.ok()
            if operation.path in SLOW:
                continue
            tried += 1
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                with contextlib.suppress(Unsatisfiable):  # what takes nothing has nothing wrong to be given
                    _fuzz(client, operation, mode, secrets)
    assert tried > 15


def _fuzz(client: httpx.Client, operation: Any, mode: GenerationMode, secrets: list[str]) -> None:
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        asked = case.as_transport_kwargs(base_url=str(client.base_url))
        given = {name: asked.get(name) for name in ("params", "json", "data") if asked.get(name) is not None}
        given["content"] = given.pop("data") if isinstance(given.get("data"), bytes | str) else None
        try:
            answer = client.request(asked["method"], asked["url"], **given, timeout=30)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
            return  # the client will not even send it
        where = (asked["method"], asked["url"], answer.status_code, answer.text[:300])
        assert answer.status_code < 500, where
        assert not any(secret in answer.text for secret in secrets), where

    one()
