"""What users felt, gathered while a case runs: the load generator's log, and whether confirmations reach customers.

Nobody waits for an HTTP answer when a queue is stuck: the harm is a confirmation that does not come. So the broker
is asked each second how long the oldest order has been waiting for each of its readers; more than ``LATE_SECONDS``
counts as one bad request of the route ``delivery``.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from midwatch.gym.fleet import Fleet, FleetError
from midwatch.gym.score.users import Request, bad_share

STREAM: Final = "orders"
LATE_SECONDS: Final = 15.0
SETTLED_SECONDS: Final = 8.0


class Witness:
    """Reads ``fleet``'s load log; ``watch`` samples deliveries meanwhile."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._deliveries: list[Request] = []

    def forget(self) -> None:
        """Drop the samples so far (between two cases)."""
        self._deliveries.clear()

    async def watch(self, seconds: float) -> None:
        """Sample once a second, for so long."""
        import redis.asyncio
        import redis.exceptions

        client = redis.asyncio.from_url(self.fleet.info.broker_url, socket_timeout=2, socket_connect_timeout=2)
        until = time.monotonic() + seconds
        try:
            while (left := until - time.monotonic()) > 0:
                try:
                    now = time.time()
                    ages = await oldest_waiting(client, now)
                    for group, age in ages.items():
                        self._deliveries.append(Request(now, f"delivery {group}", age <= LATE_SECONDS, 0.0))
                except (redis.exceptions.RedisError, OSError):
                    pass  # the broker itself is not what a case breaks; no sample is no evidence
                await asyncio.sleep(min(1.0, left))
        finally:
            await client.aclose()

    async def settled(self, patience_seconds: float = 120.0) -> None:
        """Wait until users are served well: processes, pools and caches are cold at first, and after a reset. Raises
        FleetError when that does not come."""
        deadline = time.time() + patience_seconds
        while time.time() < deadline:
            since = time.time()
            await self.watch(SETTLED_SECONDS)
            requests = self.requests(since)
            if len(requests) > 20 and bad_share(requests, since, time.time()) <= 0.005:
                return
        raise FleetError("users are not served well, and nothing was broken: is this machine too busy?")

    def requests(self, since_at: float = 0.0) -> list[Request]:
        """Everything since a time, in order."""
        users = [Request(r.at, r.journey, r.ok, r.latency_ms) for r in self.fleet.load(since_at)]
        users += [r for r in self._deliveries if r.at >= since_at]
        return sorted(users, key=lambda r: r.at)


async def oldest_waiting(client: Any, now: float) -> dict[str, float]:
    """Seconds that the oldest message has waited which a consumer group was not yet handed; 0 when it has them all."""
    ages: dict[str, float] = {}
    for group in await client.xinfo_groups(STREAM):
        name, last = _text(group["name"]), _text(group["last-delivered-id"])
        waiting = await client.xrange(STREAM, f"({last}", "+", 1)
        ages[name] = max(0.0, now - int(_text(waiting[0][0]).split("-")[0]) / 1000) if waiting else 0.0
    return ages


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
