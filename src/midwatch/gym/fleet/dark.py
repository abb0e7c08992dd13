"""The dark channel: how a fault gets into the fleet without the watched side seeing who did it.

One Unix socket, ``<fleet dir>/.dark/ctl.sock`` (mode 0700, owner only), JSON lines: a request is ``{"op": name, ...}``,
the answer ``{"ok": true, ...}`` or ``{"ok": false, "error": why}``. It is on no service's port, in no telemetry and not in
the platform API. It knows nothing of ground truth: it does what it is told and says what it did.

**Selectors.** ``service``, ``instance``, ``region`` (strings; those given must all match; none of them means every
service instance, and must be asked for with ``everywhere=True``).

**Leases.** Every op that leaves something behind answers ``{"id": "f7"}`` and takes ``lease_seconds`` (default 600, at
most 7200). When the lease ends, or on ``clear``, the fault is lifted, whether or not its controller still lives.

**Lifting by a fix.** ``persist=True``: holds also for processes started later (a restart does not cure it); otherwise
it ends with the processes it was put into. ``lifted_by=["scale_out", ...]``: platform verbs that lift it when they are
carried out with success on the same service, instance, region, ``database:shop`` or ``cache:valkey``.

Ops on service processes (selectors, ``persist``, ``lifted_by``, ``lease_seconds``):

- ``knob(values={...})``: any of
  ``error_ratio`` 0..1 (the handler raises ``exception``, a name such as ``KeyError``, default ``RuntimeError``; logged),
  ``delay_ms`` (time of its own per request, asynchronous), ``burn_ms`` (CPU per request, blocks the process),
  ``leak_bytes_per_request`` (real memory; the supervisor kills at the memory limit and restarts),
  ``hold_pool`` n (a background job checks n database connections out and keeps them),
  ``crash_after_requests`` n (exits with status 70 after n requests), ``crash_on_start`` true (exits while starting),
  ``consumer_stuck`` true (the queue consumer takes no more messages), ``retry_storm`` n (clients retry n times at once,
  without budget), ``route`` (only requests whose route contains this are touched by ratio, delay, burn, leak).
- ``kill(signal=9)``: once; the supervisor restarts it, as for any crash.
- ``stop_duty(duty=0..0.95)``: SIGSTOP for that share of each 100 ms, a CPU limit; shows as throttling.
- ``region_fault(region, mode="refuse"|"blackhole")``: requests into the region's services are reset or never answered; the
  proxy's health checks still pass (they come from inside the region).

Ops on the way between services:

- ``edge_fault(caller, callee, region=None, mode="delay"|"stall"|"reset", ratio=1.0, ms=0)``: a TCP proxy in the path from
  ``caller``'s processes to the load balancer of ``callee``. ``ratio`` is per request.

Ops on stores (``lifted_by``, ``lease_seconds``):

- ``drop_index(index)``; ``hold_lock(table, mode="ACCESS EXCLUSIVE")`` (a session of the application's user, idle in
  transaction; ends when it is killed); ``cache_fault(mode="down"|"hang")`` (killed and kept down, or SIGSTOP; a platform
  ``restart`` of ``cache:valkey`` ends both); ``fill_disk(ratio=0.99)`` (filler on the database volume; growing tables
  cannot be written until ``free_disk``); ``database_fault(mode="hang", seconds)`` (SIGSTOP of every backend).
- ``expire_cert(service)``: the service's load-balancer certificate is replaced by one that has expired; new
  connections fail until ``renew_certificate``. TLS services: see ``targets``.

Load and hosts:

- ``surge(factor, retries=0)``: arrivals times ``factor``; each failed request is repeated ``retries`` times at once.
- ``set_rate(rate)``: the base rate of arrivals, requests per second. Kept by ``clear``, put back by ``reset``.
- ``batch_job(seconds, cpu=0.5)``: a harmless process at the lowest priority that uses this share of a core.

Builds and flags (no lease: they do nothing until the platform deploys or flips them):

- ``register_build(service, version, defect={knob values})``: makes ``version`` deployable; processes that run it have the
  defect. ``defect={}`` is a good build. ``register_flag(service, flag, defect={})`` likewise for a feature flag.

Bookkeeping:

- ``targets`` -> what there is: ``{"services": {name: {"database": bool, "pool", "cache": bool, "consumer": bool,
  "tls": bool, "tables": [...], "calls": [...], "flags": [...], "version"}}, "edges": [[caller, callee], ...],
  "indexes": {index: {"table", "service"}}, "tables": {table: service}, "tls": [...], "regions": [...]}``.
- ``state`` -> ``{"faults": [{"id", "op", "args", "expires_at"}...], "instances": {...}}``; a fault that a fix ended is
  not in it.
- ``renew(id, lease_seconds)``; ``clear(id=None)`` lifts one or all faults (drains, configs and versions stay);
  ``reset`` puts everything back as it was at the start (versions, configs, flags, drains, extra instances, shed load,
  indexes, disk, certificates, rate), for use between two scored cases; nothing of it is announced as a change.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any


class DarkError(Exception):
    """The dark channel refused an op, or could not carry it out; the message says why."""


class Dark:
    """Client of the dark channel of the fleet in ``fleet_dir``. One connection per call: nothing to close."""

    def __init__(self, fleet_dir: str | Path, timeout_seconds: float = 30.0) -> None:
        self.socket = Path(fleet_dir) / ".dark" / "ctl.sock"
        self.timeout_seconds = timeout_seconds

    async def call(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Carry out ``op``; answers its dictionary (without ``ok``). Raises DarkError."""
        try:
            async with asyncio.timeout(self.timeout_seconds):
                reader, writer = await asyncio.open_unix_connection(str(self.socket), limit=2**22)
                try:
                    writer.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
                    await writer.drain()
                    line = await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise DarkError(f"no answer from {self.socket}: {error!r}") from error
        if not line:
            raise DarkError(f"{op}: the supervisor closed the connection")
        answer: dict[str, Any] = json.loads(line)
        if not answer.pop("ok", False):
            raise DarkError(f"{op}: {answer.get('error', 'failed')}")
        return answer
