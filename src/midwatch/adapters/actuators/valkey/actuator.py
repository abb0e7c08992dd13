"""Hands on Valkey (or Redis): flush what is cached."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from midwatch.adapters.actuators.common import Done, check
from midwatch.adapters.actuators.valkey.manifest import VERBS
from midwatch.model.actions import Action, Outcome, VerbSpec
from midwatch.model.entity import name_of
from midwatch.model.errors import ActuatorError, InDoubt


class ValkeyActuator:
    """``url`` as ``redis://[:password@]host:port/db``; ``cache`` is the entity's name. Only that database is flushed."""

    def __init__(self, url: str, *, cache: str = "valkey") -> None:
        self._url = url
        self._cache = cache
        self._done = Done()

    @property
    def verbs(self) -> Mapping[str, VerbSpec]:
        return VERBS

    async def apply(self, action: Action) -> Outcome:
        spec = check(VERBS, action)
        if name_of(action.target) != self._cache:
            raise ActuatorError(f"no such cache here: {action.target}")
        if known := self._done.get(action.key):
            return known
        errors = _redis()[1]
        client = _redis()[0].from_url(self._url, socket_connect_timeout=2, socket_timeout=spec.timeout_seconds)
        try:
            async with asyncio.timeout(spec.timeout_seconds):
                try:
                    before = int(await client.dbsize())
                except (errors.RedisError, OSError) as error:
                    raise ActuatorError(f"the cache does not answer: {type(error).__name__}") from error
                await client.flushdb(asynchronous=True)
        except (TimeoutError, errors.RedisError, OSError) as error:
            raise InDoubt(f"flush: no answer from the cache ({type(error).__name__})") from error
        finally:
            await client.aclose()
        return self._done.put(action.key, Outcome("done", f"{before} keys thrown away"))

    async def observe(self, action: Action) -> Outcome:
        """A flush leaves no trace once keys come back: known only to the process that did it."""
        check(VERBS, action)
        return self._done.get(action.key) or Outcome("in_doubt", "a cache does not remember being flushed")


def _redis() -> tuple[Any, Any]:
    try:
        import redis.asyncio as client
        import redis.exceptions as errors
    except ImportError as error:
        raise ActuatorError(
            "the Valkey actuator needs the package redis", hint="pip install 'redis>=5.2' (or midwatch[gym])"
        ) from error
    return client, errors
