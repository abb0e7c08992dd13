"""The platform API: what an operator, or midwatch, can do to the fleet. Every verb is carried out for real.

``POST /v1/ops {"key", "verb", "target", "parameters", "by"}`` is carried out once per key; the same key answers what
happened the first time. Each outcome carries what the undo needs. Whatever changes goes to the change feed.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import psycopg
import redis.asyncio
from aiohttp import web

from midwatch.gym.fleet.operations import VERBS
from midwatch.gym.fleet.proxy import ProxyError

if TYPE_CHECKING:
    from midwatch.gym.fleet.darkside import DarkServer
    from midwatch.gym.fleet.supervisor import Supervisor

MAX_KEYS = 10_000


class PlatformServer:
    """HTTP on loopback with a bearer token."""

    def __init__(self, supervisor: Supervisor, dark: DarkServer) -> None:
        self.supervisor, self.dark = supervisor, dark
        self.outcomes: OrderedDict[str, asyncio.Future[dict[str, Any]]] = OrderedDict()

    async def start(self) -> str:
        self.runner = web.ServerRunner(web.Server(self.handle, access_log=None))
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{site.port}"

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.supervisor.token}".encode()):
            return web.json_response({"error": "a bearer token is needed"}, status=401)
        if request.method == "GET" and request.path == "/v1/state":
            return web.json_response(await self.state())
        if request.method == "GET" and request.path.startswith("/v1/ops/"):
            known = self.outcomes.get(request.path.removeprefix("/v1/ops/"))
            if known is None:
                return web.json_response({"error": "no operation has this key"}, status=404)
            if not known.done():
                return web.json_response({"status": "running"}, status=202)
            return web.json_response(known.result())
        if request.method == "POST" and request.path == "/v1/ops":
            return await self.post(request)
        return web.json_response({"error": "no such path"}, status=404)

    async def post(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            body = json.loads(await request.read())
            key, verb, target = str(body["key"]), str(body["verb"]), str(body["target"])
            parameters, by = dict(body.get("parameters") or {}), str(body.get("by", "operator"))
        except (ValueError, KeyError, TypeError) as error:
            return web.json_response({"error": f"not an operation: {error!r}"}, status=400)
        known = self.outcomes.get(key)
        if known is None:
            known = asyncio.get_running_loop().create_future()
            self.outcomes[key] = known
            while len(self.outcomes) > MAX_KEYS:
                self.outcomes.popitem(last=False)
            try:
                outcome = await asyncio.wait_for(self.carry_out(verb, target, parameters, by), 25.0)
            except Exception as error:  # whatever it is: the key must have an outcome
                outcome = {"status": "failed", "result": repr(error)[:300], "undo_parameters": {}}
            known.set_result(outcome)
        return web.json_response(await asyncio.shield(known))

    async def carry_out(self, verb: str, target: str, parameters: dict[str, Any], by: str) -> dict[str, Any]:
        from midwatch.gym.fleet.supervisor import OperationFailed

        work = VERBS.get(verb)
        if work is None:
            return {"status": "failed", "result": f"no such verb: {verb}", "undo_parameters": {}}
        name = target.split(":", 1)[-1]
        try:
            result, undo = await work(self.supervisor, name, parameters, by)
        except (OperationFailed, ProxyError, psycopg.Error, redis.RedisError, OSError, RuntimeError) as error:
            return {"status": "failed", "result": str(error)[:300], "undo_parameters": {}}
        except (KeyError, ValueError, TypeError) as error:
            return {"status": "failed", "result": f"bad parameters: {error!r}"[:300], "undo_parameters": {}}
        await self.dark.fixed(verb, name)
        return {"status": "done", "result": result, "undo_parameters": undo}

    async def state(self) -> dict[str, Any]:
        supervisor = self.supervisor
        proxy = await supervisor.proxy.weights()
        services = {
            name: {"version": state.versions[-1], "versions": state.versions[-5:], "builds": sorted(state.builds),
                   "config": state.configs[-1], "flags": state.flags, "cache_bypassed": state.bypass,
                   "shed_ratio": state.shed_ratio, "instances_per_region": state.count}
            for name, state in supervisor.states.items()
        }  # fmt: skip
        instances = {
            name: {"pid": process.pid, "version": process.version, "up": not process.ended.is_set(),
                   "proxy": proxy.get(name, "MAINT"), "restarts": supervisor.restarts.get(name, 0),
                   "started_at": process.started_at, "drained": name in supervisor.drained}
            for name, process in supervisor.instances.items()
        }  # fmt: skip
        return {"services": services, "instances": instances, "regions": supervisor.regions}
