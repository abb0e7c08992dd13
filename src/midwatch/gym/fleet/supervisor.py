"""The supervisor: starts the stores, the proxy and the services, restarts what dies, and ends everything with itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import socket
import sys
import time
import traceback
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from midwatch.gym.fleet import handlers, load, monitor, record, sdk, service, workers, zygote
from midwatch.gym.fleet.certs import Authority
from midwatch.gym.fleet.os_tools import drop_privileges, free_ports
from midwatch.gym.fleet.proxy import Proxy
from midwatch.gym.fleet.stores import VOLUME_BYTES, Postgres, Valkey
from midwatch.gym.fleet.telemetry import resident_bytes
from midwatch.gym.fleet.topology import BY_NAME, SERVICES, default_config, instance_name, split_instance

IMPORTED = (handlers, load, monitor, record, sdk, service, workers)  # before the fork, so that children share them
MEMORY_LIMIT_BYTES = 192 * 2**20
HELLO_SECONDS = 8.0
CERTIFICATE_SECONDS = 20 * 86400.0


class OperationFailed(Exception):
    """An operation could not be carried out; the message says why."""


@dataclass
class Process:
    """One forked process. ``port`` is where it serves; ``expected`` that its end is wanted."""

    name: str
    pid: int
    version: str = ""
    port: int = 0
    expected: bool = False
    writer: asyncio.StreamWriter | None = None
    hello: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    acks: dict[int, asyncio.Future[str]] = field(default_factory=dict)
    started_at: float = field(default_factory=time.time)


@dataclass
class ServiceState:
    """What the platform holds about one service; the lists are histories, the last entry is current."""

    versions: list[str]
    configs: list[dict[str, Any]]
    flags: dict[str, bool]
    builds: dict[str, dict[str, Any]]
    flag_defects: dict[str, dict[str, Any]] = field(default_factory=dict)
    bypass: bool = False
    shed_ratio: float = 0.0
    count: int = 1  # instances per region


class Supervisor:
    """Everything that runs. ``settings`` are those of ``Fleet``."""

    def __init__(self, settings: dict[str, Any], channel: socket.socket) -> None:
        self.settings = settings
        self.directory = Path(settings["directory"])
        self.dark_directory = self.directory / ".dark"
        self.regions: list[str] = settings["regions"]
        chosen = settings["services"] or [spec.name for spec in SERVICES]
        self.services = [spec.name for spec in SERVICES if spec.name in chosen]
        self.channel = channel
        self.channel_writer: asyncio.StreamWriter | None = None
        self.token = secrets.token_urlsafe(24)
        ports = free_ports(4)
        self.postgres = Postgres(self.directory, ports[0])
        self.spare_port = ports[3]
        self.cache = Valkey(self.directory, "valkey", ports[1])
        self.broker = Valkey(self.directory, "valkey-queue", ports[2])
        self.proxy = Proxy(self.directory, self.services, self.regions)
        self.authority = Authority.new()
        self.otlp: str = settings["otlp_endpoint"]
        self.states: dict[str, ServiceState] = {}
        self.fresh_states()
        self.processes: dict[int, Process] = {}
        self.instances: dict[str, Process] = {}
        self.restarts: dict[str, int] = {}
        self.crashes: dict[str, deque[float]] = {}
        self.throttle: dict[str, float] = {}  # stopped seconds since the last report
        self.drained: set[str] = set()
        self.overrides: dict[tuple[str, str, str], int] = {}  # (caller, callee, region) -> port of a path with a fault
        self.knobs_of: Any = lambda instance, starting: {}
        self.forks: dict[int, asyncio.Future[int]] = {}
        self.serial = 0
        self.closing = False
        self.tasks: set[asyncio.Task[Any]] = set()
        self.http: aiohttp.ClientSession | None = None
        self.locks: dict[str, asyncio.Lock] = {}

    def fresh_states(self) -> None:
        for name in self.services:
            spec = BY_NAME[name]
            self.states[name] = ServiceState(
                [spec.version], [default_config(spec)], dict(spec.flags), {spec.version: {}}
            )

    def spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def number(self) -> int:
        self.serial += 1
        return self.serial

    # processes

    async def open_channel(self) -> None:
        self.channel.setblocking(False)
        reader, self.channel_writer = await asyncio.open_connection(sock=self.channel, limit=2**22)
        self.spawn(self._read_zygote(reader))
        path = self.dark_directory / "svc.sock"
        path.unlink(missing_ok=True)
        self.control_server = await asyncio.start_unix_server(self._greet, str(path), limit=2**22)
        self.control = str(path)

    async def _read_zygote(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            message = json.loads(line)
            if "forked" in message:
                self.forks.pop(message["forked"]).set_result(message["pid"])
            else:
                self._ended(int(message["exited"]), int(message["status"]))
        if not self.closing:
            print("the fork server ended", file=sys.stderr, flush=True)
            os._exit(1)

    async def fork(self, name: str, role: str, spec: dict[str, Any], version: str = "") -> Process:
        assert self.channel_writer is not None
        number = self.number()
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.forks[number] = future
        self.channel_writer.write(json.dumps({"fork": number, "role": role, "spec": spec}).encode() + b"\n")
        pid = await future
        process = Process(name, pid, version)
        self.processes[pid] = process
        return process

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            if not line:
                return
            hello = json.loads(line)
            process = self.processes.get(hello["pid"])
            for _ in range(100):  # the hello may overtake the fork server's answer
                if process is not None:
                    break
                await asyncio.sleep(0.01)
                process = self.processes.get(hello["pid"])
            if process is None:
                return
            process.port, process.writer = hello["port"], writer
            process.hello.set()
            while line := await reader.readline():
                answer = json.loads(line)
                future = process.acks.pop(answer.get("ack"), None)
                if future is not None and not future.done():
                    future.set_result(answer.get("error", ""))
        except (OSError, ValueError):
            pass
        finally:
            writer.close()

    async def tell(self, process: Process, command: dict[str, Any], wait: bool = True) -> None:
        """Send a command to a process and wait until it has been carried out. Raises OperationFailed."""
        if process.writer is None or process.ended.is_set():
            return
        number = self.number()
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if wait:
            process.acks[number] = future
        try:
            process.writer.write(json.dumps({**command, "id": number}).encode() + b"\n")
            if wait:
                problem = await asyncio.wait_for(future, 5.0)
                if problem:
                    raise OperationFailed(f"{process.name}: {problem}")
        except TimeoutError:
            raise OperationFailed(f"{process.name} did not answer") from None

    async def tell_service(self, name: str, command: dict[str, Any]) -> None:
        running = [p for instance, p in self.instances.items() if split_instance(instance)[0] == name]
        await asyncio.gather(*(self.tell(process, command) for process in running))

    def directory_of(self, caller: str, region: str) -> dict[str, dict[str, Any]]:
        """Host names that a process of ``caller`` can reach, with their ports."""
        found = {}
        for (callee, home), port in self.proxy.ports.items():
            use = self.overrides.get((caller, callee, region), port) if home == region else port
            found[f"{callee}.{home}.gym"] = {"port": use, "tls": BY_NAME[callee].tls}
        return found

    def start_order(self, instance: str, version: str) -> dict[str, Any]:
        """What a service process needs to know to start."""
        name, region, _ = split_instance(instance)
        state = self.states[name]
        return {
            "service": name, "region": region, "instance": instance, "version": version, "services": self.services,
            "config": state.configs[-1], "flags": state.flags, "flag_defects": state.flag_defects,
            "defect": state.builds.get(version, {}), "knobs": self.knobs_of(instance, True), "cache_bypassed": state.bypass,
            "shed_ratio": state.shed_ratio, "otlp_endpoint": self.otlp, "control": self.control, "dsn": self.postgres.dsn,
            "valkey_url": self.cache.url, "broker_url": self.broker.url, "directory": self.directory_of(name, region),
            "ca_file": str(self.directory / "certs" / "ca.crt"),
            "tls_ports": {f"{svc}.{home}.gym": port for (svc, home), port in self.proxy.ports.items()},
        }  # fmt: skip

    async def launch(self, instance: str, version: str = "") -> Process:
        """Start a process for ``instance`` and wait until it serves. Raises OperationFailed."""
        name = split_instance(instance)[0]
        version = version or self.states[name].versions[-1]
        process = await self.fork(instance, "service", self.start_order(instance, version), version)
        waits = [asyncio.create_task(process.hello.wait()), asyncio.create_task(process.ended.wait())]
        await asyncio.wait(waits, timeout=HELLO_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()
        if not process.hello.is_set():
            process.expected = True
            self.kill(process)
            raise OperationFailed(f"{instance} version {version} did not start")
        return process

    async def start_instance(self, instance: str) -> None:
        process = await self.launch(instance)
        self.instances[instance] = process
        await self.proxy.put(instance, process.port, ready=instance not in self.drained)

    def kill(self, process: Process, number: int = signal.SIGKILL) -> None:
        if not process.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)

    async def end(self, process: Process, grace_seconds: float = 2.0) -> None:
        """End a process gracefully, then by force."""
        process.expected = True
        with contextlib.suppress(OperationFailed):
            await self.tell(process, {"stop": True}, wait=False)
        try:
            await asyncio.wait_for(process.ended.wait(), grace_seconds)
        except TimeoutError:
            self.kill(process)
            await asyncio.wait_for(process.ended.wait(), 3.0)

    def _ended(self, pid: int, status: int) -> None:
        process = self.processes.pop(pid, None)
        if process is None:
            return
        process.ended.set()
        for future in process.acks.values():
            if not future.done():
                future.set_result("the process ended")
        if process.expected or self.closing or self.instances.get(process.name) is not process:
            return
        self.restarts[process.name] = self.restarts.get(process.name, 0) + 1
        self.spawn(self._restart_after_crash(process, status))

    async def _restart_after_crash(self, process: Process, status: int) -> None:
        print(f"{process.name} ended with {status}; starting it again", file=sys.stderr, flush=True)
        self.crashes.setdefault(process.name, deque(maxlen=8)).append(time.monotonic())
        recent = sum(time.monotonic() - at < 90.0 for at in self.crashes[process.name])
        pause = min(0.5 * 2 ** (recent - 1), 16.0)  # a crash loop waits longer each time, as container runtimes do
        while not self.closing and self.instances.get(process.name) is process:
            await asyncio.sleep(pause)
            try:
                async with self.lock(split_instance(process.name)[0]):
                    if self.instances.get(process.name) is process:
                        await self.start_instance(process.name)
                return
            except OperationFailed:
                self.restarts[process.name] = self.restarts.get(process.name, 0) + 1
                pause = min(pause * 2, 16.0)

    def lock(self, name: str) -> asyncio.Lock:
        return self.locks.setdefault(name, asyncio.Lock())

    # watching

    async def watch_memory(self) -> None:
        """Kill what passes its memory limit, as an OOM killer does."""
        while True:
            await asyncio.sleep(0.5)
            for instance, process in list(self.instances.items()):
                if not process.ended.is_set() and resident_bytes(process.pid) > MEMORY_LIMIT_BYTES:
                    print(f"{instance} passed its memory limit: killed", file=sys.stderr, flush=True)
                    self.kill(process)

    async def report_containers(self) -> None:
        """Tell the monitor what only the container runtime knows."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(5.0)
            now = time.monotonic()
            containers = {
                instance: {
                    "throttled": min(self.throttle.pop(instance, 0.0) / (now - last), 1.0),
                    "memory_limit": float(MEMORY_LIMIT_BYTES),
                    "restarts": float(self.restarts.get(instance, 0)),
                    "version": process.version,
                }
                for instance, process in self.instances.items()
            }
            last = now
            disk = min(await asyncio.to_thread(self.postgres.used_bytes) / VOLUME_BYTES, 1.0)
            with contextlib.suppress(OperationFailed, OSError):
                await self.tell(self.monitor, {"containers": containers, "disk": disk}, wait=False)

    async def announce(self, kind: str, entity: str, summary: str, before: str, after: str, by: str) -> None:
        """Tell the change feed, healthy change or not."""
        change = {
            "id": f"chg-{time.time_ns():x}", "at": time.time(), "kind": kind, "entity": entity, "summary": summary,
            "before": before, "after": after, "by": by,
        }  # fmt: skip
        with (self.directory / "changes.jsonl").open("a") as file:
            file.write(json.dumps(change) + "\n")
        if self.otlp and self.http is not None:
            try:
                async with self.http.post(f"{self.otlp}/v1/changes", json=change) as reply:
                    await reply.read()
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass

    # start and stop

    async def start(self) -> None:
        from midwatch.gym.fleet.darkside import DarkServer
        from midwatch.gym.fleet.platform import PlatformServer

        self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0))
        await self.open_channel()
        if self.settings["record"]:
            spec = {"record": self.settings["record"], "otlp_endpoint": self.otlp, "control": self.control}
            sink = await self.fork("sink", "sink", spec)
            await asyncio.wait_for(sink.hello.wait(), HELLO_SECONDS)
            self.otlp = f"http://127.0.0.1:{sink.port}"
        certificates = self.directory / "certs"
        certificates.mkdir(exist_ok=True)
        (certificates / "ca.crt").write_text(self.authority.pem)
        for name in self.services:
            if BY_NAME[name].tls:
                self.proxy.certificate_path(name).write_text(self.certificate(name, CERTIFICATE_SECONDS))
        self.cache.start()
        self.broker.start()
        await asyncio.gather(
            asyncio.to_thread(self.postgres.start, self.spare_port),
            self.proxy.start(),
            self.cache.ready(),
            self.broker.ready(),
        )
        dark = DarkServer(self)
        self.knobs_of = dark.knobs_of
        await dark.start()
        monitor_spec = {
            "otlp_endpoint": self.otlp, "admin_dsn": self.postgres.admin_dsn, "valkey_url": self.cache.url,
            "broker_url": self.broker.url, "haproxy_socket": str(self.proxy.socket), "control": self.control,
            "edge_log": str(self.dark_directory / "edge.sock"),
        }  # fmt: skip
        self.monitor = await self.fork("monitor", "monitor", monitor_spec)
        names = [instance_name(name, region, 1) for name in self.services for region in self.regions]
        await asyncio.gather(*(self.start_instance(name) for name in names))
        await asyncio.wait_for(self.monitor.hello.wait(), HELLO_SECONDS)
        platform = PlatformServer(self, dark)
        url = await platform.start()
        gateway = f"http://127.0.0.1:{self.proxy.public_port}"
        info = {
            "platform_url": url, "token": self.token, "haproxy_socket": str(self.proxy.socket),
            "postgres_dsn": self.postgres.admin_dsn, "valkey_url": self.cache.url, "broker_url": self.broker.url,
            "gateway_url": gateway, "otlp_endpoint": self.settings["otlp_endpoint"], "supervisor_pid": os.getpid(),
            "metrics_url": f"http://127.0.0.1:{self.proxy.metrics_port}/metrics",
        }  # fmt: skip
        path = self.directory / "fleet.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(info, indent=1))
        load_spec = {
            "gateway_url": gateway, "rate": self.settings["rate"], "day_seconds": self.settings["day_seconds"],
            "seed": self.settings["seed"], "services": self.services, "control": self.control,
            "log": str(self.dark_directory / "load.jsonl"),
        }  # fmt: skip
        await self.warm_up(gateway)
        if self.settings["rate"] > 0:
            self.load = await self.fork("load", "load", load_spec)
            await asyncio.wait_for(self.load.hello.wait(), HELLO_SECONDS)
        self.spawn(self.watch_memory())
        self.spawn(self.report_containers())

    async def warm_up(self, gateway: str) -> None:
        """Ask once for what everybody asks for, so that users do not meet cold caches and unopened connections."""
        assert self.http is not None
        urls = [f"{gateway}/?category={number}" for number in range(handlers.CATEGORIES)]
        if "search" in self.services:
            urls += [f"{gateway}/search?q={term}" for term in load.TERMS]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3.0):
                for start in range(0, 2 * len(urls), 4):  # the second round finds the other region
                    some = (urls + urls)[start : start + 4]
                    for reply in await asyncio.gather(*map(self.http.get, some), return_exceptions=True):
                        if isinstance(reply, aiohttp.ClientResponse):
                            reply.release()

    def certificate(self, name: str, seconds: float) -> str:
        return self.authority.issue([f"{name}.{region}.gym" for region in self.regions], seconds)

    def stop(self) -> None:
        """End every process now."""
        self.closing = True
        for process in list(self.processes.values()):
            self.kill(process, signal.SIGKILL)
        self.proxy.stop()
        self.cache.stop()
        self.broker.stop()
        self.postgres.stop()


async def _main(settings: dict[str, Any], channel: socket.socket) -> None:
    supervisor = Supervisor(settings, channel)
    loop = asyncio.get_running_loop()
    finished = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, finished.set)

    def controller_spoke() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            finished.set()

    loop.add_reader(0, controller_spoke)
    try:
        starting = asyncio.create_task(supervisor.start())
        ending = asyncio.create_task(finished.wait())
        await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            os.write(1, b"ready\n")
            await finished.wait()
    except BaseException:
        traceback.print_exc(file=sys.stderr)
        sys.stderr.flush()
        supervisor.stop()
        os._exit(1)
    supervisor.stop()
    os._exit(0)  # nothing is left that is worth an orderly end of the event loop


def main() -> None:
    """``python -m midwatch.gym.fleet.supervisor SETTINGS``: run until standard input ends."""
    settings = json.loads(sys.argv[1])
    directory = Path(settings["directory"])
    directory.mkdir(parents=True, exist_ok=True)
    dark = directory / ".dark"
    dark.mkdir(exist_ok=True, mode=0o700)
    (dark / "load.jsonl").write_bytes(b"")
    if settings["record"]:
        Path(settings["record"]).mkdir(parents=True, exist_ok=True)
        drop = Path(settings["record"])
        if os.geteuid() == 0:
            drop.chmod(0o777)
    for codec in (
        "idna",
        "punycode",
        "latin-1",
        "ascii",
    ):  # looked up now: after the drop their files may be unreadable
        "fleet".encode(codec)
    logging.disable(logging.ERROR)  # the warm-up has nobody to send to
    sdk.warm_up()
    logging.disable(logging.NOTSET)
    drop_privileges(directory)
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        os.close(0)
        zygote.serve(theirs)
    theirs.close()
    asyncio.run(_main(settings, ours))
    os._exit(0)


if __name__ == "__main__":
    main()
