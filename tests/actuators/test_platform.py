"""The platform actuator against a platform that answers, refuses, breaks off and hangs."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import unquote

import httpx
import pytest
from msgspec.structs import replace
from tests.endless import Endless

from midwatch.adapters.actuators.platform.actuator import MAX_ANSWER_BYTES, PlatformActuator
from midwatch.adapters.fakes.server import Answer, Asked, FakeApi
from midwatch.adapters.testing import (
    Receiver,
    check_idempotent,
    check_not_done_is_said,
    check_refuses,
    check_silence_is_doubt,
    check_unreachable_failed,
    sample_action,
)
from midwatch.model.actions import Action
from midwatch.model.errors import ActuatorError, InDoubt

RESIZE = Action("A1", "inc-1:resize", "I1", "book", "resize_pool", "service:payment", parameters={"size": 12})


class Platform(FakeApi):
    """Carries an operation out once per key, on one pool."""

    def __init__(self) -> None:
        super().__init__()
        self.size, self.effects, self.done = 5, 0, dict[str, Answer]()

    def answer(self, asked: Asked) -> Answer:
        if asked.method == "GET":
            return self.done.get(unquote(asked.path.rpartition("/")[2]), Answer(404))
        key, size = asked.read["key"], asked.read["parameters"]["size"]
        if key not in self.done:
            before, self.size, self.effects = self.size, size, self.effects + 1
            self.done[key] = Answer(200, {"status": "done", "result": "resized", "undo_parameters": {"size": before}})
        return self.done[key]


def test_it_is_an_actuator_as_the_kit_has_it() -> None:
    resize = sample_action("resize_pool", "service:payment", "INC-1/resize/payment/1", size=12)
    undo = sample_action("resize_pool", "service:payment", "INC-1/resize/payment/1/undo", size=5)
    wrong = [
        sample_action("resize_pool", "database:shop", "k1", size=12),
        sample_action("resize_pool", "service:", "k2", size=12),
        sample_action("resize_pool", "service:payment", "k3"),
        sample_action("resize_pool", "service:payment", "k4", size=10**9),
        sample_action("resize_pool", "service:payment", "k5", size=12, shell="rm"),
        sample_action("format_disk", "service:payment", "k6"),
    ]

    async def go(platform: Platform, silent: Receiver) -> None:
        hands = PlatformActuator(platform.url, "hush")
        await check_not_done_is_said(hands, resize)
        await check_idempotent(hands, resize, lambda: platform.effects, undo=undo)
        assert platform.size == 5
        await check_refuses(hands, wrong, lambda: platform.effects)
        await check_unreachable_failed(PlatformActuator("http://127.0.0.1:9"), resize)
        await check_silence_is_doubt(PlatformActuator(silent.url), replace(resize, timeout_seconds=0.3), 0.3)

    with Platform() as platform, Receiver(silent_seconds=5) as silent:
        asyncio.run(go(platform, silent))


def actuator(handler: object) -> PlatformActuator:
    return PlatformActuator("http://platform", "hush", transport=httpx.MockTransport(handler))  # type: ignore[arg-type]


def test_an_operation_carries_key_and_token_and_brings_back_what_undo_needs() -> None:
    seen = {}

    def answer(request: httpx.Request) -> httpx.Response:
        seen.update(json.loads(request.content), token=request.headers["authorization"], url=str(request.url))
        return httpx.Response(200, json={"status": "done", "result": "5 -> 12", "undo_parameters": {"size": 5}})

    outcome = asyncio.run(actuator(answer).apply(RESIZE))
    assert (outcome.status, outcome.undo_parameters) == ("done", {"size": 5})
    assert seen["key"] == "inc-1:resize" and seen["target"] == "payment" and seen["token"] == "Bearer hush"
    assert "hush" not in seen["url"]


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_a_refusal_is_a_failure(status: int) -> None:
    with pytest.raises(ActuatorError) as caught:
        asyncio.run(actuator(lambda r: httpx.Response(status, text="no")).apply(RESIZE))
    assert not isinstance(caught.value, InDoubt)


def test_nobody_listening_is_a_failure_and_nothing_happened() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(ActuatorError) as caught:
        asyncio.run(actuator(refuse).apply(RESIZE))
    assert not isinstance(caught.value, InDoubt)


def broken(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("reset", request=request)


@pytest.mark.parametrize(
    "handler",
    [broken, lambda r: httpx.Response(502), lambda r: httpx.Response(200, text="<html>")],
    ids=["reset", "bad gateway", "not JSON"],
)
def test_an_answer_that_never_came_is_doubt(handler: object) -> None:
    with pytest.raises(InDoubt):
        asyncio.run(actuator(handler).apply(RESIZE))


@pytest.mark.parametrize(("status", "failure"), [(200, InDoubt), (400, ActuatorError)])
def test_an_answer_without_end_is_not_read_to_its_end(status: int, failure: type[ActuatorError]) -> None:
    endless = Endless()

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=endless.words())

    with pytest.raises(failure):
        asyncio.run(actuator(answer).apply(RESIZE))
    seen = asyncio.run(actuator(answer).observe(RESIZE))
    assert seen.status == "in_doubt" and endless.given < 4 * MAX_ANSWER_BYTES


@pytest.mark.parametrize(
    ("response", "status"),
    [
        (httpx.Response(404), "failed"),
        (httpx.Response(500), "in_doubt"),
        (httpx.Response(200, json={"status": "done"}), "done"),
        (httpx.Response(200, json={"status": "running"}), "in_doubt"),
    ],
)
def test_observe_asks_the_platform_what_became_of_the_key(response: httpx.Response, status: str) -> None:
    assert asyncio.run(actuator(lambda r: response).observe(RESIZE)).status == status


def test_only_narrows_the_verbs() -> None:
    narrow = PlatformActuator("http://platform", only=("restart",))
    assert set(narrow.verbs) == {"restart"}
    with pytest.raises(ActuatorError):
        asyncio.run(narrow.apply(RESIZE))
