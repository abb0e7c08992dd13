"""Hands on a deploy platform that speaks a small HTTP protocol.

``POST /v1/ops {"key", "verb", "target", "parameters", "by"}`` carries an operation out once per key and answers
``{"status": "done"|"failed", "result", "undo_parameters"}``; ``GET /v1/ops/{key}`` tells what became of one (404: it never
arrived). So the same key is safe to send twice, and after a crash the platform itself says what is true.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import httpx

from midwatch.adapters.actuators.common import check
from midwatch.adapters.actuators.platform.manifest import VERBS
from midwatch.adapters.bounded import beginning
from midwatch.model.actions import Action, Outcome, Scalar, VerbSpec
from midwatch.model.entity import name_of
from midwatch.model.errors import ActuatorError, InDoubt

MAX_ANSWER_BYTES: Final = 1024 * 1024
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class PlatformActuator:
    """``url`` is the platform's root, ``token`` its bearer token (never logged, never in a URL).

    ``only`` narrows the verbs to those that this platform should be used for (all of the manifest when empty).
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        only: tuple[str, ...] = (),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._transport = transport
        self._verbs = {verb: spec for verb, spec in VERBS.items() if not only or verb in only}

    @property
    def verbs(self) -> Mapping[str, VerbSpec]:
        return self._verbs

    async def apply(self, action: Action) -> Outcome:
        spec = check(self._verbs, action)
        seconds = min(action.timeout_seconds, spec.timeout_seconds) if action.timeout_seconds else spec.timeout_seconds
        body = {
            "key": action.key,
            "verb": action.verb,
            "target": name_of(action.target),
            "parameters": dict(action.parameters),
            "by": "midwatch",
        }
        try:
            answer = await self._asked("POST", "/v1/ops", seconds, body)
        except _NEVER_SENT as error:
            raise ActuatorError(f"the platform does not answer: {type(error).__name__}") from error
        except (TimeoutError, httpx.HTTPError) as error:
            raise InDoubt(f"{action.verb}: no answer from the platform ({type(error).__name__})") from error
        if answer.status_code >= 500:
            raise InDoubt(f"{action.verb}: the platform answered {answer.status_code}")
        if answer.status_code >= 400:
            raise ActuatorError(f"{action.verb}: the platform answered {answer.status_code}: {_short(answer)}")
        return _outcome(answer)

    async def observe(self, action: Action) -> Outcome:
        check(self._verbs, action)
        try:
            answer = await self._asked("GET", f"/v1/ops/{quote(action.key, safe='')}", 5)
        except (TimeoutError, httpx.HTTPError) as error:
            return Outcome("in_doubt", f"the platform does not answer: {type(error).__name__}")
        if answer.status_code == 404:
            return Outcome("failed", "the platform never saw it", untouched=True)
        if answer.status_code != 200:
            return Outcome("in_doubt", f"the platform answered {answer.status_code}")
        try:
            return _outcome(answer)
        except InDoubt as error:
            return Outcome("in_doubt", str(error))

    async def _asked(self, method: str, path: str, seconds: float, body: object = None) -> httpx.Response:
        """The answer; of one that is too long the beginning, which no reader understands: then what was done is in doubt."""
        # Proxies of the environment are for the internet; the platform is named in full.
        client = httpx.AsyncClient(headers=self._headers, timeout=seconds, transport=self._transport, trust_env=False)
        async with (
            asyncio.timeout(seconds),
            client,
            client.stream(method, self._url + path, json=body) as answer,
        ):
            body = await beginning(answer, MAX_ANSWER_BYTES)
        return httpx.Response(answer.status_code, content=body[:MAX_ANSWER_BYTES])


def _short(answer: httpx.Response) -> str:
    return answer.text[:200].replace("\n", " ")


def _outcome(answer: httpx.Response) -> Outcome:
    try:
        said: Any = answer.json()
        status = said["status"]
    except (ValueError, KeyError, TypeError) as error:
        raise InDoubt(f"the platform's answer cannot be read: {_short(answer)}") from error
    if status not in ("done", "failed"):
        return Outcome("in_doubt", f"the platform says {status!r}")
    undo = said.get("undo_parameters") or {}
    before: dict[str, Scalar] = {str(k): v for k, v in undo.items() if isinstance(v, str | int | float | bool)}
    return Outcome(status, str(said.get("result", ""))[:500], before)
