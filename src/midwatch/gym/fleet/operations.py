"""The verbs of the platform API.

Each takes ``(supervisor, target name, parameters, by)`` and answers ``(result, undo parameters)``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import redis.asyncio

from midwatch.gym.fleet.topology import BY_NAME, INDEXES, SLOTS, default_config, instance_name, split_instance

if TYPE_CHECKING:
    from midwatch.gym.fleet.supervisor import ServiceState, Supervisor

Answer = tuple[str, dict[str, Any]]
Parameters = dict[str, Any]


def _state(supervisor: Supervisor, name: str) -> ServiceState:
    if name not in supervisor.states:
        raise ValueError(f"no service is named {name}")
    return supervisor.states[name]


def _instances(supervisor: Supervisor, name: str) -> list[str]:
    """Instances that ``name`` means: a service's, or the one of that name. Raises ValueError when there is none."""
    found = [key for key in supervisor.instances if key == name or split_instance(key)[0] == name]
    if not found:
        raise ValueError(f"no service or instance is named {name}")
    return sorted(found)


async def apply_config(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    """``config``: settings to change, as a JSON object in a string, or an object."""
    state = _state(supervisor, name)
    given = parameters["config"]
    changes: dict[str, Any] = json.loads(given) if isinstance(given, str) else dict(given)
    before = state.configs[-1]
    unknown = sorted(set(changes) - set(before))
    if unknown:
        raise ValueError(f"no such setting: {', '.join(unknown)}")
    for key, value in changes.items():
        if not isinstance(before[key], str) and (not isinstance(value, (int, float)) or value < 0):
            raise ValueError(f"{key} must be a number of at least 0")
    if changes.get("pool_size") is not None and not 1 <= int(changes["pool_size"]) <= 50:
        raise ValueError("pool_size must lie in 1..50")
    await _use_config(supervisor, name, {**before, **changes})
    old = {key: before[key] for key in changes}
    await supervisor.announce(
        "config", f"service:{name}", f"settings of {name}: {_words(changes)}", _words(old), _words(changes), by
    )
    return f"{name}: {_words(changes)}", {"config": json.dumps(old)}


async def _use_config(supervisor: Supervisor, name: str, config: dict[str, Any]) -> None:
    state = supervisor.states[name]
    state.configs = [*state.configs[-9:], config]
    await supervisor.tell_service(name, {"config": config})


def _words(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(values.items()))


async def rollback_config(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    """Back to the settings before the last change; to the defaults when there was none."""
    state = _state(supervisor, name)
    current = state.configs[-1]
    earlier = state.configs[-2] if len(state.configs) > 1 else default_config(BY_NAME[name])
    changed = {key: current[key] for key in current if current[key] != earlier.get(key)}
    await supervisor.tell_service(name, {"config": earlier})
    state.configs = state.configs[:-1] if len(state.configs) > 1 else [earlier]
    restored = {key: earlier[key] for key in changed}
    summary = f"settings of {name} rolled back: {_words(restored) or 'nothing differed'}"
    await supervisor.announce("config", f"service:{name}", summary, _words(changed), _words(restored), by)
    return summary, {"config": json.dumps(changed)}


async def resize_pool(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    """``size``: connections per process."""
    state = _state(supervisor, name)
    before = state.configs[-1].get("pool_size")
    if before is None:
        raise ValueError(f"{name} has no database pool")
    size = int(parameters["size"])
    await apply_config(supervisor, name, {"config": {"pool_size": size}}, by)
    return f"pool of {name}: {before} -> {size}", {"size": before}


async def restart(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    """A service (one instance after the other), an instance, or ``valkey``."""
    if name in ("valkey", "valkey-queue", "orders"):
        store = supervisor.cache if name == "valkey" else supervisor.broker
        await asyncio.to_thread(store.stop)
        store.start()
        await store.ready()
        await supervisor.announce("infra", f"cache:{store.name}", f"{store.name} restarted", "", "", by)
        return f"{store.name} restarted", {}
    names = _instances(supervisor, name)
    async with supervisor.lock(split_instance(names[0])[0]):
        for instance in names:
            process = supervisor.instances[instance]
            await supervisor.proxy.state(instance, "maint")
            if not process.ended.is_set():
                await supervisor.end(process, 1.0)
            await supervisor.start_instance(instance)
    return f"restarted {', '.join(names)}", {}


async def deploy(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    """``version``: a build that is known. New processes start, are checked, take over; the old ones then stop."""
    state = _state(supervisor, name)
    version = str(parameters["version"])
    if version not in state.builds:
        raise ValueError(f"no build {version} of {name}; there are {', '.join(sorted(state.builds))}")
    before = state.versions[-1]
    await supervisor.announce("deploy", f"service:{name}", f"deploy {name} {version}", before, version, by)
    await _roll(supervisor, name, version)
    state.versions = [*state.versions[-9:], version]
    return f"{name}: {before} -> {version}", {"version": before}


async def _roll(supervisor: Supervisor, name: str, version: str) -> None:
    async with supervisor.lock(name):
        for instance in _instances(supervisor, name):
            fresh = await supervisor.launch(instance, version)
            old = supervisor.instances[instance]
            old.expected = True
            supervisor.instances[instance] = fresh
            await supervisor.proxy.put(instance, fresh.port, ready=instance not in supervisor.drained)
            if not old.ended.is_set():
                supervisor.spawn(supervisor.end(old, 5.0))


async def rollback_deploy(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    """Back to the version before the current one."""
    state = _state(supervisor, name)
    if len(state.versions) < 2:
        raise ValueError(f"{name} has no earlier version to go back to")
    current, earlier = state.versions[-1], state.versions[-2]
    await supervisor.announce("deploy", f"service:{name}", f"roll {name} back to {earlier}", current, earlier, by)
    await _roll(supervisor, name, earlier)
    state.versions = state.versions[:-1]
    return f"{name}: {current} -> {earlier}", {"version": current}


async def set_flag(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    """``flag``, ``on``."""
    state = _state(supervisor, name)
    flag, wanted = str(parameters["flag"]), bool(parameters["on"])
    if flag not in state.flags:
        raise ValueError(f"{name} has no flag {flag}; there are {', '.join(sorted(state.flags))}")
    before = state.flags[flag]
    state.flags = {**state.flags, flag: wanted}
    await supervisor.tell_service(name, {"flags": state.flags, "flag_defects": state.flag_defects})
    await supervisor.announce("flag", f"service:{name}", f"flag {flag} of {name}: {'on' if wanted else 'off'}",
                              f"{flag}={'on' if before else 'off'}", f"{flag}={'on' if wanted else 'off'}", by)  # fmt: skip
    return f"{flag} of {name} is {'on' if wanted else 'off'}", {"flag": flag, "on": before}


async def _drain(supervisor: Supervisor, names: list[str], on: bool) -> None:
    for instance in names:
        (supervisor.drained.add if on else supervisor.drained.discard)(instance)
        await supervisor.proxy.state(instance, "drain" if on else "ready")


async def drain_instance(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    service, _, _ = split_instance(_instances(supervisor, name)[0])
    if not [key for key in _instances(supervisor, service) if key != name and key not in supervisor.drained]:
        raise ValueError(f"{name} is the last instance of {service} that takes traffic")
    await _drain(supervisor, [name], True)
    await supervisor.announce("infra", f"instance:{name}", f"{name} drained", "ready", "drain", by)
    return f"{name} takes no new requests", {}


async def undrain_instance(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    _instances(supervisor, name)
    await _drain(supervisor, [name], False)
    await supervisor.announce("infra", f"instance:{name}", f"{name} takes traffic again", "drain", "ready", by)
    return f"{name} takes requests", {}


async def drain_region(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    if name not in supervisor.regions or len(supervisor.regions) < 2:
        raise ValueError(f"no region {name} that another one could stand in for")
    await _drain(supervisor, [key for key in supervisor.instances if split_instance(key)[1] == name], True)
    await supervisor.announce("infra", f"region:{name}", f"region {name} drained", "ready", "drain", by)
    return f"region {name} takes no new requests", {}


async def undrain_region(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    if name not in supervisor.regions:
        raise ValueError(f"no region is named {name}")
    await _drain(supervisor, [key for key in supervisor.instances if split_instance(key)[1] == name], False)
    await supervisor.announce("infra", f"region:{name}", f"region {name} takes traffic again", "drain", "ready", by)
    return f"region {name} takes requests", {}


async def scale_out(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    """``count``: instances to add per region (default 1)."""
    state = _state(supervisor, name)
    count = int(parameters.get("count", 1))
    if count < 1 or state.count + count > SLOTS:
        raise ValueError(f"{name} has {state.count} instances per region; at most {SLOTS}")
    async with supervisor.lock(name):
        fresh = [instance_name(name, region, slot) for region in supervisor.regions
                 for slot in range(state.count + 1, state.count + count + 1)]  # fmt: skip
        await asyncio.gather(*(supervisor.start_instance(instance) for instance in fresh))
    before, state.count = state.count, state.count + count
    await supervisor.announce("scale", f"service:{name}", f"{name} scaled out", str(before), str(state.count), by)
    return f"{name}: {before} -> {state.count} instances per region", {"count": count}


async def scale_in(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    """``count``: instances to take away per region (default 1)."""
    state = _state(supervisor, name)
    count = int(parameters.get("count", 1))
    if count < 1 or state.count - count < 1:
        raise ValueError(f"{name} has {state.count} instances per region; one must stay")
    async with supervisor.lock(name):
        for region in supervisor.regions:
            for slot in range(state.count - count + 1, state.count + 1):
                instance = instance_name(name, region, slot)
                await supervisor.proxy.state(instance, "maint")
                process = supervisor.instances.pop(instance)
                supervisor.drained.discard(instance)
                supervisor.spawn(supervisor.end(process, 5.0))
    before, state.count = state.count, state.count - count
    await supervisor.announce("scale", f"service:{name}", f"{name} scaled in", str(before), str(state.count), by)
    return f"{name}: {before} -> {state.count} instances per region", {"count": count}


async def shed_load(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    """``ratio`` of all requests is turned away at ``gateway``, the least important first."""
    ratio = float(parameters.get("ratio", 0.3))
    if name != "gateway" or not 0 <= ratio <= 0.9:
        raise ValueError("only gateway sheds load, a ratio of 0..0.9")
    state = _state(supervisor, name)
    before, state.shed_ratio = state.shed_ratio, ratio
    await supervisor.tell_service(name, {"shed_ratio": ratio})
    await supervisor.announce(
        "infra", f"service:{name}", f"{name} sheds {ratio:.0%} of load", f"{before:.2f}", f"{ratio:.2f}", by
    )
    return f"{name} turns away {ratio:.0%} of requests", {"ratio": before}


async def unshed_load(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    return await shed_load(supervisor, name, {"ratio": 0.0}, by)


async def kill_session(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    """``pid`` of a database session; 0 or none means the one that most others wait for."""
    pid = int(parameters.get("pid", 0) or 0)
    if not pid:
        rows = await supervisor.postgres.execute(
            "SELECT blocker, count(*) FROM pg_stat_activity w, unnest(pg_blocking_pids(w.pid)) blocker"
            " WHERE cardinality(pg_blocking_pids(blocker)) = 0 GROUP BY 1 ORDER BY 2 DESC LIMIT 1"
        )
        if not rows:
            raise ValueError("no session blocks another one")
        pid = int(rows[0][0])
    rows = await supervisor.postgres.execute(
        "SELECT application_name, pg_terminate_backend(pid, 2000) FROM pg_stat_activity"
        " WHERE pid = %s AND backend_type = 'client backend' AND usename = 'shop'", pid,
    )  # fmt: skip
    if not rows:
        raise ValueError(f"no session of the application has the pid {pid}")
    return f"session {pid} ({rows[0][0]}) ended", {}


async def rebuild_index(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    """``index``: one that belongs to the schema; empty means those that are missing."""
    wanted = str(parameters.get("index", "") or "")
    if wanted and wanted not in INDEXES:
        raise ValueError(f"the schema has no index {wanted}")
    rows = await supervisor.postgres.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'")
    there = {row[0] for row in rows}
    names = [wanted] if wanted else [index for index in INDEXES if index not in there]
    for index in names:
        if index in there:
            await supervisor.postgres.execute(f"REINDEX INDEX CONCURRENTLY {index}")
        else:
            made = INDEXES[index]
            await supervisor.postgres.execute(f"CREATE INDEX CONCURRENTLY {index} ON {made['table']} {made['columns']}")
    if names:
        await supervisor.announce("infra", "database:shop", f"index {', '.join(names)} built", "", ", ".join(names), by)
    return f"built {', '.join(names) or 'nothing: no index is missing'}", {}


async def renew_certificate(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    from midwatch.gym.fleet.supervisor import CERTIFICATE_SECONDS

    _state(supervisor, name)
    if not BY_NAME[name].tls:
        raise ValueError(f"{name} is not served over TLS")
    await supervisor.proxy.set_certificate(name, supervisor.certificate(name, CERTIFICATE_SECONDS))
    await supervisor.announce("infra", f"service:{name}", f"certificate of {name} renewed", "", "", by)
    return f"{name} serves a certificate for {CERTIFICATE_SECONDS / 86400:.0f} days", {}


async def flush_cache(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    client = redis.asyncio.Redis.from_url(supervisor.cache.url, socket_timeout=2.0, socket_connect_timeout=1.0)
    try:
        count = await client.dbsize()
        await client.flushdb()
    finally:
        await client.aclose()
    return f"{count} keys flushed", {}


async def bypass_cache(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    """``on``: the service reads past the cache."""
    state = _state(supervisor, name)
    if not BY_NAME[name].cache:
        raise ValueError(f"{name} uses no cache")
    wanted = bool(parameters.get("on", True))
    before, state.bypass = state.bypass, wanted
    await supervisor.tell_service(name, {"cache_bypassed": wanted})
    await supervisor.announce(
        "config",
        f"service:{name}",
        f"{name} {'bypasses' if wanted else 'uses'} the cache",
        str(before),
        str(wanted),
        by,
    )
    return f"{name} {'bypasses' if wanted else 'uses'} the cache", {"on": before}


async def free_disk(supervisor: Supervisor, name: str, parameters: Parameters, by: str) -> Answer:
    freed = await asyncio.to_thread(supervisor.postgres.free)
    await supervisor.announce("infra", "database:shop", f"{freed // 2**20} MiB of old archive removed", "", "", by)
    return f"{freed // 2**20} MiB freed", {}


VERBS: dict[str, Callable[[Any, str, Parameters, str], Awaitable[Answer]]] = {
    work.__name__: work
    for work in (
        apply_config, rollback_config, resize_pool, restart, deploy, rollback_deploy, set_flag, drain_instance,
        undrain_instance, drain_region, undrain_region, scale_out, scale_in, shed_load, unshed_load, kill_session,
        rebuild_index, renew_certificate, flush_cache, bypass_cache, free_disk,
    )
}  # fmt: skip
