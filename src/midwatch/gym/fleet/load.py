"""Users: open-loop arrivals (Poisson), a compressible day, six journeys; and the log of what they got."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import random
import time
from typing import Any

import aiohttp

JOURNEYS = (
    ("browse", 0.28),
    ("search", 0.17),
    ("product", 0.25),
    ("cart", 0.09),
    ("checkout", 0.15),
    ("account", 0.06),
)
FIRST_HOP = {"browse": "storefront", "search": "search", "product": "storefront", "cart": "cart", "checkout": "checkout",
             "account": "user"}  # fmt: skip
TERMS = ("lamp", "chair", "desk", "shelf", "rug", "vase", "clock", "mirror")
TIMEOUT_SECONDS = 5.0
MAX_INFLIGHT = 600


class Load:
    """The generator; ``rate``, ``factor`` and ``retries`` change while it runs."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.url: str = spec["gateway_url"]
        self.rate: float = spec["rate"]
        self.factor = 1.0
        self.retries = 0
        self.day_seconds: float = spec["day_seconds"]
        self.random = random.Random(spec["seed"])
        self.log = open(spec["log"], "a", buffering=1)  # noqa: SIM115
        present = [(name, weight) for name, weight in JOURNEYS if FIRST_HOP[name] in spec["services"]]
        self.names = [name for name, _ in present]
        self.weights = [weight for _, weight in present]
        self.inflight = 0
        self.hold_until: dict[str, float] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    def current_rate(self, now: float) -> float:
        rate = self.rate * self.factor
        if self.day_seconds > 0:
            rate *= 1 + 0.5 * math.sin(2 * math.pi * now / self.day_seconds)
        return max(rate, 0.01)

    def request(self, journey: str) -> tuple[str, str, dict[str, int] | None]:
        draw = self.random
        product, user = int(draw.paretovariate(0.7) * 7) % 2000, draw.randrange(5000)
        if journey == "browse":
            return "GET", f"/?category={draw.randrange(12)}", None
        if journey == "search":
            return "GET", f"/search?q={draw.choice(TERMS)}", None
        if journey == "product":
            return "GET", f"/products/{product}", None
        if journey == "account":
            return "GET", f"/account/{user}", None
        return "POST", f"/{journey}", {"user": user, "product": product}

    async def one(self, session: aiohttp.ClientSession, journey: str) -> None:
        method, path, body = self.request(journey)
        self.inflight += 1
        try:
            for _ in range(1 + self.retries):
                at, begun = time.time(), time.perf_counter()
                status, error, shed = 0, "", False
                try:
                    async with session.request(method, self.url + path, json=body) as reply:
                        await reply.read()
                        status, shed = reply.status, "X-Shed" in reply.headers
                        if shed:  # honour Retry-After: stay away for a while
                            self.hold_until[journey] = time.time() + float(reply.headers.get("Retry-After", 1))
                except (aiohttp.ClientError, OSError, TimeoutError) as failure:
                    error = type(failure).__name__
                ok = 200 <= status < 400
                record = {
                    "at": round(at, 4),
                    "journey": journey,
                    "ok": ok,
                    "status": status,
                    "latency_ms": round((time.perf_counter() - begun) * 1000, 2),
                    "shed": shed,
                    "error": error,
                }
                self.log.write(json.dumps(record) + "\n")
                if ok or shed:
                    break
        finally:
            self.inflight -= 1

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=10.0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            due = time.monotonic()
            while True:
                due += self.random.expovariate(self.current_rate(time.time()))
                pause = due - time.monotonic()
                if pause > 0:
                    await asyncio.sleep(pause)
                elif pause < -2:
                    due = time.monotonic()  # the machine was away: do not make up for it in one burst
                if self.inflight >= MAX_INFLIGHT:
                    continue
                journey = self.random.choices(self.names, self.weights)[0]
                task = asyncio.create_task(self.one(session, journey))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)


async def run_load(spec: dict[str, Any]) -> None:
    """Send requests until the supervisor goes away."""
    load = Load(spec)
    reader, writer = await asyncio.open_unix_connection(spec["control"])
    writer.write(json.dumps({"hello": "load", "pid": os.getpid(), "port": 0}).encode() + b"\n")

    async def obey() -> None:
        while line := await reader.readline():
            command = json.loads(line)
            for name in ("rate", "factor", "retries"):
                if name in command:
                    setattr(load, name, command[name])
            writer.write(json.dumps({"ack": command.get("id"), "error": ""}).encode() + b"\n")
        os._exit(0)

    watching = asyncio.create_task(obey())
    await load.run()
    await watching


async def run_batch(spec: dict[str, Any]) -> None:
    """Use ``cpu`` of a core for ``seconds`` at the lowest priority: a job that harms nobody."""
    with contextlib.suppress(OSError):
        os.nice(19)
    until = time.monotonic() + float(spec["seconds"])
    share = min(max(float(spec["cpu"]), 0.05), 1.0)
    while time.monotonic() < until:
        begun = time.thread_time()
        while time.thread_time() - begun < 0.05 * share:
            sum(range(2000))
        await asyncio.sleep(0.05 * (1 - share))
