"""The platform actuator against a platform that answers, refuses, breaks off and hangs."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from midwatch.adapters.actuators.platform.actuator import PlatformActuator
from midwatch.model.actions import Action
from midwatch.model.errors import ActuatorError, InDoubt

RESIZE = Action("A1", "inc-1:resize", "I1", "book", "resize_pool", "service:payment", parameters={"size": 12})


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
