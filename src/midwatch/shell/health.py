"""The watch watches itself: how its own parts are doing, as values and as Prometheus text."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from midwatch.shell.run import Watch

TICK_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


def product_version() -> str:
    try:
        return version("midwatch")
    except PackageNotFoundError:
        return "0+unknown"


@dataclass
class Health:
    """Counters since the start, and what is wrong right now (``troubles``: part -> a sentence for people)."""

    started_at: float = 0.0
    ticks: int = 0
    tick_errors: int = 0
    ticks_late: int = 0
    last_tick_at: float = 0.0
    last_tick_seconds: float = 0.0
    tick_seconds_sum: float = 0.0
    tick_buckets: list[int] = field(default_factory=lambda: [0] * (len(TICK_BUCKETS_SECONDS) + 1))
    batches: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    rows_rejected: int = 0
    batches_not_stored: int = 0
    events_appended: int = 0
    append_failures: int = 0
    pages_unjournaled: int = 0
    commands: int = 0
    changes: int = 0
    first_data_at: float = 0.0
    last_data_at: float = 0.0
    troubles: dict[str, str] = field(default_factory=dict)
    recent_ticks: deque[float] = field(default_factory=lambda: deque(maxlen=120))

    def ticked(self, at: float, seconds: float) -> None:
        self.ticks += 1
        self.last_tick_at, self.last_tick_seconds = at, seconds
        self.tick_seconds_sum += seconds
        self.recent_ticks.append(seconds)
        slot = next((i for i, bound in enumerate(TICK_BUCKETS_SECONDS) if seconds <= bound), len(TICK_BUCKETS_SECONDS))
        self.tick_buckets[slot] += 1

    def trouble(self, part: str, why: str) -> bool:
        """Say that ``part`` is in trouble, or with "" that it is well again. True when that is news."""
        before = self.troubles.get(part, "")
        if why:
            self.troubles[part] = why
        else:
            self.troubles.pop(part, None)
        return before != why


def health_report(watch: Watch) -> dict[str, Any]:
    """What the health page and ``midwatch status`` show. ``degraded`` holds a sentence per part in trouble; ``silence``
    says that no telemetry comes in, or nothing."""
    vitals, settings = watch.vitals, watch.settings
    degraded = [*filter(None, [watch.duty.words(), watch.status.unkept()]), *vitals.troubles.values()]
    if waits := watch.effects.waits_out_seconds:
        degraded.append(f"no action begins for {waits:.0f} s: one of the leader before may not be over")
    if vitals.last_tick_at and watch.now() - vitals.last_tick_at > 4 * settings.tick_seconds:
        degraded.append(f"the loop has not turned for {watch.now() - vitals.last_tick_at:.0f} s")
    pulse = watch.heartbeat.pulse if watch.heartbeat else None
    if pulse is not None and pulse.ok is False:
        degraded.append(f"the dead-man call fails: {pulse.why}")
    recent = sorted(vitals.recent_ticks)
    return {
        "degraded": degraded,
        "silence": _silence(vitals, watch.now()),
        "started_at": vitals.started_at,
        "ticks": vitals.ticks,
        "tick_errors": vitals.tick_errors,
        "ticks_late": vitals.ticks_late,
        "last_tick_at": vitals.last_tick_at or None,
        "tick_ms_median": round(1000 * recent[len(recent) // 2], 2) if recent else None,
        "tick_ms_worst": round(1000 * recent[-1], 2) if recent else None,
        "first_data_at": vitals.first_data_at or None,
        "last_data_at": vitals.last_data_at or None,
        "telemetry": {
            "rows": vitals.rows,
            "rows_rejected": vitals.rows_rejected,
            "batches_not_stored": vitals.batches_not_stored,
            **{f"batches_{signal}": count for signal, count in sorted(vitals.batches.items())},
            **watch.intake.counters(),
        },
        "alerts": {
            "open": sum(record.firing for record in watch.state.alerts.values()),
            "known": len(watch.state.alerts),
            "waiting": watch.inbox.waiting,
            "taken": sum(watch.inbox.accepted.values()),
            "not taken": sum(watch.inbox.dropped.values()),
        },
        "effects": {**watch.effects.counters, "waiting": watch.effects.waiting},
        **({"subscribers": told} if (told := watch.status.report()) else {}),
        "store": watch.intake.store_words(),
        "backup": "off" if watch.copying is None else f"up to entry {watch.copying.seq}",
        "leading": watch.duty.leading,
        **({"replicas": watch.duty.roll()} if watch.duty.replicated else {}),
        "dead_man": "off"
        if pulse is None
        else "ok"
        if pulse.ok
        else "not yet called"
        if pulse.ok is None
        else pulse.why,
    }


def _silence(vitals: Health, now: float) -> str:
    if not vitals.last_data_at:
        return "no telemetry has come in yet"
    quiet = now - vitals.last_data_at
    return f"no telemetry has come in for {quiet:.0f} s" if quiet > 60 else ""


def beat(watch: Watch) -> dict[str, Any]:
    """What the dead-man heartbeat carries: the head of the hash chain, so that a chain rewritten whole is noticed."""
    return {
        "seq": watch.head.seq,
        "hash": watch.head.hash,
        "at": watch.now(),
        "last_tick_at": watch.vitals.last_tick_at,
        "open_incidents": len(watch.state.open_incidents),
        "troubles": sorted(watch.vitals.troubles),
    }


def metrics_text(watch: Watch) -> str:
    """Everything about ``watch`` as Prometheus text."""
    state, world = watch.state, watch.world
    gauges = {
        "leading": float(watch.duty.leading),
        "replicas": float(len(watch.duty.seen)),
        "backup_seq": float(watch.copying.seq) if watch.copying else math.nan,
        "journal_seq": float(state.seq),
        "journal_epoch": float(state.epoch),
        "incidents_open": float(len(state.open_incidents)),
        "findings_open": float(len(state.findings)),
        "hands_off": float(watch.hands_off),
        "effects_waiting": float(watch.effects.waiting),
        "inputs_waiting": float(watch.inputs_waiting),
        "outcomes_unrecorded": float(watch.books.unrecorded),
        "entities": float(len(world.entities)),
        "series": float(len(world.series.index)),
        "heartbeat_ok": float(watch.heartbeat.pulse.ok is True) if watch.heartbeat else math.nan,
        "alerts_known": float(len(state.alerts)),
        "alerts_waiting": float(watch.inbox.waiting),
        "silences": float(len(state.silences)),
        **watch.intake.gauges(),
        **watch.poller.gauges(),
    }
    done = {**watch.effects.counters, **watch.effects.following.counters, **watch.effects.war_rooms.counters}
    counters = {f"effects_{name}": float(count) for name, count in done.items()}
    counters |= watch.status.counters()
    counters |= {f"items_{name}": float(count) for name, count in watch.tracking.counters.items()}
    text = prometheus_text(watch.vitals, gauges, {**counters, **watch.intake.counters(), **watch.poller.counters})
    return text + "".join(_alert_counters(watch))


def _alert_counters(watch: Watch) -> list[str]:
    """Per sender. Names of integrations are small letters and digits, reasons are sentences of ours: nothing to escape."""
    lines = ["# HELP midwatch_alerts_taken_total Alerts journaled.\n# TYPE midwatch_alerts_taken_total counter\n"]
    lines += [f'midwatch_alerts_taken_total{{source="{s}"}} {n}\n' for s, n in sorted(watch.inbox.accepted.items())]
    lines.append("# HELP midwatch_alerts_dropped_total Alerts and requests not taken.\n")
    lines.append("# TYPE midwatch_alerts_dropped_total counter\n")
    dropped = sorted(watch.inbox.dropped.items())
    lines += [f'midwatch_alerts_dropped_total{{source="{s}",why="{why}"}} {n}\n' for (s, why), n in dropped]
    return lines


def prometheus_text(health: Health, gauges: Mapping[str, float], counters: Mapping[str, float]) -> str:
    """Prometheus text exposition 0.0.4 of ``health`` plus named ``gauges`` and ``counters`` (without the prefix)."""
    out: list[str] = []

    def put(name: str, kind: str, text: str, value: float) -> None:
        out.append(f"# HELP midwatch_{name} {text}\n# TYPE midwatch_{name} {kind}\nmidwatch_{name} {value:.17g}\n")

    out.append("# HELP midwatch_tick_duration_seconds Duration of one turn of the loop.\n")
    out.append("# TYPE midwatch_tick_duration_seconds histogram\n")
    below = 0
    for bound, count in zip(TICK_BUCKETS_SECONDS, health.tick_buckets, strict=False):
        below += count
        out.append(f'midwatch_tick_duration_seconds_bucket{{le="{bound:g}"}} {below}\n')
    out.append(f'midwatch_tick_duration_seconds_bucket{{le="+Inf"}} {health.ticks}\n')
    out.append(f"midwatch_tick_duration_seconds_sum {health.tick_seconds_sum:.9g}\n")
    out.append(f"midwatch_tick_duration_seconds_count {health.ticks}\n")
    put("tick_errors_total", "counter", "Turns of the loop that raised.", health.tick_errors)
    put("ticks_late_total", "counter", "Turns that began more than a second late.", health.ticks_late)
    put("last_tick_timestamp_seconds", "gauge", "When the last turn ended.", health.last_tick_at)
    put("rows_total", "counter", "Telemetry rows taken in.", health.rows)
    put("rows_rejected_total", "counter", "Telemetry rows that were unusable.", health.rows_rejected)
    put("batches_not_stored_total", "counter", "Batches that the store did not take.", health.batches_not_stored)
    put("journal_events_total", "counter", "Events appended to the journal.", health.events_appended)
    put("journal_append_failures_total", "counter", "Appends that failed.", health.append_failures)
    put("pages_unjournaled_total", "counter", "Pages sent though the journal failed.", health.pages_unjournaled)
    put("commands_total", "counter", "Commands of people.", health.commands)
    put("changes_total", "counter", "Change events.", health.changes)
    out.append("# HELP midwatch_batches_total OTLP requests by signal.\n# TYPE midwatch_batches_total counter\n")
    out.extend(f'midwatch_batches_total{{signal="{signal}"}} {n}\n' for signal, n in sorted(health.batches.items()))
    out.append("# HELP midwatch_trouble A part of midwatch that is in trouble.\n# TYPE midwatch_trouble gauge\n")
    # A channel's and a source's name are a person's own words.
    escaped = (json.dumps(part, ensure_ascii=False) for part in sorted(health.troubles))
    out.extend(f"midwatch_trouble{{part={part}}} 1\n" for part in escaped)
    for name, value in gauges.items():
        put(name, "gauge", name.replace("_", " ") + ".", value)
    for name, value in counters.items():
        put(name + "_total", "counter", name.replace("_", " ") + ".", value)
    return "".join(out)
