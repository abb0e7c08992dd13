"""The live state of every entity, from the World and the findings: ok, slow, failing, no traffic, or no data.

"no data" wins over "ok" always: what was not seen is never shown as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from msgspec import Struct

from midwatch.model import signals
from midwatch.model.entity import kind_of, name_of
from midwatch.model.state import State
from midwatch.model.world import World

WINDOW_SECONDS = 60.0
STALE_SECONDS = 45.0
NODE_KINDS = ("service", "proxy", "database", "cache", "queue", "external")
TONE_ORDER = {"bad": 0, "nodata": 1, "warn": 2, "idle": 3, "ok": 4}
MIN_FAILURES = 5  # fewer failing requests than this never colour a node by themselves

_FINDING_WORDS = {
    "burn_rate": ("bad", "burning its budget"),
    "slow_burn": ("warn", "errors above its budget"),
    "error_shift": ("bad", "failing"),
    "latency_shift": ("warn", "slow"),
    "traffic_drop": ("warn", "traffic dropped"),
    "queue_lag": ("warn", "messages wait"),
    "saturation": ("warn", "saturated"),
    "dying": ("warn", "keeps dying"),
    "restart": ("warn", "restarted"),
    "silence": ("nodata", "silent"),
    "log_burst": ("warn", "new errors in its log"),
    "novel": ("warn", "out of its habits"),
    "trend": ("warn", "filling up"),
    "lost_signal": ("warn", "a signal is missing"),
    "cert_expiry": ("warn", "certificate"),
}


class Dot(Struct, frozen=True):
    """One instance, small."""

    name: str
    region: str
    tone: str
    text: str


class Pulse(Struct, frozen=True):
    """How one entity is now. ``tone`` is ok, warn, bad, idle (no traffic) or nodata; ``text`` says it in words;
    ``rate`` per second, ``error_share`` 0..1, ``mean_ms``: NaN when not known."""

    key: str
    kind: str
    name: str
    tone: str
    text: str
    rate: float = float("nan")
    error_share: float = float("nan")
    mean_ms: float = float("nan")
    role: str = ""  # "cause" or "symptom" of an open incident
    dots: tuple[Dot, ...] = ()
    detail: str = ""

    @property
    def order(self) -> tuple[int, int, float, str]:
        share = self.error_share if math.isfinite(self.error_share) else 0.0
        return (TONE_ORDER[self.tone], 0 if self.role == "cause" else 1, -share, self.key)


class Flow(Struct, frozen=True):
    """One edge, live: calls per second and the share that fails."""

    caller: str
    callee: str
    rate: float
    error_share: float
    tone: str
    mean_ms: float = float("nan")


class Fleet(Struct, frozen=True):
    """Everything that the map needs. ``stale_seconds`` is the age of the newest telemetry, NaN when there is none."""

    pulses: dict[str, Pulse]
    flows: tuple[Flow, ...]
    entries: tuple[str, ...]
    stale_seconds: float

    @property
    def stale(self) -> bool:
        return not self.stale_seconds <= STALE_SECONDS

    def count(self, tone: str) -> int:
        return sum(p.tone == tone for p in self.pulses.values())


class _Recent:
    """Sums and last values of the newest steps, looked up by subject and signal."""

    def __init__(self, world: World) -> None:
        grid = world.series
        self.steps = max(1, min(grid.steps, round(WINDOW_SECONDS / grid.step_seconds)))
        self.seconds = self.steps * grid.step_seconds
        self.row_of = grid.index.row_of
        part = grid.values[:, -self.steps :] if grid.steps else np.empty((len(grid.index), 0))
        seen = np.isfinite(part)
        rows = len(grid.index)
        some = np.asarray(seen.any(axis=1)) if part.size else np.zeros(rows, dtype=bool)
        self.sums = (
            np.where(some, np.where(seen, part, 0.0).sum(axis=1), np.nan) if part.size else np.full(rows, np.nan)
        )
        if part.size:
            newest = part.shape[1] - 1 - np.argmax(seen[:, ::-1], axis=1)
            self.lasts = np.where(some, part[np.arange(len(part)), newest], np.nan)
        else:
            self.lasts = np.full(rows, np.nan)
        self.alive = {grid.index.subjects[row] for row in np.flatnonzero(some).tolist()}

    def total(self, subject: str, signal: str) -> float:
        row = self.row_of.get((subject, signal))
        return float("nan") if row is None else float(self.sums[row])

    def last(self, subject: str, signal: str) -> float:
        row = self.row_of.get((subject, signal))
        return float("nan") if row is None else float(self.lasts[row])


def share(part: float, whole: float) -> float:
    """NaN without traffic; a part that nobody reported of a seen whole is zero."""
    if not whole > 0:
        return float("nan")
    return 0.0 if math.isnan(part) else min(1.0, part / whole)


def read_fleet(state: State, world: World, now: float) -> Fleet:
    """The fleet as it is at ``now`` (unix seconds). Vectorised over series; one small object per entity."""
    recent = _Recent(world)
    stale = now - _last_seen_at(world, bool(recent.alive))
    dark = not stale <= STALE_SECONDS
    gaps = {g.subject for g in world.gaps} | set(state.gaps)
    flows = _flows(world, recent, dark)
    into: dict[str, list[Flow]] = {}
    for flow in flows:
        into.setdefault(flow.callee, []).append(flow)
    found = _findings_by_entity(state)
    roles = _roles(state)
    pulses = {}
    for key, entity in world.entities.items():
        if entity.kind not in NODE_KINDS:
            continue
        dots = tuple(
            _dot(i.name, i.labels.get("region", ""), recent, gaps, dark or key in gaps)
            for i in world.instances.get(key, ())
        )
        pulses[key] = _pulse(key, recent, into.get(key, []), found.get(key, []), key in gaps or dark, roles, dots)
    for flow in flows:  # seen only from outside: a callee that reports nothing itself
        for key in (flow.caller, flow.callee):
            if key not in pulses and kind_of(key) in NODE_KINDS:
                pulses[key] = _pulse(key, recent, into.get(key, []), found.get(key, []), key in gaps or dark, roles, ())
    return Fleet(pulses, flows, world.entries, stale)


def _last_seen_at(world: World, lately: bool) -> float:
    """End of the newest step in which anything was reported (unix seconds); NaN when there is none."""
    grid = world.series
    if lately or not grid.steps:
        return grid.end_at if lately else float("nan")
    seen = np.flatnonzero(np.isfinite(grid.values).any(axis=0))
    return grid.start_at + (int(seen[-1]) + 1) * grid.step_seconds if seen.size else float("nan")


def _findings_by_entity(state: State) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for finding in state.findings.values():
        words = _FINDING_WORDS.get(finding.kind, ("warn", finding.kind.replace("_", " ")))
        found.setdefault(finding.entity, []).append(words)
    for many in found.values():
        many.sort(key=lambda pair: TONE_ORDER[pair[0]])
    return found


def _roles(state: State) -> dict[str, str]:
    roles: dict[str, str] = {}
    for incident in state.open_incidents:
        roles.update(dict.fromkeys(incident.symptoms, "symptom"))
    for incident in state.open_incidents:
        if incident.hypotheses and incident.hypotheses[0].probability >= 0.3:
            roles[incident.hypotheses[0].entity] = "cause"
    return roles


def _flows(world: World, recent: _Recent, dark: bool) -> tuple[Flow, ...]:
    flows = []
    for key, edge in world.edges.items():
        calls, errors = recent.total(key, signals.CALLS), recent.total(key, signals.CALL_ERRORS)
        failing = share(errors, calls)
        if dark or math.isnan(calls):
            tone = "nodata"
        elif calls == 0:
            tone = "idle"
        else:
            tone = _tone_of(failing, errors)
        mean = recent.total(key, signals.CALL_MS) / calls if calls > 0 else float("nan")
        flows.append(Flow(edge.caller, edge.callee, calls / recent.seconds, failing, tone, mean))
    return tuple(flows)


def _tone_of(failing: float, errors: float) -> str:
    if not errors >= MIN_FAILURES or math.isnan(failing):
        return "ok"
    return "bad" if failing >= 0.05 else "warn" if failing >= 0.01 else "ok"


def _dot(name: str, region: str, recent: _Recent, gaps: set[str], dark: bool) -> Dot:
    key = f"instance:{name}"
    if dark or key in gaps or key not in recent.alive:
        return Dot(name, region, "nodata", "no data")
    if recent.last(key, signals.UP) == 0:
        return Dot(name, region, "bad", "down")
    requests, errors = recent.total(key, signals.REQUESTS), recent.total(key, signals.ERRORS)
    failing = share(errors, requests)
    if math.isnan(failing):
        return Dot(name, region, "idle", "no traffic")
    tone = _tone_of(failing, errors)
    return Dot(name, region, tone, "ok" if tone == "ok" else f"{failing:.0%} failing")


def _pulse(
    key: str,
    recent: _Recent,
    into: Iterable[Flow],
    findings: list[tuple[str, str]],
    blind: bool,
    roles: dict[str, str],
    dots: tuple[Dot, ...],
) -> Pulse:
    kind, name, role = kind_of(key), name_of(key), roles.get(key, "")
    into = list(into)
    requests, errors = recent.total(key, signals.REQUESTS), recent.total(key, signals.ERRORS)
    mean = recent.total(key, signals.TIME_MS) / requests if requests > 0 else float("nan")
    if math.isnan(requests) and into:  # it reports no requests itself: what its callers saw
        rates = [f.rate for f in into if math.isfinite(f.rate)]
        if rates:
            requests = sum(rates) * recent.seconds
            shares = [(f.rate, f.error_share) for f in into if f.rate > 0 and math.isfinite(f.error_share)]
            errors = sum(rate * failing for rate, failing in shares) * recent.seconds
            times = [(f.rate, f.mean_ms) for f in into if f.rate > 0 and math.isfinite(f.mean_ms)]
            weight = sum(rate for rate, _ in times)
            mean = sum(rate * ms for rate, ms in times) / weight if weight else float("nan")
    failing, rate = share(errors, requests), requests / recent.seconds
    detail = _detail(key, kind, recent)
    seen = key in recent.alive or any(f.tone != "nodata" for f in into)
    seen = seen or any(d.tone != "nodata" for d in dots)
    tone, text = _verdict(kind, failing, errors, rate, findings)
    if blind or not seen:
        tone, text = "nodata", "no data"
    return Pulse(key, kind, name, tone, text, rate, failing, mean, role, dots, detail)


def _verdict(kind: str, failing: float, errors: float, rate: float, findings: list[tuple[str, str]]) -> tuple[str, str]:
    tone = _tone_of(failing, errors)
    text = "ok" if tone == "ok" else "failing"
    if findings and TONE_ORDER[findings[0][0]] < TONE_ORDER[tone]:
        tone, text = findings[0]
    if tone == "ok" and kind in ("service", "proxy") and not rate > 0:
        return "idle", "no traffic"
    return tone, text


def _detail(key: str, kind: str, recent: _Recent) -> str:
    """The one gauge that says most about this kind of thing."""
    if kind == "queue":
        depth, lag = recent.last(key, signals.QUEUE_DEPTH), recent.last(key, signals.QUEUE_LAG_SECONDS)
        parts = [f"{depth:.0f} waiting" if math.isfinite(depth) else "", f"{lag:.0f} s old" if lag >= 1 else ""]
        return ", ".join(p for p in parts if p)
    if kind == "database":
        disk = recent.last(key, signals.DISK_RATIO)
        return f"disk {disk:.0%}" if math.isfinite(disk) else ""
    if kind == "cache":
        hits, misses = recent.total(key, signals.CACHE_HITS), recent.total(key, signals.CACHE_MISSES)
        hit = share(hits, hits + (0.0 if math.isnan(misses) else misses))
        return f"{hit:.0%} hits" if math.isfinite(hit) else ""
    waiting = recent.last(key, signals.POOL_WAITING)
    return f"{waiting:.0f} wait for a connection" if waiting >= 1 else ""
