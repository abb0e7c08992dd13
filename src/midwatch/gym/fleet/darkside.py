"""The server of the dark channel: carries out its ops on processes, paths and load. Contract: ``dark.py``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from midwatch.gym.fleet.dark_stores import Fault, StoreFaults, Undo
from midwatch.gym.fleet.tcpfault import FaultyPath
from midwatch.gym.fleet.topology import BY_NAME, INDEXES, TABLES, default_config, split_instance

if TYPE_CHECKING:
    from midwatch.gym.fleet.supervisor import Process, Supervisor

DUTY_PERIOD_SECONDS = 0.1
MAX_FAULTS = 200
KNOBS = frozenset({
    "error_ratio", "exception", "delay_ms", "burn_ms", "leak_bytes_per_request", "hold_pool", "crash_after_requests",
    "crash_on_start", "consumer_stuck", "retry_storm", "route",
})  # fmt: skip


class DarkServer(StoreFaults):
    """Faults by id, and the ops."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.faults: dict[str, Fault] = {}
        self.serial = 0
        self.ops: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
            "knob": self.knob, "kill": self.kill, "stop_duty": self.stop_duty, "region_fault": self.region_fault,
            "edge_fault": self.edge_fault, "drop_index": self.drop_index, "hold_lock": self.hold_lock,
            "cache_fault": self.cache_fault, "fill_disk": self.fill_disk, "database_fault": self.database_fault,
            "expire_cert": self.expire_cert, "surge": self.surge, "set_rate": self.set_rate, "batch_job": self.batch_job,
            "register_build": self.register_build, "register_flag": self.register_flag, "targets": self.targets,
            "state": self.state, "renew": self.renew, "clear": self.clear, "reset": self.reset,
        }  # fmt: skip

    async def start(self) -> None:
        path = self.supervisor.dark_directory / "ctl.sock"
        path.unlink(missing_ok=True)
        self.server = await asyncio.start_unix_server(self._serve, str(path), limit=2**22)
        path.chmod(0o700)
        self.supervisor.spawn(self._expire())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                try:
                    request = json.loads(line)
                    op = self.ops.get(request.pop("op", ""))
                    if op is None:
                        raise ValueError(f"no such op; there are {', '.join(self.ops)}")
                    answer = {"ok": True, **await op(**request)}
                except Exception as error:
                    answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            for fault in [fault for fault in self.faults.values() if fault.expires_at < time.time()]:
                await self._lift(fault)

    # what every fault has in common

    def _matching(self, service: str | None, instance: str | None, region: str | None, everywhere: bool) -> list[str]:
        if not (service or instance or region or everywhere):
            raise ValueError("say service, instance or region; or everywhere=True")
        found = []
        for name in self.supervisor.instances:
            own, home, _ = split_instance(name)
            if (service in (None, own)) and (instance in (None, name)) and (region in (None, home)):
                found.append(name)
        if not found:
            raise ValueError("nothing matches the selectors")
        return found

    def _add(
        self, op: str, args: dict[str, Any], *, lease_seconds: float, lifted_by: list[str] | None, touched: set[str],
        undo: Undo | None = None, knobs: dict[str, Any] | None = None, persist: bool = False,
    ) -> Fault:  # fmt: skip
        if len(self.faults) >= MAX_FAULTS:
            raise ValueError(f"{MAX_FAULTS} faults are in place already")
        self.serial += 1
        ends = time.time() + min(float(lease_seconds), 7200.0)
        fault = Fault(f"f{self.serial}", op, args, ends, tuple(lifted_by or ()), persist, knobs or {}, undo=undo,
                      touched=frozenset(touched))  # fmt: skip
        self.faults[fault.id] = fault
        return fault

    async def _lift(self, fault: Fault) -> None:
        if self.faults.pop(fault.id, None) is None:
            return
        if fault.undo is not None:
            with contextlib.suppress(Exception):
                await fault.undo()
        if fault.knobs:
            await self._push()

    async def fixed(self, verb: str, name: str) -> None:
        """A platform operation succeeded: lift what says that it is lifted by it; forget what died with its processes."""
        service = name.rsplit("-", 2)[0] if name in self.supervisor.instances else name
        for fault in list(self.faults.values()):
            hit = fault.touched & {name, service, "shop" if name == "shop-db" else name}
            if verb in fault.lifted_by and hit:
                await self._lift(fault)
            elif fault.knobs and not fault.persist:
                alive = {process.pid for process in self.supervisor.instances.values() if not process.ended.is_set()}
                if not fault.pids & alive:
                    await self._lift(fault)

    def _applies(self, fault: Fault, instance: str) -> bool:
        service, region, _ = split_instance(instance)
        chosen = fault.args
        return all(
            chosen.get(key) in (None, value)
            for key, value in (("service", service), ("instance", instance), ("region", region))
        )

    def knobs_of(self, instance: str, starting: bool, pid: int = 0) -> dict[str, Any]:
        """The knobs that hold for a process of ``instance``."""
        merged: dict[str, Any] = {}
        for fault in self.faults.values():
            if (
                fault.knobs
                and self._applies(fault, instance)
                and (fault.persist or (not starting and pid in fault.pids))
            ):
                merged.update(fault.knobs)
        return merged

    async def _push(self) -> None:
        async def one(name: str, process: Process) -> None:
            with contextlib.suppress(Exception):
                await self.supervisor.tell(process, {"knobs": self.knobs_of(name, False, process.pid)})

        await asyncio.gather(*(one(name, process) for name, process in self.supervisor.instances.items()))

    # processes

    async def knob(
        self, values: dict[str, Any], service: str | None = None, instance: str | None = None, region: str | None = None,
        everywhere: bool = False, persist: bool = False, lifted_by: list[str] | None = None, lease_seconds: float = 600.0,
    ) -> dict[str, Any]:  # fmt: skip
        unknown = sorted(set(values) - KNOBS)
        if unknown:
            raise ValueError(f"no such knob: {', '.join(unknown)}")
        return await self._knob(
            "knob", values, service, instance, region, everywhere, persist, lifted_by, lease_seconds
        )

    async def _knob(
        self, op: str, values: dict[str, Any], service: str | None, instance: str | None, region: str | None,
        everywhere: bool, persist: bool, lifted_by: list[str] | None, lease_seconds: float,
    ) -> dict[str, Any]:  # fmt: skip
        names = self._matching(service, instance, region, everywhere)
        args = {"service": service, "instance": instance, "region": region, "values": values}
        touched = {*names, *(split_instance(name)[0] for name in names), *(split_instance(name)[1] for name in names)}
        fault = self._add(
            op, args, lease_seconds=lease_seconds, lifted_by=lifted_by, touched=touched, knobs=values, persist=persist
        )
        fault.pids = {self.supervisor.instances[name].pid for name in names}
        await self._push()
        return {"id": fault.id, "instances": names}

    async def kill(
        self, service: str | None = None, instance: str | None = None, region: str | None = None, everywhere: bool = False,
        signal: int = 9,
    ) -> dict[str, Any]:  # fmt: skip
        names = self._matching(service, instance, region, everywhere)
        for name in names:
            self.supervisor.kill(self.supervisor.instances[name], int(signal))
        return {"instances": names}

    async def stop_duty(
        self, duty: float, service: str | None = None, instance: str | None = None, region: str | None = None,
        everywhere: bool = False, persist: bool = True, lifted_by: list[str] | None = None, lease_seconds: float = 600.0,
    ) -> dict[str, Any]:  # fmt: skip
        if not 0 < duty <= 0.95:
            raise ValueError("duty must lie in 0..0.95")
        names = self._matching(service, instance, region, everywhere)
        pids = {name: self.supervisor.instances[name].pid for name in names}
        task = asyncio.create_task(self._duty(names, duty, None if persist else pids))

        async def undo() -> None:
            task.cancel()

        args = {"service": service, "instance": instance, "region": region, "duty": duty}
        touched = {*names, *(split_instance(name)[0] for name in names)}
        fault = self._add(
            "stop_duty",
            args,
            lease_seconds=lease_seconds,
            lifted_by=lifted_by,
            touched=touched,
            undo=undo,
            persist=persist,
        )
        return {"id": fault.id, "instances": names}

    async def _duty(self, names: list[str], duty: float, pids: dict[str, int] | None) -> None:
        supervisor = self.supervisor
        stopped: list[tuple[str, Process]] = []
        try:
            while True:
                begun = time.monotonic()
                for name in names:
                    process = supervisor.instances.get(name)
                    if process is not None and process.hello.is_set() and (pids is None or pids[name] == process.pid):
                        supervisor.kill(process, signal.SIGSTOP)
                        stopped.append((name, process))
                await asyncio.sleep(DUTY_PERIOD_SECONDS * duty)
                self._resume(stopped, time.monotonic() - begun)
                await asyncio.sleep(DUTY_PERIOD_SECONDS * (1 - duty))
        finally:
            self._resume(stopped, 0.0)

    def _resume(self, stopped: list[tuple[str, Process]], seconds: float) -> None:
        for name, process in stopped:
            self.supervisor.kill(process, signal.SIGCONT)
            self.supervisor.throttle[name] = self.supervisor.throttle.get(name, 0.0) + seconds
        stopped.clear()

    async def region_fault(
        self, region: str, mode: str = "refuse", lifted_by: list[str] | None = None, lease_seconds: float = 600.0
    ) -> dict[str, Any]:
        if mode not in ("refuse", "blackhole"):
            raise ValueError("mode is refuse or blackhole")
        return await self._knob(
            "region_fault", {"region_dark": mode}, None, None, region, False, True, lifted_by, lease_seconds
        )

    async def edge_fault(
        self, caller: str, callee: str, region: str | None = None, mode: str = "delay", ratio: float = 1.0, ms: float = 0.0,
        lifted_by: list[str] | None = None, lease_seconds: float = 600.0,
    ) -> dict[str, Any]:  # fmt: skip
        supervisor = self.supervisor
        if mode not in ("delay", "stall", "reset"):
            raise ValueError("mode is delay, stall or reset")
        if caller not in supervisor.states or callee not in BY_NAME[caller].calls or callee not in supervisor.states:
            raise ValueError(f"{caller} does not call {callee}")
        regions = [region] if region else supervisor.regions
        paths: list[FaultyPath] = []
        for home in regions:
            path = FaultyPath(supervisor.proxy.ports[(callee, home)], mode, ratio, ms)
            await path.start()
            paths.append(path)
            supervisor.overrides[(caller, callee, home)] = path.port
        await self._redirect(caller)

        async def undo() -> None:
            for home in regions:
                supervisor.overrides.pop((caller, callee, home), None)
            await self._redirect(caller)
            for path in paths:
                await path.stop()

        args = {"caller": caller, "callee": callee, "in_region": region, "mode": mode, "ratio": ratio, "ms": ms}
        fault = self._add(
            "edge_fault",
            args,
            lease_seconds=lease_seconds,
            lifted_by=lifted_by,
            touched={caller, callee, *regions},
            undo=undo,
        )
        return {"id": fault.id}

    async def _redirect(self, caller: str) -> None:
        for name, process in self.supervisor.instances.items():
            service, region, _ = split_instance(name)
            if service == caller:
                with contextlib.suppress(Exception):
                    await self.supervisor.tell(process, {"directory": self.supervisor.directory_of(caller, region)})

    # load, hosts, builds

    async def surge(
        self, factor: float, retries: int = 0, lifted_by: list[str] | None = None, lease_seconds: float = 600.0
    ) -> dict[str, Any]:
        await self.supervisor.tell(self.supervisor.load, {"factor": float(factor), "retries": int(retries)})

        async def undo() -> None:
            await self.supervisor.tell(self.supervisor.load, {"factor": 1.0, "retries": 0})

        fault = self._add("surge", {"factor": factor, "retries": retries}, lease_seconds=lease_seconds, lifted_by=lifted_by,
                          touched={"gateway"}, undo=undo)  # fmt: skip
        return {"id": fault.id}

    async def set_rate(self, rate: float) -> dict[str, Any]:
        await self.supervisor.tell(self.supervisor.load, {"rate": float(rate)})
        return {}

    async def batch_job(self, seconds: float = 60.0, cpu: float = 0.5) -> dict[str, Any]:
        process = await self.supervisor.fork("batch", "batch", {"seconds": min(float(seconds), 3600.0), "cpu": cpu})
        process.expected = True

        async def undo() -> None:
            self.supervisor.kill(process)

        fault = self._add(
            "batch_job",
            {"seconds": seconds, "cpu": cpu},
            lease_seconds=seconds,
            lifted_by=None,
            touched=set(),
            undo=undo,
        )
        return {"id": fault.id}

    async def register_build(self, service: str, version: str, defect: dict[str, Any] | None = None) -> dict[str, Any]:
        if set(defect or {}) - KNOBS:
            raise ValueError("a defect is made of knobs")
        self.supervisor.states[service].builds[version] = dict(defect or {})
        return {}

    async def register_flag(self, service: str, flag: str, defect: dict[str, Any] | None = None) -> dict[str, Any]:
        if set(defect or {}) - KNOBS:
            raise ValueError("a defect is made of knobs")
        state = self.supervisor.states[service]
        state.flags = {**state.flags, flag: state.flags.get(flag, False)}
        state.flag_defects = {**state.flag_defects, flag: dict(defect or {})}
        await self.supervisor.tell_service(service, {"flags": state.flags, "flag_defects": state.flag_defects})
        return {}

    # bookkeeping

    async def targets(self) -> dict[str, Any]:
        services: dict[str, dict[str, Any]] = {
            name: {"database": bool(spec.pool), "pool": spec.pool, "cache": spec.cache, "consumer": bool(spec.consumes),
                   "tls": spec.tls, "tables": list(spec.tables),
                   "calls": [callee for callee in spec.calls if callee in self.supervisor.states],
                   "flags": sorted(spec.flags), "version": self.supervisor.states[name].versions[-1]}
            for name, spec in BY_NAME.items() if name in self.supervisor.states
        }  # fmt: skip
        edges = [[caller, callee] for caller, spec in services.items() for callee in spec["calls"]]
        indexes = {name: {"table": index["table"], "service": index["service"]} for name, index in INDEXES.items()}
        tls = [name for name in services if BY_NAME[name].tls]
        return {
            "services": services,
            "edges": edges,
            "indexes": indexes,
            "tables": TABLES,
            "tls": tls,
            "regions": self.supervisor.regions,
        }

    async def state(self) -> dict[str, Any]:
        faults = [{"id": f.id, "op": f.op, "args": f.args, "expires_at": f.expires_at} for f in self.faults.values()]
        instances = {
            name: {"pid": process.pid, "version": process.version, "up": not process.ended.is_set(),
                   "restarts": self.supervisor.restarts.get(name, 0)}
            for name, process in self.supervisor.instances.items()
        }  # fmt: skip
        return {"faults": faults, "instances": instances}

    async def renew(self, id: str, lease_seconds: float = 600.0) -> dict[str, Any]:
        self.faults[id].expires_at = time.time() + min(float(lease_seconds), 7200.0)
        return {}

    async def clear(self, id: str | None = None) -> dict[str, Any]:
        chosen = (
            [self.faults[id]]
            if id is not None and id in self.faults
            else list(self.faults.values())
            if id is None
            else []
        )
        for fault in chosen:
            await self._lift(fault)
        return {"cleared": [fault.id for fault in chosen]}

    async def reset(self) -> dict[str, Any]:
        from midwatch.gym.fleet import operations

        await self.clear()
        supervisor = self.supervisor
        for name, state in supervisor.states.items():
            spec = BY_NAME[name]
            if state.count > 1:
                for region in supervisor.regions:
                    for slot in range(2, state.count + 1):
                        instance = f"{name}-{region}-{slot}"
                        await supervisor.proxy.state(instance, "maint")
                        process = supervisor.instances.pop(instance)
                        supervisor.spawn(supervisor.end(process, 3.0))
            version_differs = state.versions[-1] != spec.version
            state.versions, state.configs, state.flags = [spec.version], [default_config(spec)], dict(spec.flags)
            state.builds, state.flag_defects, state.bypass, state.shed_ratio, state.count = (
                {spec.version: {}},
                {},
                False,
                0.0,
                1,
            )
            if version_differs:
                await operations._roll(supervisor, name, spec.version)
            await supervisor.tell_service(name, {"config": state.configs[-1], "flags": state.flags, "flag_defects": {},
                                                 "cache_bypassed": False, "shed_ratio": 0.0})  # fmt: skip
        await operations._drain(supervisor, sorted(supervisor.drained), False)
        await supervisor.tell(supervisor.load, {"rate": supervisor.settings["rate"], "factor": 1.0, "retries": 0})
        rows = await supervisor.postgres.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'")
        for index in set(INDEXES) - {row[0] for row in rows}:
            await supervisor.postgres.execute(
                f"CREATE INDEX {index} ON {INDEXES[index]['table']} {INDEXES[index]['columns']}"
            )
        await asyncio.to_thread(supervisor.postgres.free)
        return {}
